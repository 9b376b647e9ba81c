"""The terminal face: quick to start, honest in its exit status."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from cvatd.cli.client import parse_events
from cvatd.cli.main import exit_status
from cvatd.cli.train import parse_settings
from cvatd.core.errors import CvatdError
from tests.serving import Handler, running

HEAVY = ("torch", "ultralytics", "fastapi", "psycopg", "pydantic", "rich", "httpx", "podman")


def cvatd(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cvatd.cli.main", *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "CVATD_CONFIG": "", "CVATD_TOKEN": "", **environment},
        timeout=60,
    )


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['cvatd', '--help']\n"
        "from cvatd.cli.main import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stderr.strip() == "[]"
    assert "train" in answer.stdout


def test_torch_is_never_imported_by_web_or_worker() -> None:
    code = (
        "import sys, cvatd.web.app, cvatd.training.worker\n"
        "print([name for name in ('torch', 'ultralytics', 'numpy', 'podman') if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_the_web_face_does_not_import_the_readers_of_hostile_files() -> None:
    code = "import sys, cvatd.web.app; print([n for n in ('PIL', 'cvatd.training.datasets') if n in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_a_service_that_is_down_is_exit_3_with_advice() -> None:
    answer = cvatd("train", "list", CVATD_URL="http://127.0.0.1:9")
    assert answer.returncode == 3
    assert "cvatd dev" in answer.stderr


@contextmanager
def answering(pages: dict[str, tuple[str, bytes]]) -> Iterator[str]:
    """A service of these pages (path -> type and body); its URL."""

    class Pages(Handler):
        def do_GET(self) -> None:
            self.send(200, *pages[self.path.partition("?")[0]])

    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    with running(server):
        yield f"http://127.0.0.1:{server.server_port}"


@pytest.mark.parametrize("words", [["list"], ["watch", "1"]])
def test_another_service_at_the_url_is_no_traceback(words: list[str]) -> None:
    page = ("text/html", b"<html>welcome")
    with answering({"/runs": page, "/runs/1/events": page}) as url:
        answer = cvatd("train", *words, CVATD_URL=url)
    assert (answer.returncode, answer.stdout) == (3, "")
    assert answer.stderr == f"cvatd: What answers at {url} is not cvatd. Is CVATD_URL right?\n"


def test_a_url_that_is_none_is_said_to_be() -> None:
    answer = cvatd("train", "list", CVATD_URL="http://host:many")
    assert answer.returncode == 2
    assert "CVATD_URL is http://host:many" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_what_others_called_their_run_does_nothing_to_the_terminal() -> None:
    run = dict.fromkeys(("error_message", "metrics", "created_at"))
    run |= {"id": 1, "job_id": "a\x1b]0;mine\x07", "state": "failed", "model_name": "\x1b[2J", "base_model": "x"}
    run |= {"epoch": 0, "epochs": 1, "dataset_url": "file:///\x9b2J", "args": {}, "error_message": "no\n\x1b[2Jway"}
    pages = {
        "/runs/1": ("application/json", json.dumps(run).encode()),
        "/runs/1/artifacts": ("application/json", b'{"artifacts": []}'),
        "/runs/1/events": (
            "text/event-stream",
            b'event: failed\ndata: {"data": {"error": "\\u001b[2J"}}\n\nevent: end\ndata: {"state": "failed"}\n\n',
        ),
    }
    with answering(pages) as url:
        for command in ("show", "watch"):
            answer = cvatd("train", command, "1", CVATD_URL=url)
            assert "failed" in answer.stdout
            assert not set("\x1b\x07\x9b") & set(answer.stdout + answer.stderr)


def test_wrong_settings_are_exit_2() -> None:
    answer = cvatd("config", "check", CVATD_PORT="x")
    assert answer.returncode == 2
    assert "port" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_wrong_call_is_exit_2() -> None:
    assert cvatd("train", "show", "abc").returncode == 2
    assert cvatd("train", "submit").returncode == 2


@pytest.mark.parametrize(("code", "status"), [("settings", 2), ("unreachable", 3), ("run_unknown", 1)])
def test_exit_status(code: str, status: int) -> None:
    assert exit_status(code) == status


def test_set_takes_json_or_words() -> None:
    assert parse_settings(["lr0=0.01", "optimizer=AdamW", "rect=true"]) == {
        "lr0": 0.01,
        "optimizer": "AdamW",
        "rect": True,
    }
    with pytest.raises(CvatdError, match="name=value"):
        parse_settings(["lr0"])


def test_events_of_a_stream_are_read_with_their_ids() -> None:
    lines = ["event: epoch", "id: 7", 'data: {"a": 1}', "", ": ping", "", "event: end", "data: {}", ""]
    assert list(parse_events(iter(lines))) == [("epoch", "7", {"a": 1}), ("end", "", {})]


def test_the_tables_are_parted_by_tabs_where_nobody_looks(tmp_path: Path) -> None:
    code = "from cvatd.cli.output import table; table(['a', 'b'], [['1', '2']], 'none')"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout == "a\tb\n1\t2\n"


def test_config_check_prints_json(tmp_path: Path) -> None:
    answer = cvatd("config", "check", "--json")
    assert json.loads(answer.stdout)["port"] == 5000
