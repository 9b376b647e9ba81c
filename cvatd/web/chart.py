"""Curves as SVG: thin lines, labels at their ends, a grid that people can read figures from. Pure."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 560, 220
LEFT, RIGHT, TOP, BOTTOM = 44, 96, 12, 28
LABEL_GAP = 14  # between the labels of two lines that end close to each other
TICKS = 5


@dataclass(frozen=True)
class Series:
    """One line. `values[i]` belongs to epoch i + 1; None leaves a gap. `kind` is its class: its colour and stroke."""

    label: str
    kind: str
    values: Sequence[float | None]


@dataclass(frozen=True)
class Dot:
    x: float
    y: float
    words: str


@dataclass(frozen=True)
class Line:
    label: str
    kind: str
    paths: list[str]
    dots: list[Dot]
    label_y: float


@dataclass(frozen=True)
class Chart:
    """What the template draws, in units of the view box."""

    title: str
    width: int
    height: int
    left: int
    right: float
    top: int
    bottom: float
    lines: list[Line]
    y_ticks: list[tuple[float, str]]
    x_ticks: list[tuple[float, str]]


def draw(title: str, series: Sequence[Series], top_value: float | None = None) -> Chart | None:
    """None while there is nothing to draw. The vertical axis begins at zero; `top_value` fixes its end."""
    epochs = max((len(line.values) for line in series), default=0)
    values = [value for line in series for value in line.values if value is not None and math.isfinite(value)]
    if not values or not epochs:
        return None
    highest = top_value or max(*values, 0.0) or 1.0
    y_values = ticks(min(*values, 0.0), highest)
    low, high = y_values[0], y_values[-1] if top_value is None else top_value
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM

    def x(epoch: int) -> float:
        return LEFT + (right - LEFT) * ((epoch - 1) / (epochs - 1) if epochs > 1 else 0.5)

    def y(value: float) -> float:
        share = (min(max(value, low), high) - low) / (high - low)
        return round(bottom - (bottom - TOP) * share, 2)

    lines = [_line(one, x, y) for one in series if any(_finite(value) for value in one.values)]
    return Chart(
        title=title,
        width=WIDTH,
        height=HEIGHT,
        left=LEFT,
        right=right,
        top=TOP,
        bottom=bottom,
        lines=_apart(lines),
        y_ticks=[(y(value), _short(value)) for value in y_values if value <= high],
        x_ticks=[(round(x(epoch), 2), str(epoch)) for epoch in epoch_ticks(epochs)],
    )


def ticks(low: float, high: float) -> list[float]:
    """Round figures from at or below `low` to at or above `high`, rising."""
    span = max(high - low, 1e-9, abs(high) * 1e-9)
    raw = span / TICKS
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * magnitude for factor in (1, 2, 2.5, 5, 10) if factor * magnitude >= raw * 0.999)
    first = math.floor(low / step + 1e-9)
    last = max(math.ceil(high / step - 1e-9), first + 1)
    return [round(number * step, 12) for number in range(first, last + 1)]


def epoch_ticks(epochs: int) -> list[int]:
    """A few epochs for the horizontal axis: the first, the last, round ones between."""
    if epochs <= TICKS + 1:
        return list(range(1, epochs + 1))
    step = int(ticks(0, epochs)[1]) or 1
    inner = [epoch for epoch in range(step, epochs, step) if epoch > 1 and epochs - epoch > step / 3]
    return [1, *inner, epochs]


def _line(series: Series, x: Callable[[int], float], y: Callable[[float], float]) -> Line:
    dots = [
        Dot(round(x(number), 2), y(value), f"{series.label}, epoch {number}: {value:.4g}")
        for number, value in enumerate(series.values, start=1)
        if value is not None and _finite(value)
    ]
    paths: list[list[str]] = []
    previous = None
    for number, value in enumerate(series.values, start=1):
        if value is None or not _finite(value):
            previous = None
            continue
        if previous is None:
            paths.append([])
        paths[-1].append(f"{x(number):.2f},{y(value):.2f}")
        previous = value
    return Line(series.label, series.kind, [" ".join(path) for path in paths], dots, dots[-1].y)


def _apart(lines: list[Line]) -> list[Line]:
    """Move labels down until none covers another."""
    moved: dict[int, float] = {}
    floor = -math.inf
    for index in sorted(range(len(lines)), key=lambda i: lines[i].label_y):
        moved[index] = max(lines[index].label_y, floor + LABEL_GAP)
        floor = moved[index]
    excess = max(0.0, floor - (HEIGHT - BOTTOM))
    return [
        Line(line.label, line.kind, line.paths, line.dots, round(moved[index] - excess, 2))
        for index, line in enumerate(lines)
    ]


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _short(value: float) -> str:
    return f"{value:.4g}"
