"""Queues, their workers, and Redis, which holds them. Pure."""

import re

from cvatd.core import words
from cvatd.stack import facts, readiness
from cvatd.stack.doctor.check import Check, Finding
from cvatd.stack.doctor.evidence import Evidence, known
from cvatd.stack.doctor.mends import initialise

LAST_LINES = 5
KILLED = re.compile(r"waitpid returned (9|None)|signal 9|Work-horse.*terminated unexpectedly")
DAMAGED = re.compile(
    r"Bad file format reading the append only file|Unexpected end of file reading the append only|"
    r"AOF.*(corrupt|truncat)|Short read or OOM loading DB|Wrong signature trying to load DB",
    re.IGNORECASE,
)
REDIS = "cvat-redis"


def workers(seen: Evidence) -> Finding | None:
    redis = seen.redis()
    lacking = readiness.lacking_workers(seen.stack.containers, redis)
    if not lacking:
        return None
    waiting = {name: queue.queued for name, queue in redis.queues.items() if queue.queued and name in lacking}
    evidence = list(lacking.values())
    evidence += [f"{count} wait in {name}" for name, count in waiting.items()]
    owners = sorted({c.name for c in seen.stack.containers if set(c.queues) & lacking.keys()})
    return Finding(
        f"Nobody works on {', '.join(lacking)}: what is put there waits for ever.",
        f"cvatd restart {' '.join(owners)}",
        evidence,
    )


def failed(seen: Evidence) -> Finding | None:
    counts = {name: queue.failed for name, queue in seen.redis().queues.items() if queue.failed}
    if not counts:
        return None
    containers = sorted({c.name for c in seen.stack.containers if set(c.queues) & counts.keys()})
    return Finding(
        f"{sum(counts.values())} requests of people have failed.",
        f"cvatd logs {' '.join(containers) or 'cvat-server'} (they expire by themselves)",
        [f"{name}: {count} failed" for name, count in counts.items()],
        urgent=False,
    )


def work_horse(seen: Evidence) -> Finding | None:
    evidence = []
    for container in seen.stack.containers:
        if container.queues:
            said = [line for line in seen.last_lines(container.name) if KILLED.search(line)]
            evidence += [f"{container.name}: {line}" for line in said[-LAST_LINES:]]
    if not evidence:
        return None
    return Finding(
        "Workers were killed at their work, most likely for want of memory.",
        "raise stack.limits.memory_max, or split the task or export; cvatd doctor oom-kills",
        evidence,
    )


def emptied(seen: Evidence) -> Finding | None:
    """CVAT keeps marks of its own migrations and its periodic jobs in Redis: without them nothing is cleaned."""
    redis, database = seen.redis(), seen.database()
    if redis.mark or not database.migrations or not seen.initial_mark:
        return None
    return Finding(
        "Redis was emptied: CVAT's periodic jobs and the marks of its migrations are gone.",
        "cvatd doctor --fix redis-emptied",
        ["the mark that init leaves in Redis is not there, and the database is migrated"],
    )


def saves(seen: Evidence) -> Finding | None:
    info = seen.redis().info
    good = {"rdb_last_bgsave_status": "ok", "aof_last_write_status": "ok", "aof_last_bgrewrite_status": "ok"}
    wrong = [f"{name} is {info[name]}" for name, want in good.items() if info.get(name, want) != want]
    if not wrong:
        return None
    return Finding(
        "Redis could not save its data: what waits in the queues is lost with a power cut, and it may refuse writes.",
        "cvatd doctor disk overcommit ownership; cvatd logs cvat-redis",
        wrong,
    )


def damaged(seen: Evidence) -> Finding | None:
    if seen.runs(REDIS) and not known(seen.facts).redis.fault:
        return None
    lines = [line for line in seen.last_lines(REDIS) if DAMAGED.search(line)]
    if not lines:
        return None
    folder = seen.settings.data_dir / "redis"
    return Finding(
        "Redis cannot read its own file, as after a power cut.",
        f"redis-check-aof --fix {folder}/appendonlydir/*.incr.aof; or set {folder} aside, then cvatd up",
        lines[-LAST_LINES:],
    )


def heartbeats(seen: Evidence) -> Finding | None:
    silent = [worker for worker in seen.redis().workers if worker.silent_s >= facts.SILENT_WORKER_S]
    if not silent:
        return None
    # Whoever can write to Redis chooses a worker's name: only names of ours come into a command.
    names = sorted({worker.hostname for worker in silent}.intersection(seen.stack.names))
    return Finding(
        "Workers have gone silent without signing off.",
        " ".join(["cvatd restart", *names]),
        [f"a worker of {w.hostname} for {', '.join(w.queues)}: silent for {_duration(w.silent_s)}" for w in silent],
        urgent=False,
    )


def _duration(seconds: float) -> str:
    return "an unknown time" if seconds == float("inf") else words.duration(seconds)


CHECKS = [
    Check("workers", "a queue has fewer workers than declared; how much waits", "`cvatd restart NAME`", workers),
    Check("heartbeats", "a worker has been silent for seven minutes", "`cvatd restart NAME`", heartbeats),
    Check("failed", "requests of people have failed", "the worker's log says why", failed),
    Check("work-horse", "a worker was killed at its work (waitpid 9)", "more memory, or smaller tasks", work_horse),
    Check(
        "redis-emptied",
        "Redis has lost the marks of migrations and the periodic jobs",
        "`cvatd doctor --fix redis-emptied` (runs init)",
        emptied,
        initialise,
    ),
    Check("redis-saves", "the last save of Redis failed", "disk, `overcommit`, `ownership`", saves),
    Check("redis-damaged", "Redis cannot read its append-only file", "`redis-check-aof --fix`", damaged),
]
