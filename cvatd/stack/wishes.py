"""What the operator asked for last: the stack up or down, and containers that were stopped by hand.

In a file beside the data, so that the daemon mends and never fights, also after a restart of the host.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

from cvatd.core.settings import StackSettings
from cvatd.stack.layout import write_atomically


@dataclass(frozen=True)
class Wishes:
    up: bool = False
    stopped: frozenset[str] = field(default_factory=frozenset)

    def wants(self, container: str) -> bool:
        return self.up and container not in self.stopped


def read(settings: StackSettings) -> Wishes:
    try:
        content = json.loads(_file(settings).read_text())
        return Wishes(bool(content["up"]), frozenset(content["stopped"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Wishes()


def set_up(settings: StackSettings) -> None:
    """`up` starts all, also what was stopped by hand."""
    if read(settings) != Wishes(up=True):  # a write waits for the disk
        _write(settings, Wishes(up=True))


def set_down(settings: StackSettings) -> None:
    if _file(settings).parent.is_dir():
        _write(settings, Wishes(up=False))


def stopped(settings: StackSettings, name: str) -> None:
    """Somebody stopped it by hand."""
    wishes = read(settings)
    _write(settings, Wishes(wishes.up, wishes.stopped | {name}))


def wanted(settings: StackSettings, names: list[str]) -> None:
    """Somebody started these by hand."""
    wishes = read(settings)
    if wishes.stopped & set(names):
        _write(settings, Wishes(wishes.up, wishes.stopped - set(names)))


def _write(settings: StackSettings, wishes: Wishes) -> None:
    write_atomically(_file(settings), json.dumps({"up": wishes.up, "stopped": sorted(wishes.stopped)}) + "\n", 0o600)


def _file(settings: StackSettings) -> Path:
    return settings.data_dir / "state" / "wishes.json"
