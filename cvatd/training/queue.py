"""The doorbell: RQ on Redis carries the ids of runs to do, and nothing that would be missed."""

import redis
from rq import Queue
from rq.serializers import JSONSerializer

from cvatd.core import log

QUEUE = "training"
FUNCTION = "cvatd.training.worker.work"
CONNECT_TIMEOUT_S = 2.0

logger = log.get(__name__)


def connect(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, socket_connect_timeout=CONNECT_TIMEOUT_S)


def open_queue(connection: redis.Redis) -> Queue:
    return Queue(QUEUE, connection=connection, serializer=JSONSerializer, default_timeout=-1)


def ring(queue: Queue, run_id: int, attempt: int) -> bool:
    """Tell the workers of a run; False when Redis is away, and then the reconciler rings later."""
    try:
        queue.enqueue_call(
            FUNCTION, args=(run_id,), job_id=doorbell_id(run_id, attempt), timeout=-1, result_ttl=0, failure_ttl=0
        )
    except redis.RedisError as error:
        logger.warning("redis is away; the run waits in the store", run=run_id, error=str(error))
        return False
    return True


def waiting(queue: Queue) -> set[str]:
    """The ids that lie in Redis, not yet taken by a worker. Raises redis.RedisError."""
    return set(queue.get_job_ids())


def doorbell_id(run_id: int, attempt: int) -> str:
    """One for each attempt, so that leftovers of an earlier one cannot stand in its way."""
    return f"run-{run_id}-{attempt}"
