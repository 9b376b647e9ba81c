"""What the daemon must still know after a restart of its own: what it has done, and what it was in the middle of."""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cvatd.core.settings import StackSettings
from cvatd.stack.daemon.decide import History
from cvatd.stack.daemon.ends import Span
from cvatd.stack.layout import write_atomically


@dataclass(frozen=True)
class Memory:
    """`acting_since` is set while the daemon itself changes containers, in Unix seconds; `units` are systemd's."""

    histories: Mapping[str, History] = field(default_factory=dict)
    acting_since: float | None = None
    units: Mapping[str, str] = field(default_factory=dict)

    def lost(self, now: float) -> list[Span]:
        """The act that a daemon was killed in: what ended then was not stopped by a person."""
        return [Span(self.acting_since, now)] if self.acting_since is not None else []


def read(settings: StackSettings) -> Memory:
    """Whatever cannot be read is forgotten."""
    try:
        content: dict[str, Any] = json.loads(_file(settings).read_text())
        histories = {
            str(name): History(
                tuple(float(at) for at in kept["restarts"]), int(kept["level"]), None, kept["given_up"] is True
            )
            for name, kept in content["histories"].items()
        }
        acting, units = content["acting_since"], content["units"]
        return Memory(
            histories, None if acting is None else float(acting), {str(name): str(unit) for name, unit in units.items()}
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Memory()


def write(settings: StackSettings, memory: Memory) -> None:
    """Nothing where no stack was ever prepared."""
    file = _file(settings)
    if not file.parent.is_dir():
        return
    histories = {name: asdict(history) for name, history in memory.histories.items() if history.restarts}
    content = {"histories": histories, "acting_since": memory.acting_since, "units": dict(memory.units)}
    with contextlib.suppress(OSError):  # a full disk must not end the daemon
        write_atomically(file, json.dumps(content) + "\n", 0o600)


def _file(settings: StackSettings) -> Path:
    return settings.data_dir / "state" / "daemon.json"
