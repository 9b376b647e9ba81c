"""A run's events as a moving line for people, or as JSON lines for programs."""

import json
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import typer

from cvatd.core.plain import plain_line

Events = Iterator[tuple[str, dict[str, Any]]]

STAGES = {
    "download": "fetching the data set",
    "unpack": "unpacking",
    "check": "checking images and labels",
    "link": "linking",
}


def show_json(events: Events) -> str:
    """One line an event; the last state."""
    state = ""
    for kind, data in events:
        typer.echo(json.dumps({"type": kind, **data}, ensure_ascii=False))
        state = data.get("state", state) if kind in {"progress", "end"} else state
    return state


def show_live(events: Events) -> str:
    """Bars on a terminal; a line for each epoch in any case, so that a log of it can be read."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from cvatd.cli.interrupts import interruptible

    console = Console(file=sys.stdout)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TimeRemainingColumn(),
    )
    state = ""
    bars = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    # rich below 14.3 ends even bars that it does not show with an empty line.
    with interruptible(), bars if console.is_terminal else nullcontext():
        bar = bars.add_task("waiting for a worker", total=1)
        for kind, data in events:
            if kind == "progress":
                state = data["state"]
                bars.update(bar, **describe(data))
            elif kind == "end":
                state = data["state"]
            else:
                words = say(kind, data.get("data", {}))
                if words:
                    console.print(plain_line(words), markup=False, highlight=False)
    return state


def describe(progress: dict[str, Any]) -> dict[str, Any]:
    """What the bar shows."""
    stage = progress["progress"]
    if progress["state"] == "preparing" and stage.get("stage") in STAGES:
        total = stage.get("total")
        return {"description": STAGES[stage["stage"]], "completed": stage["done"], "total": total or stage["done"] or 1}
    if progress["state"] == "training":
        done = progress["epoch"]
        if stage.get("epoch", 0) == done + 1 and stage.get("batches"):
            done += stage["batch"] / stage["batches"]
        return {"description": "training, epochs", "completed": done, "total": progress["epochs"]}
    return {"description": progress["state"], "completed": progress["epoch"], "total": progress["epochs"]}


def say(kind: str, data: dict[str, Any]) -> str:
    """A line for what happened; empty for what people need not read."""
    match kind:
        case "dataset":
            return f"data set   {data['train']} images to train on, {data['val']} to validate on"
        case "started":
            resumed = f", going on at epoch {data['epoch']}" if data.get("resumed") else ""
            return f"started    on {data.get('device', '?')}{resumed}"
        case "epoch":
            figures = data.get("metrics", {})
            loss = sum(value for value in data.get("loss", {}).values() if value is not None)
            map50 = figures.get("map50")
            return (
                f"epoch {data['epoch']:>3}/{data['epochs']}  loss {loss:.3f}  "
                f"mAP50 {0 if map50 is None else map50:.3f}  {data.get('seconds') or 0:.1f} s"
            )
        case "finishing":
            return "finishing  last validation and plots"
        case "interrupted":
            return f"interrupted: {data.get('reason', '')}; it goes on by itself"
        case "failed":
            return f"failed: {data.get('error')}"
        case "completed" | "cancelled" | "cancelling" | "resumed" | "reconnecting":
            return kind
    return ""
