"""The cache of data sets stays as it was, whatever a trainer does to its hard links."""

import hashlib
import json
import zipfile
from pathlib import Path

import pytest

from cvatd.core.urlguard import UrlGuard
from cvatd.training.datasets import DatasetLimits, ingest
from cvatd.training.runner import ProcessRunner
from cvatd.training.shapes import draw_shapes
from tests.conftest import TRAINERS

pytestmark = pytest.mark.e2e
TRAIN_TIMEOUT_S = 120


def hashes(folder: Path) -> dict[str, str]:
    return {str(f): hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted(folder.rglob("*")) if f.is_file()}


@pytest.mark.parametrize("name", TRAINERS)
def test_broken_jpegs_are_mended_before_a_trainer_would_rewrite_them(tmp_path: Path, name: str) -> None:
    """Ultralytics saves a JPEG without an end marker anew, in place: through a hard link that would be the cache."""
    if not TRAINERS[name].exists():
        pytest.skip(f"no {name}: `make test` installs it")
    draw_shapes(tmp_path / "good.zip", 8, 4, 96, 1)
    source = tmp_path / "odd.zip"
    with zipfile.ZipFile(tmp_path / "good.zip") as good, zipfile.ZipFile(source, "w") as odd:
        for member in good.namelist():
            # Bytes behind the end of the picture: it can be read, and does not end as a JPEG should.
            odd.writestr(member, good.read(member) + (b"\0" * 16 if member.endswith(".jpg") else b""))
    run = tmp_path / "run"
    limits = DatasetLimits(file_roots=(tmp_path,))
    dataset = ingest(
        source.as_uri(), run / "data", limits, UrlGuard(), tmp_path / "cache", lambda _: None, lambda: False
    )
    before = hashes(tmp_path / "cache")
    orders = {
        "run": 1,
        "attempt": 1,
        "model": "yolov8n.yaml",
        "task": "detect",
        "device": "cpu",
        "data": str(dataset.data_yaml),
        "args": {"epochs": 1, "imgsz": 64, "batch": 4, "plots": False},
    }
    (run / "spec.json").write_text(json.dumps(orders))
    handle = ProcessRunner().start(run, TRAINERS[name], tmp_path / "trainer")
    assert handle.wait(TRAIN_TIMEOUT_S)
    assert handle.exit_code() == 0, (run / "trainer.log").read_text()[-2000:]
    assert hashes(tmp_path / "cache") == before
    linked = next((run / "data" / "images" / "train").iterdir())
    assert linked.stat().st_nlink > 1, "the run's images are hard links"
    assert "corrupt JPEG restored" not in (run / "trainer.log").read_text()
