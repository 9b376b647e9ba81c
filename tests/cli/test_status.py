"""The words and rows of `cvatd status`, and the exit status that scripts ask for. Pure."""

import contextlib
import io
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from cvatd.cli import status_words
from cvatd.cli.status import _own
from cvatd.core.errors import CvatdError
from cvatd.core.settings import StackSettings
from cvatd.stack.status_model import (
    ContainerStatus,
    DiskStatus,
    InitStatus,
    QueueStatus,
    Status,
    UsageStatus,
    VersionsStatus,
    WorkerStatus,
)

GB = 1 << 30


def container(**changes: Any) -> ContainerStatus:
    fields = {
        "name": "cvat-server",
        "state": "running",
        "health": "healthy",
        "words": "",
        "since": 1000.0,
        "restarts": 0,
        "image": "docker.io/cvat/server:v2.80.0",
        "version": "2.80.0",
        "exit_code": None,
        "stopped_by_hand": False,
    }
    return ContainerStatus(**fields | changes)


def usage(**changes: Any) -> UsageStatus:
    fields: dict[str, Any] = {
        "parent": "cvat.slice",
        "memory": GB,
        "memory_max": 2 * GB,
        "memory_high": None,
        "memory_percent": 50,
        "cpu_s": 200.0,
        "cpu_limit_percent": 100,
        "oom_kills": 0,
        "under_pressure": False,
    }
    return UsageStatus(**fields | changes)


def seen(**changes: Any) -> Status:
    fields: dict[str, Any] = {
        "data_dir": Path("/var/lib/cvat"),
        "at": 1060.0,
        "url": "http://127.0.0.1:8093",
        "ready": True,
        "wanted": True,
        "reasons": [],
        "containers": [container()],
        "versions": VersionsStatus(cvat="2.80.0", data="2.80.0", postgres="15.4", redis="7.2.11"),
        "initialised": InitStatus(state="done", words="nothing to do"),
        "queues": [
            QueueStatus(
                name="quality_reports", container="cvat-worker-low", queued=2, started=1, failed=0, workers=1, lacks=""
            )
        ],
        "queues_fault": "",
        "workers": [WorkerStatus(hostname="cvat-worker-low", queues=["import"], state="idle", silent_s=1.0)],
        "usage": usage(),
        "disk": DiskStatus(total=100 * GB, free=20 * GB, used_percent=80.0),
        "warnings": [],
    }
    return Status(**fields | changes)


def test_the_first_line_says_why_it_is_not_ready() -> None:
    assert status_words.headline(seen()) == "CVAT is ready at http://127.0.0.1:8093"
    not_ready = seen(ready=False, reasons=["cvat-db is exited (status 1)", "the rest"])
    assert status_words.headline(not_ready) == "CVAT is not ready: cvat-db is exited (status 1)"


@pytest.mark.parametrize(
    ("changes", "row"),
    [
        ({}, ["cvat-server", "running", "healthy", "1 min 0 s", "cvat/server:v2.80.0"]),
        ({"restarts": 2}, ["cvat-server", "running", "healthy", "1 min 0 s", "2", "cvat/server:v2.80.0"]),
        (
            {"restarts": None, "health": "unknown"},
            ["cvat-server", "running", "", "1 min 0 s", "cvat/server:v2.80.0"],
        ),
        (
            {"state": "exited", "exit_code": 137, "health": "unknown", "stopped_by_hand": True},
            ["cvat-server", "stopped by hand", "", "1 min 0 s", "cvat/server:v2.80.0"],
        ),
        ({"state": "absent", "since": None}, ["cvat-server", "not there", "healthy", "", "cvat/server:v2.80.0"]),
    ],
)
def test_rows_of_containers(changes: dict[str, Any], row: list[str]) -> None:
    assert status_words.containers(seen(containers=[container(**changes)]), now=1060.0)[1] == [row]


def test_usage_against_limits() -> None:
    words = dict(status_words.facts(seen()))
    assert words["memory"] == "1.0 GB of 2.0 GB (50 %), in cvat.slice"
    assert words["processor"] == "3 min 20 s used, limit 100 %"
    assert words["disk"].startswith("80.0 % used, 21 GB free of 107 GB")
    assert dict(status_words.facts(seen(usage=None)))["memory"] == "nothing runs in the slice"
    unlimited = usage(memory_max=None, memory_percent=None, cpu_limit_percent=None)
    assert "without a limit" in dict(status_words.facts(seen(usage=unlimited)))["memory"]


def test_two_looks_give_a_rate() -> None:
    later = seen(at=1062.0, usage=usage(cpu_s=201.0))
    spent = status_words.rate(seen(), later)
    assert spent is not None
    assert spent.cpu_percent == 50
    assert dict(status_words.facts(later, spent))["processor"] == "50 % of 100 %"
    assert status_words.rate(None, later) is None
    assert status_words.rate(later, seen(at=1064.0)) is None  # the slice was made anew between the two


def test_an_unmigrated_database_names_the_command() -> None:
    words = dict(status_words.facts(seen(initialised=InitStatus(state="unmigrated", words="the database is empty"))))
    assert words["database"] == "init is needed: the database is empty; `cvatd init` does it"


def test_warnings_add_disk_and_memory() -> None:
    full = DiskStatus(total=100 * GB, free=5 * GB, used_percent=95.0)
    said = status_words.warnings(seen(disk=full, usage=usage(oom_kills=2), warnings=["first"]))
    assert said[0] == "first"
    assert "95.0 % full" in said[1]
    assert "2 times" in said[2]
    assert status_words.warnings(seen()) == []


def test_queues_are_not_shown_as_empty_when_nobody_could_ask() -> None:
    away = seen(queues_fault="cvat-redis does not run")
    assert status_words.queues(away)[1] == []
    assert dict(status_words.facts(away))["queues"] == "cannot be asked: cvat-redis does not run"
    assert status_words.queues(seen())[1] == [["quality_reports", "2", "1", "0", "1", "cvat-worker-low"]]


def test_the_picture_fits_a_terminal_and_obeys_nobody() -> None:
    hostile = seen(ready=False, reasons=["a", "\x1b[2J"], warnings=["\x1b]0;x\x07"], containers=[container()] * 12)
    shown = io.StringIO()
    Console(file=shown, width=100, force_terminal=False).print(status_words.drawn(hostile, None))
    text = shown.getvalue()
    assert "\x1b" not in text
    assert "\x07" not in text
    assert max(map(len, text.splitlines())) <= 100
    assert text.count("cvat-server") == 12


def test_an_answer_survives_its_journey_as_json() -> None:
    before = seen(at=time.time())
    assert Status.model_validate_json(before.model_dump_json()) == before


def test_a_podman_that_came_back_is_asked_of_its_host_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """While it is watched: what was asked side by side with the first look is not believed for ever."""
    asked: list[object] = []

    def away_at_first(*arguments: object) -> SimpleNamespace:
        asked.append(arguments)
        if len(asked) == 1:
            raise CvatdError("podman", "away")
        return SimpleNamespace(parent="cvat.slice")

    monkeypatch.setattr("cvatd.stack.podman.Podman", lambda _: contextlib.nullcontext())
    monkeypatch.setattr("cvatd.stack.runner.Runner", away_at_first)
    monkeypatch.setattr("cvatd.stack.status.gather", lambda _, __, parent, ___: parent())
    with _own(StackSettings()) as ask:
        with contextlib.suppress(CvatdError):
            ask()
        assert ask() == "cvat.slice"  # type: ignore[comparison-overlap]
        assert len(asked) == 2
