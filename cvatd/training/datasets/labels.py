"""Reads YOLO label files: one object a line, a box or a polygon, coordinates as shares of the image. Pure.

A line is `class x_center y_center width height`, or `class` and at least three points `x y x y x y ...`.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

MAX_CLASSES = 10_000
MAX_BYTES = 8 * 1024**2  # of one label file
MAX_LINES = 50_000
ROUNDING = 1e-3  # exporters write 1.0000001 or -0.0002: so much is rounding, and is clipped; more is an error
BOX_COLUMNS = 5
BOX_NAMES = ("x_center", "y_center", "width", "height")

Kind = Literal["label", "class"]


@dataclass(frozen=True)
class Row:
    """One object: four numbers are a box, six or more the points of a polygon; all within 0..1."""

    cls: int
    coords: tuple[float, ...]

    @property
    def is_polygon(self) -> bool:
        return len(self.coords) > len(BOX_NAMES)

    def as_box(self) -> "Row":
        """The box around a polygon; a box stays itself."""
        if not self.is_polygon:
            return self
        xs, ys = self.coords[::2], self.coords[1::2]
        left, right, top, bottom = min(xs), max(xs), min(ys), max(ys)
        return Row(self.cls, ((left + right) / 2, (top + bottom) / 2, right - left, bottom - top))

    def has_area(self) -> bool:
        box = self.as_box()
        return box.coords[2] > 0 and box.coords[3] > 0


@dataclass(frozen=True)
class Problem:
    line: int  # 1-based
    words: str
    kind: Kind = "label"


def parse_labels(data: bytes, class_count: int | None = None) -> tuple[list[Row], list[Problem]]:
    """Every good row and every problem of one label file; never raises.

    `class_count` is how many classes have names; None when none has, then any index below 10,000 is fine.
    """
    if len(data) > MAX_BYTES:
        return [], [Problem(1, f"the file has {len(data):,} bytes; at most {MAX_BYTES:,} are read")]
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return [], [Problem(line, "this is not text (UTF-8)")]
    lines = text.splitlines()
    if len(lines) > MAX_LINES:
        return [], [Problem(MAX_LINES + 1, f"the file has {len(lines):,} lines; at most {MAX_LINES:,} are read")]
    rows: list[Row] = []
    problems: list[Problem] = []
    for number, content in enumerate(lines, start=1):
        if not (tokens := content.split()):
            continue
        try:
            rows.append(_row(tokens, class_count))
        except _Bad as bad:
            problems.append(Problem(number, bad.words, bad.kind))
    return rows, problems


def format_labels(rows: Iterable[Row]) -> bytes:
    """What `parse_labels` reads back to the same rows."""
    return "".join(f"{row.cls} {' '.join(map(repr, row.coords))}\n" for row in rows).encode()


class _Bad(Exception):
    def __init__(self, words: str, kind: Kind = "label") -> None:
        self.words, self.kind = words, kind


def _row(tokens: list[str], class_count: int | None) -> Row:
    columns = len(tokens)
    if columns != BOX_COLUMNS and (columns < 7 or columns % 2 == 0):
        raise _Bad(
            f"{columns} columns; a box has 5 (class x_center y_center width height), "
            "a polygon 7 or more (class x y x y x y ...)"
        )
    cls = _class(tokens[0], class_count)
    names = BOX_NAMES if columns == BOX_COLUMNS else None
    coords = tuple(
        _share(token, names[i] if names else f"{'xy'[i % 2]} of point {i // 2 + 1}")
        for i, token in enumerate(tokens[1:])
    )
    return Row(cls, coords)


def _class(token: str, class_count: int | None) -> int:
    value = _number(token, "the class")
    if value != int(value) or value < 0:
        raise _Bad(f"the class is {_shown(token)}; it must be a whole number from 0 up")
    bound = MAX_CLASSES if class_count is None else class_count
    if value >= bound:
        known = f"there are names for 0 to {bound - 1}" if class_count is not None else f"at most {bound - 1}"
        raise _Bad(f"the class is {_shown(token)}, but {known}", "class")
    return int(value)


def _share(token: str, name: str) -> float:
    value = _number(token, name)
    if not -ROUNDING <= value <= 1 + ROUNDING:
        raise _Bad(f"{name} is {_shown(token)}; it must be within 0 to 1 (a share of the image, not pixels)")
    return min(max(value, 0.0), 1.0)


def _number(token: str, name: str) -> float:
    try:
        value = float(token)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or "_" in token or not token.isascii():
        raise _Bad(f"{name} is {_shown(token)}, which is not a number")
    return value


def _shown(token: str) -> str:
    printable = "".join(c if c.isprintable() else "?" for c in token[:24])
    return printable + ("..." if len(token) > 24 else "")
