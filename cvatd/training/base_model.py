"""The model that a training starts from: a plan (`.yaml`) or pretrained weights, never the one for the other."""

import hashlib
import os
from pathlib import Path

import httpx

from cvatd.core.errors import CvatdError
from cvatd.core.settings import TrainerSettings
from cvatd.core.urlguard import UrlGuard, guarded_client
from cvatd.training.description import Description

MAX_WEIGHTS_BYTES = 2 << 30
TIMEOUT = httpx.Timeout(30, connect=10)


def check_name(name: str, description: Description) -> str:
    """The canonical name: `yolov8n` or `yolov8n.yaml`. Raises CvatdError "base_model"."""
    canonical = name.removesuffix(".pt")
    if canonical in description.models.scratch or canonical in description.models.pretrained:
        return canonical
    raise CvatdError(
        "base_model",
        f"{name[:100]!r} is no model of Ultralytics {description.ultralytics_version}: name one like yolov8n "
        "(pretrained weights) or yolov8n.yaml (from scratch).",
    )


def check_task(name: str, task: str) -> None:
    """Boxes cannot teach a model that draws outlines. Raises CvatdError "base_model"."""
    if name.removesuffix(".yaml").endswith("-seg") and task != "segment":
        raise CvatdError(
            "base_model", f"{name} learns outlines, and the labels are boxes. Use the model without -seg, or polygons."
        )


def resolve(name: str, weights_dir: Path, settings: TrainerSettings, guard: UrlGuard) -> str:
    """What Ultralytics is given: the name of a plan, or the path of weights whose hash is as recorded."""
    if name.endswith(".yaml"):
        return name
    file = weights_dir / f"{name}.pt"
    if not file.is_file():
        _fetch(name, file, settings, guard)
    _check_hash(file)
    return str(file.absolute())


def _fetch(name: str, file: Path, settings: TrainerSettings, guard: UrlGuard) -> None:
    missing = f"The pretrained weights {file.name} are not in {file.parent}"
    cure = f"Put the file there, or train from scratch with base_model {name}.yaml."
    if settings.offline:
        raise CvatdError("weights", f"{missing}, and this host fetches none (trainer.offline is true). {cure}")
    url = settings.weights_url.format(name=name)
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        with (
            guarded_client(guard, timeout=TIMEOUT, follow_redirects=True) as client,
            client.stream("GET", url) as answer,
            temporary.open("wb") as out,
        ):
            answer.raise_for_status()
            for block in answer.iter_bytes():
                out.write(block)
                if out.tell() > MAX_WEIGHTS_BYTES:
                    raise CvatdError("weights", f"{url} is larger than {MAX_WEIGHTS_BYTES >> 30} GB.")
            out.flush()
            os.fsync(out.fileno())
        temporary.rename(file)
    except (httpx.HTTPError, OSError) as error:
        raise CvatdError("weights", f"{missing}, and {url} could not be fetched: {error}. {cure}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _check_hash(file: Path) -> None:
    """The first use records the hash beside the file; a later change is refused."""
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    record = file.with_name(f"{file.name}.sha256")
    try:
        expected = record.read_text().split()[0]
    except (FileNotFoundError, IndexError):
        temporary = record.with_name(f".{record.name}.{os.getpid()}")
        temporary.write_text(f"{found}  {file.name}\n")
        temporary.rename(record)
        return
    if found != expected:
        raise CvatdError(
            "weights",
            f"{file} is not the file that was first used (sha256 {found}, recorded {expected}). "
            f"Put the right file back, or remove {record.name} if the change was meant.",
        )
