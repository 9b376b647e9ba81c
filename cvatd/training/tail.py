"""Reads what the trainer appends to events.jsonl, line by whole line, from a byte offset on."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cvatd.core import log

READ_BYTES = 1 << 20  # at a time, so that a file gone wild cannot fill our memory

logger = log.get(__name__)


@dataclass(frozen=True)
class TrainerEvent:
    type: str
    data: dict[str, Any]
    end: int  # the offset of the byte behind it


def read_events(file: Path, offset: int) -> list[TrainerEvent]:
    """The whole lines behind `offset`; half a line at the end is left for the next call."""
    try:
        with file.open("rb") as stream:
            stream.seek(offset)
            block = stream.read(READ_BYTES)
    except FileNotFoundError:
        return []
    if b"\n" not in block and len(block) == READ_BYTES:
        return [TrainerEvent("skipped", {}, offset + len(block))]  # no line of ours is that long
    events = []
    *lines, _ = block.split(b"\n")
    for line in lines:
        offset += len(line) + 1
        kind, data = _parse(line)
        events.append(TrainerEvent(kind, data, offset))
    return events


def _parse(line: bytes) -> tuple[str, dict[str, Any]]:
    try:
        value = json.loads(line)
        kind, data = value["type"], value["data"]
        if isinstance(kind, str) and isinstance(data, dict):
            return kind, data
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    if line:
        # Half a line that a killed trainer left behind.
        logger.warning("a line of events.jsonl is not an event", line=line[:200].decode(errors="replace"))
    return "skipped", {}
