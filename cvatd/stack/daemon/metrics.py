"""The daemon's figures in Prometheus' text format. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from cvatd.stack.status_model import Status

TYPE = "text/plain; version=0.0.4; charset=utf-8"
Labels = Mapping[str, str]


@dataclass(frozen=True)
class Watched:
    """One container as the daemon sees it. `well` is None where it is not known; `wanted`: it should run."""

    state: str
    well: bool | None
    restarts: int
    given_up: bool
    wanted: bool = True
    says: str = ""


@dataclass(frozen=True)
class Report:
    """`looked_at` is the moment of the last look that came to its end, in Unix seconds; 0 for none.

    `fault` is why the one after it did not; `away`: because Podman did not answer.
    """

    looked_at: float = 0.0
    fault: str = ""
    away: bool = False
    up: bool = False
    containers: Mapping[str, Watched] = field(default_factory=dict)

    def health(self, stale: bool) -> str:
        """In a word or three."""
        if self.fault:
            return "podman is away" if self.away else "cannot look"
        unwell = any(one.wanted and (one.state != "running" or one.well is False) for one in self.containers.values())
        return "stale" if stale else "unwell" if unwell else "well"


def text(report: Report, status: Status | None, now: float) -> str:
    """`status` is None where it could not be had: its figures are then missing, not zero."""
    page = _Page()
    page.add("cvatd_podman_up", "gauge", "Whether Podman answered the last look.", [({}, not report.away)])
    if report.looked_at:
        age_s = max(0.0, now - report.looked_at)
        page.add("cvatd_last_look_age_seconds", "gauge", "Since the last look that came to its end.", [({}, age_s)])
    page.add("cvatd_stack_wanted", "gauge", "Whether the stack is to be up.", [({}, report.up)])
    _containers(page, report.containers)
    if status is not None:
        page.add("cvatd_ready", "gauge", "Whether CVAT as a whole is ready.", [({}, status.ready)])
        _queues(page, status)
        _resources(page, status)
    return page.text()


def _containers(page: "_Page", containers: Mapping[str, Watched]) -> None:
    each = [({"container": name}, watched) for name, watched in sorted(containers.items())]
    page.add(
        "cvatd_container_up", "gauge", "Whether it runs.", [(labels, seen.state == "running") for labels, seen in each]
    )
    page.add(
        "cvatd_container_healthy",
        "gauge",
        "Whether its check is content; missing while that is not known.",
        [(labels, seen.well) for labels, seen in each if seen.well is not None],
    )
    page.add(
        "cvatd_container_restarts_total",
        "counter",
        "How often the daemon started it again.",
        [(labels, seen.restarts) for labels, seen in each],
    )
    page.add(
        "cvatd_container_given_up",
        "gauge",
        "Whether the daemon starts it no more.",
        [(labels, seen.given_up) for labels, seen in each],
    )


def _queues(page: "_Page", status: Status) -> None:
    each = [({"queue": queue.name}, queue) for queue in status.queues]
    page.add("cvatd_queue_length", "gauge", "Work that waits.", [(labels, queue.queued) for labels, queue in each])
    page.add("cvatd_queue_started", "gauge", "Work in progress.", [(labels, queue.started) for labels, queue in each])
    page.add("cvatd_queue_failed", "gauge", "Work that failed.", [(labels, queue.failed) for labels, queue in each])
    page.add("cvatd_queue_workers", "gauge", "Workers alive.", [(labels, queue.workers) for labels, queue in each])


def _resources(page: "_Page", status: Status) -> None:
    if (usage := status.usage) is not None:
        slice_ = {"slice": usage.parent}
        page.add("cvatd_slice_memory_bytes", "gauge", "Used, without the file cache.", [(slice_, usage.memory)])
        for name, words, limit in (
            ("cvatd_slice_memory_max_bytes", "Above this the kernel kills.", usage.memory_max),
            ("cvatd_slice_memory_high_bytes", "Above this the kernel slows down.", usage.memory_high),
        ):
            if limit is not None:
                page.add(name, "gauge", words, [(slice_, limit)])
        page.add("cvatd_slice_cpu_seconds_total", "counter", "Processor time.", [(slice_, usage.cpu_s)])
        if usage.cpu_limit_percent is not None:
            limit_cores = usage.cpu_limit_percent / 100
            page.add("cvatd_slice_cpu_limit_cores", "gauge", "Processors it may use.", [(slice_, limit_cores)])
        page.add("cvatd_slice_oom_kills_total", "counter", "Kills for want of memory.", [(slice_, usage.oom_kills)])
    if (disk := status.disk) is not None:
        folder = {"folder": str(status.data_dir)}
        page.add("cvatd_disk_total_bytes", "gauge", "Of the data folder's disk.", [(folder, disk.total)])
        page.add("cvatd_disk_free_bytes", "gauge", "Of the data folder's disk.", [(folder, disk.free)])


class _Page:
    def __init__(self) -> None:
        self._lines: list[str] = []

    def add(self, name: str, kind: str, words: str, values: Iterable[tuple[Labels, float]]) -> None:
        """Nothing for a metric without values."""
        samples = [f"{name}{_labels(labels)} {float(value):.17g}" for labels, value in values]
        if samples:
            self._lines += [f"# HELP {name} {words}", f"# TYPE {name} {kind}", *samples]

    def text(self) -> str:
        return "\n".join(self._lines) + "\n"


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{escape(value)}"' for name, value in labels.items()) + "}"


def escape(value: str) -> str:
    """A label's value, as the format wants it: it ends at a quote and may hold no line's end."""
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
