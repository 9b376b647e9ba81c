"""What the store learns from the trainer's events, each in one transaction with the offset that was read.

So an event counts exactly once, whoever reads it and however often a worker dies.
"""

from dataclasses import dataclass, field
from typing import Any

from cvatd.core.database import Connection, Pool
from cvatd.training import states, store
from cvatd.training.jobs import Callback, Run
from cvatd.training.tail import TrainerEvent

TERMINAL = frozenset({"finished", "stopped", "failed"})


@dataclass
class Recorder:
    """Writes a run's events into the store; `terminal` is the trainer's own last word, once it has said one."""

    pool: Pool
    run: Run
    offset: int = field(init=False)
    terminal: TrainerEvent | None = None

    def __post_init__(self) -> None:
        self.offset = self.run.events_offset
        self._told_start = self.run.versions is not None

    def record(self, events: list[TrainerEvent]) -> None:
        """Raises LeaseLost, and psycopg.OperationalError when the store is away: then call it again."""
        newest_batch = None
        for event in events:
            if event.type == "batch":
                newest_batch = event
            else:
                self._record_one(event)
        if newest_batch is not None and newest_batch is events[-1]:
            with self.pool.connection() as connection:
                store.set_progress(connection, self.run, {"stage": "training", **newest_batch.data})
                store.set_offset(connection, self.run, newest_batch.end)
            self.offset = newest_batch.end

    def _record_one(self, event: TrainerEvent) -> None:
        data = event.data
        with self.pool.connection() as connection:
            match event.type:
                case "started":
                    store.move(connection, self.run, states.Event.TRAIN)
                    store.set_started(connection, self.run, _facts(data), int(data.get("epochs", self.run.epochs)))
                    store.append_event(connection, self.run.id, "started", data)
                    if not self._told_start:
                        store.tell(connection, self.run, Callback.STARTED, data)
                case "epoch":
                    self._record_epoch(connection, data)
                case "finishing":
                    store.move(connection, self.run, states.Event.FINISH)
                    store.append_event(connection, self.run.id, "finishing", data)
                case _:
                    pass  # terminal events are judged by the worker
            store.set_offset(connection, self.run, event.end)
        self.offset = event.end
        if event.type == "started":
            self._told_start, self.terminal = True, None
        elif event.type in TERMINAL:
            self.terminal = event

    def _record_epoch(self, connection: Connection, data: dict[str, Any]) -> None:
        epoch, epochs = int(data["epoch"]), int(data["epochs"])
        if store.append_event(connection, self.run.id, "epoch", data) is None:
            return  # redone after a crash: it was reported before
        metrics = {name: value for name, value in data.get("metrics", {}).items() if value is not None}
        store.set_epoch(connection, self.run, epoch, epochs, metrics)
        store.tell(
            connection,
            self.run,
            Callback.PROGRESS,
            {**data, "percent": round(100 * epoch / max(epochs, 1), 1)},
            replaces=True,
        )


def _facts(started: dict[str, Any]) -> dict[str, Any]:
    return {key: started[key] for key in ("versions", "device", "seed", "model", "parameters") if key in started}
