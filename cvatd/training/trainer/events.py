"""What the trainer tells its worker: one JSON object a line, appended, synced where it matters."""

import json
import math
import os
import time
from pathlib import Path
from typing import Any


class EventLog:
    """Appends to events.jsonl; begins a new line where a killed trainer left half of one."""

    def __init__(self, file: Path) -> None:
        self._stream = file.open("ab+")
        size = self._stream.seek(0, os.SEEK_END)
        if size:
            self._stream.seek(size - 1)
            if self._stream.read(1) != b"\n":
                self._stream.write(b"\n")

    def append(self, kind: str, data: dict[str, Any]) -> None:
        line = json.dumps({"t": round(time.time(), 3), "type": kind, "data": plain(data)}, ensure_ascii=False)
        self._stream.write(line.encode() + b"\n")
        self._stream.flush()
        if kind != "batch":  # those are only for the eye
            os.fsync(self._stream.fileno())


def plain(value: Any) -> Any:
    """As JSON can carry it: no NaN, no infinity, no tensors."""
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if value is None or isinstance(value, str | bool | int):
        return value
    number = float(value)
    return round(number, 6) if math.isfinite(number) else None
