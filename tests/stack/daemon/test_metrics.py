"""Prometheus' text format, read back by its own rules."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvatd.stack.daemon.metrics import Report, Watched, escape, text
from cvatd.stack.status_model import DiskStatus, InitStatus, QueueStatus, Status, UsageStatus, VersionsStatus

SAMPLE = re.compile(r'^([a-z_]+)(?:\{((?:[a-z]+="(?:[^"\\\n]|\\["\\n])*",?)+)\})? (\S+)$')
LABEL = re.compile(r'([a-z]+)="((?:[^"\\]|\\.)*)"')
REPORT = Report(
    1000.0,
    up=True,
    containers={"cvat-db": Watched("running", True, 0, False), "cvat-ui": Watched("exited", None, 3, True)},
)
STATUS = Status(
    data_dir="/var/lib/cvat",
    at=1000.0,
    url="http://127.0.0.1:8093",
    ready=True,
    wanted=True,
    reasons=[],
    containers=[],
    versions=VersionsStatus(cvat="2.80.0", data="2.80.0", postgres="15.4", redis="7.2"),
    initialised=InitStatus(state="done", words=""),
    queues=[
        QueueStatus(name="chunks", container="cvat-worker-chunks", queued=7, started=1, failed=2, workers=1, lacks="")
    ],
    queues_fault="",
    workers=[],
    usage=UsageStatus(
        parent="/cvat",
        memory=1 << 30,
        memory_max=2 << 30,
        memory_high=None,
        memory_percent=50,
        cpu_s=1.25,
        cpu_limit_percent=150,
        oom_kills=1,
        under_pressure=False,
    ),
    disk=DiskStatus(total=100, free=40, used_percent=60.0),
    warnings=[],
)


def parsed(page: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Samples by name and labels; every line must be right, and each metric's lines together below its own head."""
    samples: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    heads: list[str] = []
    assert page.endswith("\n")
    for line in page.splitlines():
        if line.startswith("# HELP "):
            heads.append(line.split()[2])
            continue
        if line.startswith("# TYPE "):
            assert line.split()[2] == heads[-1]
            assert line.split()[3] in {"gauge", "counter"}
            assert (line.split()[3] == "counter") == heads[-1].endswith("_total")
            continue
        found = SAMPLE.match(line)
        assert found, line
        assert found[1] == heads[-1]
        key = found[1], tuple(LABEL.findall(found[2] or ""))
        assert key not in samples
        samples[key] = float(found[3])
    assert len(heads) == len(set(heads))
    return samples


def test_all_figures() -> None:
    samples = parsed(text(REPORT, STATUS, 1007.5))
    plain = {name: value for (name, labels), value in samples.items() if not labels}
    assert plain == {
        "cvatd_podman_up": 1,
        "cvatd_last_look_age_seconds": 7.5,
        "cvatd_stack_wanted": 1,
        "cvatd_ready": 1,
    }
    ui = (("container", "cvat-ui"),)
    assert samples["cvatd_container_up", ui] == 0
    assert ("cvatd_container_healthy", ui) not in samples
    assert samples["cvatd_container_restarts_total", ui] == 3
    assert samples["cvatd_container_given_up", ui] == 1
    assert samples["cvatd_queue_length", (("queue", "chunks"),)] == 7
    assert samples["cvatd_queue_workers", (("queue", "chunks"),)] == 1
    assert samples["cvatd_slice_memory_max_bytes", (("slice", "/cvat"),)] == 2 << 30
    assert not any(name == "cvatd_slice_memory_high_bytes" for name, _ in samples)
    assert samples["cvatd_slice_cpu_limit_cores", (("slice", "/cvat"),)] == 1.5
    assert samples["cvatd_disk_free_bytes", (("folder", "/var/lib/cvat"),)] == 40


def test_what_is_not_known_is_missing_and_not_zero() -> None:
    samples = parsed(text(Report(fault="no socket", away=True), None, 1000.0))
    assert samples == {("cvatd_podman_up", ()): 0, ("cvatd_stack_wanted", ()): 0}


@pytest.mark.parametrize(
    ("report", "stale", "health", "podman_up"),
    [
        (Report(), True, "stale", 1),
        (Report(), False, "well", 1),
        (REPORT, False, "unwell", 1),
        (REPORT, True, "stale", 1),
        (replace(REPORT, fault="There is no Podman socket", away=True), False, "podman is away", 0),
        (replace(REPORT, fault="stack.workers: no worker serves chunks"), False, "cannot look", 1),
    ],
)
def test_only_a_podman_that_is_away_is_called_so(report: Report, stale: bool, health: str, podman_up: int) -> None:
    assert report.health(stale) == health
    assert parsed(text(report, None, 1000.0))["cvatd_podman_up", ()] == podman_up


@given(st.text())
def test_labels_survive(value: str) -> None:
    value = "".join(value.splitlines()) + "\n"
    escaped = escape(value)
    assert "\n" not in escaped
    back = re.sub(r"\\(.)", lambda found: {"n": "\n"}.get(found[1], found[1]), escaped)
    assert back == value
