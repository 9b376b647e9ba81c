"""Evidence of a stack with which all is well, to be changed in one thing."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from cvatd.core.settings import StackSettings
from cvatd.stack.doctor.evidence import Details, Evidence, Files, Inside, Kernel, Rules, Sizes
from cvatd.stack.facts import DatabaseFacts, Facts, HttpFacts, Queue, RedisFacts, Worker
from cvatd.stack.limits import Usage
from cvatd.stack.podman import Found, Host
from cvatd.stack.readiness import InitState
from cvatd.stack.render import render
from cvatd.stack.status_model import DiskStatus
from cvatd.stack.wishes import Wishes

NOW = 1_700_000_000.0
GB = 1 << 30
DATA = Path("/srv/cvat")
SETTINGS = StackSettings(data_dir=DATA, limits={"memory_high": 4 * GB, "memory_max": 4 * GB})  # type: ignore[arg-type]
STACK = render(SETTINGS)
SERVER_ID = "5" * 64
CHECKS = {"Cache backend: media": "working", "OPAHealthCheck": "working", "DiskUsage": "working"}
HOST = Host("4.3.1", "systemd", "v2", False, Path("/var/lib/containers"))


def found(name: str, **changes: Any) -> Found:
    container = STACK.container(name) if name in STACK.names else STACK.container("cvat-server")
    fields: dict[str, Any] = {
        "id": "1" * 64,
        "name": name,
        "state": "running",
        "image": container.image,
        "image_id": SERVER_ID,
        "pid": 7,
        "exit_code": 0,
        "started_at": NOW - 3600,
        "exited_at": 0.0,
        "spec": container.model_dump_json(),
        "ours": True,
        "systemd_unit": None,
    }
    return Found(**fields | changes)


FOUND = {name: found(name) for name in STACK.names}
DATABASE = DatabaseFacts("15.4", frozenset({"auth.0001"}), {"admin": "mark"})
REDIS = RedisFacts(
    {"import": Queue(2, 1, 0)},
    [Worker(c.name, c.queues, "idle", 1.0) for c in STACK.containers if c.queues],
    SERVER_ID,
    {"rdb_last_bgsave_status": "ok", "aof_last_write_status": "ok"},
)
HTTP = HttpFacts(200, CHECKS, 200)
USAGE = Usage(GB, 4 * GB, 4 * GB, 10.0, 100, 0, False)
FILES = Files(
    disk=DiskStatus(total=100 * GB, free=40 * GB, used_percent=60.0),
    data_version=STACK.version,
    postgres_major=15,
    newest_state_at=NOW - 60,
)


def good(**changes: Any) -> Evidence:
    fields: dict[str, Any] = {
        "settings": SETTINGS,
        "stack": STACK,
        "now": NOW,
        "wishes": Wishes(up=True),
        "files": FILES,
        "sizes": Sizes(),
        "kernel": Kernel(),
        "port_holder": None,
        "host": HOST,
        "found": FOUND,
        "facts": Facts(FOUND, DATABASE, REDIS, HTTP),
        "init": InitState("done", "nothing to do"),
        "initial_mark": {"username": "admin", "mark": "mark"},
        "details": dict.fromkeys(STACK.names, Details()),
        "image_ids": {container.image: SERVER_ID for container in STACK.containers},
        "has_network": True,
        "usage": USAGE,
        "strays": [],
        "inside": Inside(),
        "rules": Rules(),
        "lines": {name: ["all is well"] for name in STACK.names},
        "restarts": {},
    }
    return Evidence(**fields | changes)


def with_found(*changed: Found, without: tuple[str, ...] = (), **changes: Any) -> Evidence:
    """Some containers as given, some away."""
    containers = {name: one for name, one in FOUND.items() if name not in without} | {one.name: one for one in changed}
    return good(found=containers, facts=Facts(containers, DATABASE, REDIS, HTTP), **changes)


def with_facts(**changes: Any) -> Evidence:
    return good(facts=replace(good().facts, **changes))  # type: ignore[type-var]


def with_files(**changes: Any) -> Evidence:
    return good(files=replace(FILES, **changes))


def with_lines(name: str, *lines: str, **changes: Any) -> Evidence:
    return good(lines={name: ["before", *lines, "after"]}, **changes)


def with_settings(**changes: Any) -> Evidence:
    settings = SETTINGS.model_copy(update=changes)
    return good(settings=settings)
