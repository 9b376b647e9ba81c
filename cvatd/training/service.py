"""Runs as the faces see them: what can be asked of the training domain, over HTTP or a page alike."""

from collections.abc import Callable
from pathlib import Path
from uuid import UUID

from rq import Queue

from cvatd.core import outbox
from cvatd.core.database import Pool
from cvatd.core.errors import CvatdError
from cvatd.core.settings import Settings
from cvatd.core.urlguard import UrlGuard
from cvatd.training import base_model, queue, results, store
from cvatd.training.arguments import check_config
from cvatd.training.description import Description
from cvatd.training.jobs import Artifact, Event, NewRun, Run
from cvatd.training.request import TrainRequest
from cvatd.training.sources import check_source
from cvatd.training.states import ENDED

DEFAULT_EPOCHS = 100  # Ultralytics' own


class Runs:
    """Needs a migrated store. `describe` tells what the trainer can do; it may take seconds the first time."""

    def __init__(
        self, settings: Settings, pool: Pool, doorbell: Queue, guard: UrlGuard, describe: Callable[[], Description]
    ) -> None:
        self._settings = settings
        self._pool = pool
        self._doorbell = doorbell
        self._guard = guard
        self._describe = describe

    def submit(self, request: TrainRequest) -> tuple[Run, bool]:
        """Accept a run; the second value is False when the same request was accepted before.

        Raises CvatdError: "job_id_taken", "url_refused", "base_model", "config" and the like.
        """
        fingerprint = request.fingerprint()
        with self._pool.connection() as connection:
            known = store.by_job_id(connection, request.job_id)
        if known is not None:
            return _same(known, fingerprint), False
        new = self._check(request, fingerprint)
        with self._pool.connection() as connection:
            run = store.insert(connection, new)
            if run is None:  # another request of this name was faster
                known = store.by_job_id(connection, request.job_id)
        if run is None:
            if known is None:
                raise CvatdError("busy", "The run was removed while it was asked for. Ask again.")
            return _same(known, fingerprint), False
        queue.ring(self._doorbell, run.id, run.attempt)
        return run, True

    def _check(self, request: TrainRequest, fingerprint: str) -> NewRun:
        description = self._describe()
        base = base_model.check_name(request.base_model, description)
        args = check_config(request.config, description)
        check_source(request.dataset_url, self._guard, self._settings.dataset.file_roots)
        if request.callback_url:
            self._guard.check(request.callback_url)
        return NewRun(
            job_id=request.job_id,
            request_sha256=fingerprint,
            dataset_url=request.dataset_url,
            callback_url=request.callback_url,
            callback_token=request.callback_token,
            base_model=base,
            model_name=request.model_name,
            config=request.config,
            args=args,
            epochs=int(str(args.get("epochs", DEFAULT_EPOCHS))),
        )

    def get(self, run_id: int) -> Run:
        with self._pool.connection() as connection:
            return store.get(connection, run_id)

    def find(self, job_id: str) -> Run | None:
        with self._pool.connection() as connection:
            return store.by_job_id(connection, job_id)

    def page(self, before: int | None, state: str | None, query: str | None, limit: int) -> list[Run]:
        with self._pool.connection() as connection:
            return store.list_runs(connection, before, state, query, limit)

    def counts(self) -> dict[str, int]:
        with self._pool.connection() as connection:
            return store.counts(connection)

    def events(self, run_id: int, after: int = 0, limit: int = 10_000) -> list[Event]:
        with self._pool.connection() as connection:
            return store.events_after(connection, run_id, after, limit)

    def watch(self, run_id: int, after: int) -> tuple[Run, list[Event]]:
        """The run and what happened to it since, as one consistent look."""
        with self._pool.connection() as connection, connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            return store.get(connection, run_id), store.events_after(connection, run_id, after)

    def cancel(self, run_id: int) -> Run:
        with self._pool.connection() as connection:
            return store.cancel(connection, run_id)

    def resume(self, run_id: int) -> Run:
        with self._pool.connection() as connection:
            run = store.resume(connection, run_id)
        queue.ring(self._doorbell, run.id, run.attempt)
        return run

    def artifacts(self, run_id: int) -> list[Artifact]:
        """The result files; while the run goes on, those that lie there now and will still change are left out."""
        with self._pool.connection() as connection:
            run = store.get(connection, run_id)
            found = store.artifacts(connection, run_id)
        return found if run.state in ENDED else [a for a in found if a.name != "trainer.log"]

    def artifact_file(self, run_id: int, name: str) -> tuple[Artifact, Path]:
        """Raises CvatdError "artifact_unknown"."""
        artifact = next((a for a in self.artifacts(run_id) if a.name == name), None)
        if artifact is None:
            raise CvatdError("artifact_unknown", f"Run {run_id} has no file {name[:100]!r} (yet).")
        file = self._settings.runs_dir / str(run_id) / artifact.path
        if not file.is_file():
            raise CvatdError("artifact_unknown", f"{name} of run {run_id} was removed from this host.")
        return artifact, file

    def log_tail(self, run_id: int, max_bytes: int) -> str:
        """The end of what the trainer printed; empty before it starts."""
        return results.tail_of_log(self._settings.runs_dir / str(run_id), max_bytes)

    def deliveries(
        self, run_id: int | None = None, state: str | None = None, before: int | None = None, limit: int = 100
    ) -> list[outbox.Delivery]:
        with self._pool.connection() as connection:
            return outbox.list_deliveries(connection, run_id, state, before, limit)

    def replay(self, delivery: UUID) -> None:
        with self._pool.connection() as connection:
            outbox.replay(connection, delivery)


def _same(known: Run, fingerprint: str) -> Run:
    if known.request_sha256 != fingerprint:
        raise CvatdError(
            "job_id_taken",
            f"The job_id {known.job_id[:100]!r} belongs to run {known.id}, which was asked for with another body. "
            "Choose another job_id, or send the same body to get the same run.",
        )
    return known
