"""Each thing is broken for real, seen named with its evidence, and mended where `--fix` may."""

import contextlib
import json
import os
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cvatd.stack import secret_files, wishes
from cvatd.stack.limits import CGROUPS, memory_cgroup
from tests.e2e.cvat.stand import SLICE, Stand

pytestmark = pytest.mark.e2e
DOCTOR_TIMEOUT_S = 90
WAIT_S = 30
DAY_S = 86_400
# What the machine that runs the tests may have of its own.
OF_THE_HOST = {"overcommit", "disk", "left-over"}
ENQUEUE = "import django_rq; django_rq.get_queue('chunks').enqueue('cvat.engine.tasks.sleep', 60)"


def doctor(stand: Stand, *arguments: str) -> dict[str, Any]:
    """What it said, findings by name."""
    done = stand.cvatd("doctor", "--json", *arguments, check=False, timeout_s=DOCTOR_TIMEOUT_S)
    assert done.stdout.startswith("{"), f"{done.returncode}\n{done.stdout}{done.stderr}"
    answer: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == bool(answer["wrong"])
    answer["wrong"] = {finding["check"]: finding for finding in answer["wrong"]}
    return answer


def text(finding: dict[str, Any]) -> str:
    return "\n".join([finding["words"], *finding["evidence"], finding["command"]])


def wait_for(seen: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not seen():
        assert time.monotonic() < deadline, f"not within {WAIT_S} s: {what}"
        time.sleep(0.1)


@contextlib.contextmanager
def put_back(stand: Stand, *undo: Callable[[], object]) -> Iterator[None]:
    """Undoes every step, whatever broke, and brings the stack back up."""
    try:
        yield
    finally:
        for step in undo:
            with contextlib.suppress(Exception):
                step()
        stand.cvatd("up")


def test_a_stack_that_is_well(standing: Stand) -> None:
    answer = doctor(standing)
    assert set(answer["wrong"]) <= OF_THE_HOST, answer["wrong"]
    assert answer["unknown"] == {}
    done = standing.cvatd("doctor", "network", "ownership")
    assert done.stdout == "2 checks are good.\n"
    wrong = standing.cvatd("doctor", "ownersip", check=False)
    assert wrong.returncode == 2
    assert "no check 'ownersip'" in wrong.stderr


def test_files(standing: Stand) -> None:
    data = standing.data_dir
    export = data / "data" / "cache" / "export" / "job.zip"
    version = data / "postgres" / "PG_VERSION"
    future = data / "state" / "from-tomorrow"
    password = secret_files.path(standing.settings, secret_files.SUPERUSER)
    waiting = password.with_name(f"{password.name}.new")
    before = version.read_text()
    try:
        os.chown(data / "data", 0, 0)
        (data / "logs").chmod(0o777)
        shutil.rmtree(data / "state" / "init")
        password.chmod(0o444)
        waiting.write_text("x")
        future.write_text("x")
        os.utime(future, (time.time() + DAY_S,) * 2)
        export.parent.mkdir(parents=True)
        export.write_text("x")
        os.utime(export, (time.time() - 4 * DAY_S,) * 2)
        version.write_text("13\n")

        wrong = doctor(standing)["wrong"]
        assert f"{data / 'data'} belongs to 0:0" in text(wrong["ownership"])
        assert f"{data / 'logs'} belongs to 1000:1000 with mode 0777" in text(wrong["ownership"])
        assert str(data / "state" / "init") in text(wrong["folders"])
        assert f"{password} has mode 0444" in text(wrong["secret-modes"])
        assert "rotate superuser" in text(wrong["rotation"])
        assert "in the future" in text(wrong["clock"])
        assert "1 export older than two days" in text(wrong["cache"])
        assert "version 13" in text(wrong["postgres-major"])
        assert "/home/django/data is not writable" in text(wrong["writable"])

        fixed = doctor(standing, "--fix")
        mended = {one["check"]: one["fault"] for one in fixed["mended"]}
        assert mended == {"folders": "", "ownership": "", "secret-modes": ""}
        assert not set(fixed["wrong"]) & {"folders", "ownership", "secret-modes", "writable"}
        assert password.stat().st_mode & 0o777 == 0o400
        assert export.exists()  # what is not safe to mend is told only
        assert "postgres-major" in fixed["wrong"]
        assert doctor(standing, "--fix", "ownership") == {
            "wrong": {},
            "unknown": {},
            "good": ["ownership"],
            "mended": [],
        }
    finally:
        version.write_text(before)
        for file in (waiting, future):
            file.unlink(missing_ok=True)
        shutil.rmtree(export.parents[1], ignore_errors=True)
        standing.cvatd("doctor", "--fix", "folders", "ownership", "secret-modes", check=False)


def test_settings_that_the_stack_does_not_follow(standing: Stand) -> None:
    try:
        standing.configure(
            version="2.21.0",
            superuser={"initial_password": "admin"},
            limits={"cpu_percent": 50, "memory_high": 512 << 20, "memory_max": 512 << 20},
        )
        wrong = doctor(standing)["wrong"]
        assert "cvat-server runs docker.io/cvat/server:v2.80.0" in text(wrong["release"])
        assert "2.80.0" in text(wrong["data-version"])
        assert "cvat-ui" in text(wrong["stale"])
        assert "declared 512 MB" in text(wrong["limits"])
        assert "declared 50 %" in text(wrong["limits"])
        assert "512 MB" in text(wrong["idle-budget"])
        assert "rotate superuser" in text(wrong["initial-password"])
    finally:
        standing.configure()


def test_limits_and_processes_outside_of_them(standing: Stand) -> None:
    memory = CGROUPS / "memory" if (CGROUPS / "memory").is_dir() else CGROUPS
    high = memory / SLICE / ("memory.soft_limit_in_bytes" if memory != CGROUPS else "memory.high")
    outside = memory / f"{SLICE}outside"
    pid = str(standing.containers()["cvat-ui"].pid)
    was = memory_cgroup(Path(f"/proc/{pid}/cgroup").read_text())
    try:
        high.write_text(str(1 << 30))
        outside.mkdir(exist_ok=True)
        (outside / "cgroup.procs").write_text(pid)
        wrong = doctor(standing, "limits", "strays")["wrong"]
        assert "1.0 GB, declared 4.0 GB" in text(wrong["limits"])
        assert f"process {pid} of cvat-ui is in /{outside.name}" in text(wrong["strays"])
        fixed = doctor(standing, "--fix", "limits")
        assert [one["check"] for one in fixed["mended"]] == ["limits"]
        assert fixed["good"] == ["limits"]
    finally:
        with contextlib.suppress(OSError):
            (memory / was.lstrip("/") / "cgroup.procs").write_text(pid)
        with contextlib.suppress(OSError):
            outside.rmdir()
        standing.cvatd("doctor", "--fix", "limits", check=False)
    assert doctor(standing, "strays")["wrong"] == {}


def test_database_and_redis(standing: Stand) -> None:
    def redis(*command: str) -> None:
        standing.host.run("exec", "cvat-redis", "redis-cli", *command)

    def sql(statement: str) -> None:
        standing.host.run("exec", "cvat-db", "psql", "-qXU", "root", "-d", "cvat", "-c", statement)

    def database_back() -> None:
        sql("UPDATE auth_user SET is_superuser = true WHERE username = 'admin'")
        sql("UPDATE django_migrations SET name = replace(name, ' away', '')")

    def workers_back() -> None:
        standing.cvatd(*command.split()[1:])

    command = "cvatd restart cvat-worker-chunks cvat-worker-default cvat-worker-low"
    with put_back(standing, database_back, workers_back):
        redis("FLUSHALL")
        redis("SADD", "rq:queues", "rq:queue:export")
        redis("ZADD", "rq:failed:export", "1", "job")
        sql("UPDATE auth_user SET is_superuser = false WHERE username = 'admin'")
        sql("UPDATE django_migrations SET name = name || ' away' WHERE id = (SELECT max(id) FROM django_migrations)")

        wrong = doctor(standing)["wrong"]
        assert "emptied" in text(wrong["redis-emptied"])
        assert "export: 1 failed" in text(wrong["failed"])
        assert wrong["workers"]["command"] == command  # Redis has forgotten them
        assert "'admin'" in text(wrong["superuser"])
        assert "1 migrations are not applied" in text(wrong["migrations"])

        database_back()
        fixed = doctor(standing, "--fix", "redis-emptied", "migrations", "superuser")
        assert [(one["check"], one["fault"]) for one in fixed["mended"]] == [("redis-emptied", "")]
        assert fixed["wrong"] == {}
        redis("DEL", "rq:failed:export")


def test_containers(standing: Stand) -> None:
    run = standing.host.run

    def remove() -> None:
        run("unpause", "cvat-worker-low", check=False)
        run("rm", "--force", "--time", "0", "cvat-worker-chunks", "cvat-kvrocks", "mailer", check=False)

    with put_back(standing, remove):
        _kill_work_horse(standing)
        # A worker notices the death of its child only in its own time.
        wait_for(lambda: "waitpid" in standing.podman.logs("cvat-worker-chunks", 50), "the worker tells of it")
        wrong = doctor(standing, "work-horse", "failed")["wrong"]
        assert "cvat-worker-chunks" in text(wrong["work-horse"])
        assert "chunks: 1 failed" in text(wrong["failed"])
        run("exec", "cvat-redis", "redis-cli", "DEL", "rq:failed:chunks")

        run("rm", "--force", "--time", "10", "cvat-worker-chunks")
        image = standing.containers()["cvat-redis"].image
        run("create", "--name", "cvat-worker-chunks", image, "sleep", "60")
        run("create", "--name", "mailer", "--label", "cvatd.stack=cvat-network", image, "sleep", "60")
        run("stop", "--time", "5", "cvat-ui")
        wishes.stopped(standing.settings, "cvat-ui")
        run("pause", "cvat-worker-low")
        run("network", "disconnect", "cvat-network", "cvat-kvrocks")
        wrong = doctor(standing)["wrong"]
        assert "cvat-worker-chunks runs" in text(wrong["foreign"])
        assert "mailer" in text(wrong["undeclared"])
        assert "chunks" in text(wrong["workers"])
        assert wrong["stopped"]["words"] == "Stopped by hand, and kept so: cvat-ui."
        assert "cvat-ui" not in text(wrong["running"])
        assert "cvat-worker-low" in text(wrong["paused"])
        assert "cvat-kvrocks:" in text(wrong["names"])

        run("stop", "--time", "1", "cvat-server")
        run("restart", "--time", "1", "cvat-opa")
        wait_for(lambda: "Bundle load failed" in standing.podman.logs("cvat-opa", 50), "OPA tells of it")
        wrong = doctor(standing, "bundle", "opa", "running", "health", "--fix")["wrong"]
        assert "Bundle load failed" in text(wrong["bundle"])
        assert "cvat-server is exited" in text(wrong["running"])
        assert not {"opa"} & set(wrong)
        assert not standing.containers()["cvat-ui"].running  # --fix starts nothing


def test_before_and_without_podman(stand: Stand) -> None:
    run = stand.host.run
    stand.cvatd("prepare")
    first = doctor(stand)
    assert "nobody asked for it" in first["wrong"]["down"]["words"]
    assert "network" not in first["wrong"]
    wishes.set_up(stand.settings)
    image = stand.runner().stack().container("cvat-redis").image
    run(
        "run", "--name", "cvat-init", "--network", "none", image, "sh", "-c", "echo no such column; exit 3", check=False
    )
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", stand.port))
        holder.listen(1)
        wrong = doctor(stand)["wrong"]
    assert f"process {os.getpid()}" in text(wrong["port"])
    assert "though it should" in text(wrong["down"])
    assert "status 3" in text(wrong["init-failed"])
    assert "no such column" in text(wrong["init-failed"])
    assert "cvat-network" in text(wrong["network"])
    fixed = doctor(stand, "--fix", "network")
    assert (fixed["good"], [one["fault"] for one in fixed["mended"]]) == (["network"], [""])

    stand.configure(podman_url="unix:///run/cvatd-tests/nobody.sock")
    (stand.data_dir / "secrets").chmod(0o755)
    blind = doctor(stand)
    assert next(iter(blind["wrong"])) == "podman"
    assert "/run/cvatd-tests/nobody.sock" in text(blind["wrong"]["podman"])
    assert "mode 0755" in text(blind["wrong"]["secret-modes"])
    assert {"network", "running", "workers"} <= set(blind["unknown"])
    shown = stand.cvatd("doctor", check=False)
    assert shown.stdout.startswith("wrong  podman: Podman cannot be asked")
    assert "→ " in shown.stdout


def _kill_work_horse(stand: Stand) -> None:
    """As the kernel does when memory is short: the child that works, not the worker."""
    inside = Path(f"/proc/{stand.containers()['cvat-worker-chunks'].pid}/ns/pid").readlink()

    def horses() -> list[int]:
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                arguments = (process / "cmdline").read_bytes()
                if b"rqworker" in arguments and (process / "ns" / "pid").readlink() == inside:
                    parent = (process / "stat").read_text().rpartition(")")[2].split()[1]
                    if b"rqworker" in Path(f"/proc/{parent}/cmdline").read_bytes():
                        found.append(int(process.name))
        return found

    stand.host.run("exec", "cvat-server", "python3", "manage.py", "shell", "-c", ENQUEUE)
    wait_for(lambda: bool(horses()), "the worker works")
    os.kill(horses()[0], signal.SIGKILL)
