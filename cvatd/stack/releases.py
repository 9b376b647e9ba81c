"""What differs between releases of CVAT: read from releases.json, which the Nix modules read too."""

import json
import re
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from cvatd.core.errors import CvatdError

Version = tuple[int, int, int]
VERSION_TAG = re.compile(r":v?(\d+\.\d+\.\d+)(?:@sha256:[0-9a-f]+)?$")


class IdleMemory(BaseModel):
    """Megabytes occupied without work: the server process, each worker process, the scheduler, the rest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    server: int
    worker: int
    scheduler: int
    rest: int


class Release(BaseModel):
    """The facts of one release.

    `grammar` is what the image's entry point understands: `many` is `run worker a b`, `one` is `run worker.a` with
    one queue a container (`names` says which queues share a configuration of another name).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str
    checked: bool
    evidence: str
    images: dict[str, str]
    postgres_major: int
    grammar: Literal["one", "many"]
    names: dict[str, str]
    queues: list[str]
    ui_port: int
    opa_flags: list[str]
    idle_mb: IdleMemory


def parse(text: str) -> Version:
    """`v2.21.0` and `2.21.0` alike."""
    major, minor, patch = (int(part) for part in text.removeprefix("v").split("."))
    return major, minor, patch


def version_of_image(reference: str) -> str | None:
    """The release that an image's tag names, also with a digest behind it; None for tags such as `dev`."""
    found = VERSION_TAG.search(reference)
    return found[1] if found else None


@cache
def _data() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(files("cvatd.stack").joinpath("releases.json").read_text())
    return data


def newest() -> str:
    """The newest release whose facts are known."""
    version: str = _data()["newest"]
    return version


def find(version: str) -> Release:
    """The facts of a release: every entry up to it, the later over the earlier.

    Raises CvatdError "release" for one that is older than all that are known.
    """
    wanted = parse(version)
    facts: dict[str, Any] = {}
    for entry in _data()["releases"]:
        if parse(entry["from"]) <= wanted:
            facts |= entry | {"images": facts.get("images", {}) | entry.get("images", {})}
    if not facts:
        oldest = _data()["releases"][0]["from"]
        raise CvatdError(
            "release",
            f"CVAT {version} is older than any that is known here. Set stack.version to {oldest} or newer; "
            f"{newest()} is the newest known.",
        )
    del facts["from"]
    plain = ".".join(map(str, wanted))
    facts["images"] = {kind: image.replace("@version@", plain) for kind, image in facts["images"].items()}
    if wanted > parse(newest()):
        facts |= {"checked": False, "evidence": f"newer than {newest()}, whose facts are taken"}
    return Release(version=plain, **facts)
