"""The worker: takes the id of a run from Redis, claims it in PostgreSQL and sees it to its end.

The step is re-entrant: if the trainer is alive, attach to it; else if a checkpoint is good, resume; else start.
"""

import json
import os
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import psycopg
import rq
from rq.job import Job
from rq.serializers import JSONSerializer

from cvatd.core import database, log, migrate
from cvatd.core.database import Pool
from cvatd.core.errors import CvatdError
from cvatd.core.settings import Settings
from cvatd.core.urlguard import UrlGuard
from cvatd.training import base_model, queue, results, states, store
from cvatd.training.datasets import Dataset, DatasetLimits, IngestStopped, Stage, ingest
from cvatd.training.description import Description, load_description
from cvatd.training.jobs import Run
from cvatd.training.lease import Lease, worker_name
from cvatd.training.outcome import Done, Failed, Outcome, Stopped, TryAgain, judge_end
from cvatd.training.progress import Recorder
from cvatd.training.reconciler import too_many_losses
from cvatd.training.runner import Handle, ProcessRunner
from cvatd.training.tail import read_events

POLL_S = 0.2
# A trainer asked to stop ends its batch first; after this it is killed, and its last checkpoint serves.
STOP_GRACE_S = 20.0
POOL_SIZE = 4

logger = log.get(__name__)


@dataclass(frozen=True)
class Context:
    """What a worker process needs for every run."""

    settings: Settings
    pool: Pool
    guard: UrlGuard
    stopping: threading.Event


_context: Context | None = None


def work(run_id: int) -> None:
    """The one function that RQ may call."""
    if _context is None:
        raise RuntimeError("work() runs inside `cvatd worker` alone")
    with log.run_context(run=run_id):
        with _context.pool.connection() as connection:
            run = store.claim(connection, run_id, worker_name())
        if run is None:
            logger.info("nothing to do for this run any more")
            return
        try:
            with Lease(_context.settings.database_url, run) as lease:
                Supervision(_context, run, lease).run_to_end()
        except store.LeaseLost:
            logger.warning("another worker holds the run now; this one lets go", attempt=run.attempt)


class Worker(rq.SimpleWorker):
    """Runs in its own process what the queue names, and nothing but `work`."""

    stopping = threading.Event()

    def perform_job(self, job: Job, queue: rq.Queue) -> bool:
        """Refuse any other function: whoever can write to Redis must not choose what runs here."""
        callbacks = (job._success_callback_name, job._failure_callback_name, job._stopped_callback_name)
        if job.func_name != FUNCTION or any(callbacks):
            logger.error("refused a job that is not ours", function=job.func_name)
            job.delete()
            return False
        return super().perform_job(job, queue)

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        self.stopping.set()
        super().request_stop(signum, frame)  # type: ignore[no-untyped-call]


FUNCTION = queue.FUNCTION


def run_worker(settings: Settings) -> None:
    """Serve the queue until SIGTERM; a run in hand is stopped at a batch's end and left for the next worker."""
    global _context
    with database.open_pool(settings.database_url, POOL_SIZE) as pool:
        with pool.connection() as connection:
            migrate.require_current(connection)
        _context = Context(settings, pool, UrlGuard(settings.urls.allow), Worker.stopping)
        connection_to_redis = queue.connect(settings.redis_url)
        worker = Worker(
            [queue.open_queue(connection_to_redis)],
            connection=connection_to_redis,
            serializer=JSONSerializer,
            log_job_description=False,
        )
        logger.info("worker ready", worker=worker_name(), trainer=str(settings.trainer.python))
        worker.work(logging_level="WARNING")


class Supervision:
    """One claimed run, from the claim to a recorded end."""

    def __init__(self, context: Context, run: Run, lease: Lease) -> None:
        self._context = context
        self._run = run
        self._lease = lease
        self._dir = context.settings.runs_dir / str(run.id)
        self._runner = ProcessRunner()
        self._recorder = Recorder(context.pool, run)

    def run_to_end(self) -> None:
        try:
            outcome = self._train()
        except IngestStopped:
            outcome = self._asked_to_stop()
        except CvatdError as error:
            outcome = Failed(error.code, error.message[:1].upper() + error.message[1:])
        except (store.LeaseLost, psycopg.OperationalError):
            raise
        except Exception as error:
            logger.exception("the worker failed")
            outcome = Failed(
                "internal", f"The worker failed: {type(error).__name__}: {error}. Its log has the details."
            )
        self._conclude(outcome)

    def _train(self) -> Outcome:
        self._dir.mkdir(parents=True, exist_ok=True)
        handle = self._runner.attach(self._dir)
        self._read_events()
        if handle is None and self._recorder.terminal and self._recorder.terminal.type != "stopped":
            return judge_end(self._recorder.terminal, exit_code=None)  # it ended while nobody watched
        if handle is None:
            if self._interrupted_by_wish():
                return self._asked_to_stop()
            handle = self._start()
        else:
            logger.info("attached to the running trainer")
            with self._context.pool.connection() as connection:
                store.move(connection, self._run, states.Event.TRAIN)
        return self._watch(handle)

    def _start(self) -> Handle:
        """Fetch what the trainer needs, write its orders, start it."""
        settings, run = self._context.settings, self._run
        description = load_description(settings.trainer.python, settings.data_dir / "trainer.json")
        model = base_model.resolve(run.base_model, settings.weights_dir, settings.trainer, self._context.guard)
        dataset = self._ingest(run)
        orders = {
            "run": run.id,
            "attempt": run.attempt,
            "model": model,
            "task": dataset.task,
            "data": str(dataset.data_yaml),
            "args": run.args,
            "device": choose_device(settings.trainer.device, description),
        }
        write_whole(self._dir / "spec.json", json.dumps(orders, indent=2))
        return self._runner.start(self._dir, settings.trainer.python, settings.trainer_dir)

    def _ingest(self, run: Run) -> Dataset:
        limits = self._context.settings.dataset
        began = time.monotonic()
        dataset = ingest(
            run.dataset_url,
            self._dir / "data",
            DatasetLimits(**limits.model_dump()),
            self._context.guard,
            self._context.settings.cache_dir,
            self._report,
            self._interrupted_by_wish,
        )
        base_model.check_task(run.base_model, dataset.task)
        facts = {key: value for key, value in asdict(dataset).items() if key != "data_yaml"}
        facts["seconds"] = round(time.monotonic() - began, 3)
        with self._context.pool.connection() as connection:
            store.set_dataset(connection, run, facts)
            store.append_event(connection, run.id, "dataset", facts)
        return dataset

    def _report(self, stage: Stage) -> None:
        with self._context.pool.connection() as connection:
            progress = {"stage": stage.name, "done": stage.done, "total": stage.total, "unit": stage.unit}
            store.set_progress(connection, self._run, progress)

    def _watch(self, handle: Handle) -> Outcome:
        """Carry the trainer's events into the store until it ends, or until it has to."""
        while not handle.wait(POLL_S):
            self._read_events_patiently()
            if self._lease.lost:
                raise store.LeaseLost
            if self._interrupted_by_wish():
                handle.stop(STOP_GRACE_S)
                self._read_events_patiently()
                if self._recorder.terminal is None or self._recorder.terminal.type != "finished":
                    return self._asked_to_stop()
        self._read_events_patiently()
        return judge_end(self._recorder.terminal, handle.exit_code())

    def _read_events(self) -> None:
        file = self._dir / "events.jsonl"
        while events := read_events(file, self._recorder.offset):
            self._recorder.record(events)

    def _read_events_patiently(self) -> None:
        """The trainer goes on while PostgreSQL restarts; what it says is in its file."""
        try:
            self._read_events()
        except psycopg.OperationalError as error:
            logger.warning("the store is away; the trainer goes on", error=str(error).strip())

    def _interrupted_by_wish(self) -> bool:
        return self._lease.lost or self._lease.cancelling or self._context.stopping.is_set()

    def _asked_to_stop(self) -> Outcome:
        if self._lease.lost:
            raise store.LeaseLost
        return Stopped(cancelled=self._lease.cancelling)

    def _conclude(self, outcome: Outcome) -> None:
        run, pool = self._run, self._context.pool
        match outcome:
            case Done(metrics):
                with pool.connection() as connection:
                    store.move(connection, run, states.Event.FINISH)
                self._record_results()
                self._end(states.Event.COMPLETE, metrics=metrics)
            case Failed(code, message):
                self._record_results()
                self._end(states.Event.FAIL, code, message)
            case Stopped(cancelled=True):
                self._record_results()
                self._end(states.Event.STOPPED)
            case Stopped():
                with pool.connection() as connection:
                    store.release(connection, run, "the worker was asked to stop", losses=0)
            case TryAgain(code, message):
                self._try_again(code, message)

    def _try_again(self, code: str, message: str) -> None:
        with self._context.pool.connection() as connection:
            run = store.get(connection, self._run.id)
            if not too_many_losses(run):
                store.release(connection, self._run, message, losses=1)
                return
        self._record_results()
        self._end(states.Event.FAIL, code, message)

    def _end(self, event: states.Event, code: str | None = None, message: str | None = None, **facts: Any) -> None:
        with self._context.pool.connection() as connection:
            state = store.end(connection, self._run, event, code, message, **facts)
        results.clear(self._dir, resumable=state is not states.State.COMPLETED)
        logger.info("run ended", state=state.value, code=code)

    def _record_results(self) -> None:
        found = list(results.collect(self._dir))
        with self._context.pool.connection() as connection:
            for artifact in found:
                store.put_artifact(connection, self._run, artifact)


def choose_device(wanted: str, description: Description) -> str:
    return description.device if wanted == "auto" else wanted


def write_whole(file: Path, text: str) -> None:
    """Replace a file by a rename, so that nobody reads half of it."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    with temporary.open("w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    temporary.rename(file)
