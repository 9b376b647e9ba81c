"""Everything that the checks judge by. Each part was seen, or says why not."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from cvatd.core.settings import StackSettings
from cvatd.stack.disk_usage import EMPTY, Size
from cvatd.stack.doctor.check import Unknown
from cvatd.stack.facts import DatabaseFacts, Facts, HttpFacts, RedisFacts
from cvatd.stack.layout import Wrong
from cvatd.stack.limits import Stray, Usage
from cvatd.stack.podman import Found, Host
from cvatd.stack.readiness import InitState
from cvatd.stack.spec import Stack
from cvatd.stack.status_model import DiskStatus
from cvatd.stack.wishes import Wishes

Part = TypeVar("Part")


@dataclass(frozen=True)
class Unseen:
    """A part that could not be seen."""

    why: str


def known(part: Part | Unseen) -> Part:
    """Raises Unknown for a part that was not seen."""
    if isinstance(part, Unseen):
        raise Unknown(part.why)
    return part


@dataclass(frozen=True)
class Details:
    """Of one container, beyond what Podman lists. `oom_killed` is None where the kernel killed near it or in it."""

    restarts: int = 0
    oom_killed: bool | None = False
    networks: frozenset[str] = frozenset()
    log_bytes: int = 0


@dataclass(frozen=True)
class Files:
    """Of the data folder. `wide` are secrets that others may read, with their modes."""

    missing: list[Path] = field(default_factory=list)
    wrong: list[Wrong] = field(default_factory=list)
    wide: dict[Path, int] = field(default_factory=dict)
    lost_secrets: list[str] = field(default_factory=list)
    changing_secrets: list[str] = field(default_factory=list)
    disk: DiskStatus | None = None
    data_version: str | None = None
    postgres_major: int | None = None
    newest_state_at: float = 0.0


@dataclass(frozen=True)
class Sizes:
    """What grows. `stale_exports` are files of the export cache that cleaning should have removed long ago."""

    cache: Size = EMPTY
    kvrocks: Size = EMPTY
    logs: Size = EMPTY
    stale_exports: int = 0
    oldest_export_at: float = 0.0


@dataclass(frozen=True)
class Kernel:
    """`left_over` are conmon processes that Podman keeps after commands in containers have ended."""

    overcommit_memory: int = 1
    left_over: int = 0


@dataclass(frozen=True)
class Inside:
    """As a process in cvat-server has it. `unresolved` maps names to the resolver's words."""

    unresolved: dict[str, str] = field(default_factory=dict)
    unwritable: list[str] = field(default_factory=list)
    share_fault: str = ""


@dataclass(frozen=True)
class Rules:
    """What OPA says of itself: whether it answers, whether its bundle is active."""

    answers: bool = True
    bundle: bool = True
    words: str = ""


@dataclass(frozen=True)
class Evidence:
    """`image_ids` maps the images that are declared to their ids here, None where there is none; `passwords` are those
    that no finding may show.
    """

    settings: StackSettings
    stack: Stack
    now: float
    wishes: Wishes
    files: Files | Unseen
    sizes: Sizes | Unseen
    kernel: Kernel | Unseen
    port_holder: str | Unseen | None
    host: Host | Unseen
    found: Mapping[str, Found] | Unseen
    facts: Facts | Unseen
    init: InitState | Unseen
    initial_mark: Mapping[str, str]
    details: Mapping[str, Details] | Unseen
    image_ids: Mapping[str, str | None] | Unseen
    has_network: bool | Unseen
    usage: Usage | Unseen | None
    strays: list[Stray] | Unseen
    inside: Inside | Unseen
    rules: Rules | Unseen
    lines: Mapping[str, list[str]] | Unseen
    restarts: Mapping[str, int]
    passwords: Collection[str] = field(default=(), repr=False)

    @property
    def up(self) -> bool:
        """Whether anything of CVAT runs. Raises Unknown."""
        return any(self.runs(name) for name in self.stack.names)

    def runs(self, name: str) -> bool:
        """Raises Unknown."""
        found = known(self.found).get(name)
        return found is not None and found.running

    def database(self) -> DatabaseFacts:
        """Raises Unknown where it could not be asked."""
        database = known(self.facts).database
        if database.fault == "away":
            raise Unknown(database.words)
        return database

    def redis(self) -> RedisFacts:
        """Raises Unknown where it could not be asked."""
        redis = known(self.facts).redis
        if redis.fault:
            raise Unknown(redis.fault)
        return redis

    def http(self) -> HttpFacts:
        """Raises Unknown where nothing answered."""
        http = known(self.facts).http
        if http.fault:
            raise Unknown(http.fault)
        return http

    def last_lines(self, name: str) -> list[str]:
        """Of a container's log; none for one that is not there. Raises Unknown."""
        return known(self.lines).get(name, [])
