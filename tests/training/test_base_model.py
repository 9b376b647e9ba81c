"""The model a training starts from."""

from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cvatd.core.errors import CvatdError
from cvatd.core.settings import TrainerSettings
from cvatd.core.urlguard import UrlGuard
from cvatd.training.base_model import check_name, check_task, resolve
from tests.serving import running
from tests.training.describing import DESCRIPTION

GUARD = UrlGuard(["127.0.0.0/8"])
OFFLINE = TrainerSettings(offline=True)


def test_names_are_known_or_refused() -> None:
    assert check_name("yolov8n.yaml", DESCRIPTION) == "yolov8n.yaml"
    assert check_name("yolov8n.pt", DESCRIPTION) == "yolov8n"
    for name in ("resnet", "../yolov8n", "/etc/passwd.pt", "yolov8n.yaml.pt.pt", ""):
        with pytest.raises(CvatdError, match="no model"):
            check_name(name, DESCRIPTION)


def test_from_scratch_needs_no_file(tmp_path: Path) -> None:
    assert resolve("yolov8n.yaml", tmp_path, OFFLINE, GUARD) == "yolov8n.yaml"


def test_offline_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CvatdError, match=r"yolov8n\.yaml") as refused:
        resolve("yolov8n", tmp_path, OFFLINE, GUARD)
    assert str(tmp_path) in refused.value.message


def test_fetched_once_and_its_hash_is_kept(tmp_path: Path) -> None:
    served = tmp_path / "served"
    served.mkdir()
    (served / "yolov8n.pt").write_bytes(b"weights")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(served)))
    settings = TrainerSettings(offline=False, weights_url=f"http://127.0.0.1:{server.server_port}/{{name}}.pt")
    folder = tmp_path / "weights"
    with running(server):
        path = resolve("yolov8n", folder, settings, GUARD)
    assert Path(path).read_bytes() == b"weights"
    assert resolve("yolov8n", folder, settings, GUARD) == path
    Path(path).write_bytes(b"tampered")
    with pytest.raises(CvatdError, match="sha256"):
        resolve("yolov8n", folder, settings, GUARD)
    with pytest.raises(CvatdError, match="could not be fetched"):
        resolve("yolov8s", folder, settings, GUARD)
    assert sorted(file.name for file in folder.iterdir()) == ["yolov8n.pt", "yolov8n.pt.sha256"]


def test_boxes_do_not_teach_outlines() -> None:
    check_task("yolov8n-seg.yaml", "segment")
    check_task("yolov8n", "segment")
    with pytest.raises(CvatdError, match="boxes"):
        check_task("yolov8n-seg.yaml", "detect")
