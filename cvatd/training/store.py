"""The store of runs: each function is one statement or one small transaction on PostgreSQL.

A write of a worker names its attempt; one that has lost its lease changes nothing and gets LeaseLost.
"""

from dataclasses import asdict
from typing import Any

from psycopg.types.json import Jsonb

from cvatd.core import outbox
from cvatd.core.database import Connection
from cvatd.core.errors import CvatdError
from cvatd.core.queries import queries
from cvatd.training import states
from cvatd.training.jobs import Artifact, Callback, Event, NewRun, Run
from cvatd.training.states import State

LOCK_CLASS = 0x52554E  # "RUN": the first half of the advisory lock of a run; its id is the second

Row = dict[str, Any]


class LeaseLost(Exception):
    """Another worker holds this run now: this one must let go of it and write nothing more."""


def _all(connection: Connection, name: str, **values: Any) -> list[Row]:
    return connection.execute(queries(__package__, "store.sql")[name], values).fetchall()


def _one(connection: Connection, name: str, **values: Any) -> Row | None:
    return connection.execute(queries(__package__, "store.sql")[name], values).fetchone()


def _fenced(connection: Connection, name: str, **values: Any) -> Row:
    row = _one(connection, name, **values)
    if row is None:
        raise LeaseLost
    return row


def _notify(connection: Connection, run_id: int) -> None:
    _one(connection, "notify", id=run_id)


# Reading


def get(connection: Connection, run_id: int) -> Run:
    """Raises CvatdError "run_unknown"."""
    # Beyond bigint PostgreSQL would refuse the number itself.
    row = _one(connection, "get", id=run_id) if 0 < run_id < 2**63 else None
    if row is None:
        raise CvatdError("run_unknown", f"There is no run {run_id}. `cvatd train list` shows those there are.")
    return Run.of(row)


def by_job_id(connection: Connection, job_id: str) -> Run | None:
    row = _one(connection, "by_job_id", job_id=job_id)
    return Run.of(row) if row else None


def list_runs(
    connection: Connection,
    before: int | None = None,
    state: str | None = None,
    query: str | None = None,
    limit: int = 50,
) -> list[Run]:
    """Newest first; `before` is the id below which the page begins."""
    return [Run.of(row) for row in _all(connection, "list", before=before, state=state, query=query, limit=limit)]


def counts(connection: Connection) -> dict[str, int]:
    return {row["state"]: row["runs"] for row in _all(connection, "counts")}


def events_after(connection: Connection, run_id: int, after: int = 0, limit: int = 1000) -> list[Event]:
    return [Event(**row) for row in _all(connection, "events_after", id=run_id, after=after, limit=limit)]


def artifacts(connection: Connection, run_id: int) -> list[Artifact]:
    return [Artifact(**row) for row in _all(connection, "artifacts", id=run_id)]


# Asked for by people and programs


def insert(connection: Connection, new: NewRun) -> Run | None:
    """Store an accepted request with its first event; None when its job_id is taken."""
    row = _one(connection, "insert", **{**asdict(new), "config": Jsonb(new.config), "args": Jsonb(new.args)})
    if row is None:
        return None
    append_event(connection, row["id"], "accepted", {})
    return Run.of(row)


def cancel(connection: Connection, run_id: int) -> Run:
    """Move towards cancelled; the run as it is afterwards. Raises CvatdError "run_unknown"."""
    run = get_for_update(connection, run_id)
    target = states.next_state(run.state, states.Event.CANCEL)
    if target == run.state:
        return run
    cancelled = Run.of(_fenced(connection, "cancel", id=run_id, state=run.state, to=target))
    if target is State.CANCELLED:
        _conclude(connection, cancelled)
    else:
        append_event(connection, run_id, "cancelling", {})
    return cancelled


def resume(connection: Connection, run_id: int) -> Run:
    """Queue a failed or cancelled run again. Raises TransitionRefused in other states."""
    run = get_for_update(connection, run_id)
    states.next_state(run.state, states.Event.RESUME)
    row = _fenced(connection, "resume", id=run_id, state=run.state)
    append_event(connection, run_id, "resumed", {"epoch": run.epoch})
    return Run.of(row)


def get_for_update(connection: Connection, run_id: int) -> Run:
    get(connection, run_id)
    return Run.of(_fenced(connection, "get_for_update", id=run_id))


# Written by the worker that holds the lease


def claim(connection: Connection, run_id: int, worker: str) -> Run | None:
    """Take the lease; None when the run is not to be had (taken, ended, unknown)."""
    row = _one(connection, "claim", id=run_id, worker=worker, **{"from": sorted(states.CLAIMABLE)})
    if row is not None:
        _notify(connection, run_id)
    return Run.of(row) if row else None


def heartbeat(connection: Connection, run_id: int, attempt: int) -> State:
    """Keep the lease, and learn of a wish to cancel. Raises LeaseLost."""
    return State(_fenced(connection, "heartbeat", id=run_id, attempt=attempt)["state"])


def move(connection: Connection, run: Run, event: states.Event) -> None:
    """Take the run on; in `cancelling` nothing moves, the worker sees that by its heartbeat."""
    current = State(_fenced(connection, "heartbeat", id=run.id, attempt=run.attempt)["state"])
    if current is State.CANCELLING or current == states.TRANSITIONS.get((State.PREPARING, event)):
        return
    target = states.next_state(current, event)
    _fenced(connection, "move", id=run.id, attempt=run.attempt, to=target, **{"from": [current]})
    _notify(connection, run.id)


def end(
    connection: Connection,
    run: Run,
    event: states.Event,
    code: str | None = None,
    message: str | None = None,
    metrics: dict[str, Any] | None = None,
) -> State:
    """Record how the run ended. What ends while it is being cancelled ends as cancelled."""
    current = State(_fenced(connection, "heartbeat", id=run.id, attempt=run.attempt)["state"])
    if current is State.CANCELLING:
        event, code, message = states.Event.STOPPED, None, None
    target = states.next_state(current, event)
    row = _fenced(
        connection,
        "end",
        id=run.id,
        attempt=run.attempt,
        to=target,
        code=code,
        message=message,
        metrics=Jsonb(metrics) if metrics else None,
        **{"from": [current]},
    )
    _conclude(connection, Run.of(row))
    return target


def _conclude(connection: Connection, run: Run) -> None:
    """The last event of a run and the last message to its caller."""
    if run.state is State.COMPLETED:
        data: Row = {"metrics": run.metrics or {}, "epochs": run.epoch}
    elif run.state is State.CANCELLED:
        data = {"code": "cancelled", "error": f"Cancelled on request after {run.epoch} of {run.epochs} epochs."}
    else:
        data = {"code": run.error_code, "error": run.error_message}
    append_event(connection, run.id, run.state.value, data)
    tell(connection, run, Callback.COMPLETED if run.state is State.COMPLETED else Callback.FAILED, data)


def tell(connection: Connection, run: Run, kind: Callback, data: Row, replaces: bool = False) -> None:
    """Write a message to the caller into the outbox, if the caller wants any."""
    if run.callback_url:
        outbox.put(connection, run.id, kind, data, replaces)


def release(connection: Connection, run: Run, reason: str, losses: int) -> None:
    """Let go of a run that is not at its end: another worker goes on with it."""
    current = State(_fenced(connection, "heartbeat", id=run.id, attempt=run.attempt)["state"])
    target = states.next_state(current, states.Event.LOSE)
    _fenced(connection, "release", id=run.id, attempt=run.attempt, state=current, to=target, losses=losses)
    append_event(connection, run.id, "interrupted", {"reason": reason})


def give_up(connection: Connection, run: Run, code: str, message: str) -> None:
    """End a run that nobody holds, or whose worker is gone, as failed."""
    row = _fenced(connection, "give_up", id=run.id, attempt=run.attempt, state=run.state, code=code, message=message)
    _conclude(connection, Run.of(row))


def set_progress(connection: Connection, run: Run, progress: dict[str, Any]) -> None:
    _fenced(connection, "set_progress", id=run.id, attempt=run.attempt, progress=Jsonb(progress))
    _notify(connection, run.id)


def set_dataset(connection: Connection, run: Run, dataset: dict[str, Any]) -> None:
    _fenced(connection, "set_dataset", id=run.id, attempt=run.attempt, dataset=Jsonb(dataset))


def set_started(connection: Connection, run: Run, versions: dict[str, Any], epochs: int) -> None:
    _fenced(connection, "set_started", id=run.id, attempt=run.attempt, versions=Jsonb(versions), epochs=epochs)


def set_epoch(connection: Connection, run: Run, epoch: int, epochs: int, metrics: dict[str, Any]) -> None:
    _fenced(connection, "set_epoch", id=run.id, attempt=run.attempt, epoch=epoch, epochs=epochs, metrics=Jsonb(metrics))


def set_offset(connection: Connection, run: Run, offset: int) -> None:
    _fenced(connection, "set_offset", id=run.id, attempt=run.attempt, offset=offset)


def put_artifact(connection: Connection, run: Run, artifact: Artifact) -> None:
    connection.execute(queries(__package__, "store.sql")["put_artifact"], {"id": run.id, **asdict(artifact)})


def append_event(connection: Connection, run_id: int, kind: str, data: dict[str, Any]) -> int | None:
    """Append to what happened and wake those who watch; None for an epoch that was reported before."""
    row = _one(connection, "append_event", id=run_id, type=kind, data=Jsonb(data))
    _notify(connection, run_id)
    return row["seq"] if row else None


# Asked by the reconciler


def leased(connection: Connection) -> list[Row]:
    """Rows of leased runs with `silent_s` (age of the heartbeat) and `lock_pid` (None: nobody holds the lock)."""
    return _all(connection, "leased", lock_class=LOCK_CLASS)


def terminate_backend(connection: Connection, pid: int) -> None:
    _one(connection, "terminate_backend", pid=pid)


def unrung(connection: Connection, older_s: float) -> list[Row]:
    return _all(connection, "unrung", states=sorted(states.CLAIMABLE), older_s=older_s)


def rung(connection: Connection, run_ids: list[int]) -> None:
    connection.execute(queries(__package__, "store.sql")["rung"], {"ids": run_ids})
