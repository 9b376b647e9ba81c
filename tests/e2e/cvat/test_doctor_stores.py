"""More things broken for real: stores, rules, images, memory; each put back."""

import os
import shutil
from pathlib import Path

import pytest

from cvatd.stack import secret_files
from cvatd.stack.doctor.data import CACHE_BYTES
from cvatd.stack.limits import CGROUPS, memory_cgroup
from tests.e2e.cvat.stand import SLICE, Stand
from tests.e2e.cvat.test_doctor import doctor, put_back, text, wait_for

pytestmark = pytest.mark.e2e
ROOM_BYTES = 2 * CACHE_BYTES
MB = 1 << 20
GHOST = "rq:worker:ghost"


def test_what_grows(standing: Stand) -> None:
    data = standing.data_dir
    if shutil.disk_usage(data).free < ROOM_BYTES:
        pytest.skip(f"takes {ROOM_BYTES // 1_000_000_000} GB of free disk")
    large = data / "data" / "cache" / "large"
    links = [data / "kvrocks" / "large", data / "logs" / "large"]
    try:
        large.parent.mkdir(exist_ok=True)
        with large.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, CACHE_BYTES + MB)
        for link in links:
            link.hardlink_to(large)
        wrong = doctor(standing, "cache", "kvrocks", "logs")["wrong"]
        assert "20 GB" in text(wrong["cache"])
        assert "20 GB" in text(wrong["kvrocks"])
        assert "20 GB" in text(wrong["logs"])
    finally:
        for file_ in (large, *links):
            file_.unlink(missing_ok=True)


def test_a_lost_password_and_silent_rules(standing: Stand) -> None:
    password = secret_files.path(standing.settings, secret_files.SUPERUSER)
    aside = password.with_name("aside")
    try:
        password.rename(aside)
        standing.host.run("kill", "--signal", "STOP", "cvat-opa")
        wrong = doctor(standing, "secrets", "opa", "health", "unhealthy")["wrong"]
        assert str(password) in text(wrong["secrets"])
        assert "rotate superuser" in wrong["secrets"]["command"]
        assert "does not answer" in text(wrong["opa"])
        assert "OPAHealthCheck" in text(wrong["health"])
        assert "cvat-opa" in text(wrong["unhealthy"])
    finally:
        aside.rename(password)
        standing.host.run("kill", "--signal", "CONT", "cvat-opa", check=False)


def test_redis_that_cannot_save_and_a_worker_that_fell_silent(standing: Stand) -> None:
    def redis(*command: str) -> str:
        return standing.host.run("exec", "cvat-redis", "redis-cli", *command).stdout

    def saved(words: str) -> bool:
        info = redis("INFO", "persistence")
        return f"rdb_last_bgsave_status:{words}" in info and "rdb_bgsave_in_progress:0" in info

    folder = standing.data_dir / "redis"
    owner = folder.stat()
    fields = ["hostname", "cvat-worker-low", "queues", "cleaning", "state", "idle"]
    try:
        redis("HSET", GHOST, *fields, "last_heartbeat", "2024-01-01T00:00:00.000000Z")
        redis("SADD", "rq:workers", GHOST)
        os.chown(folder, 0, 0)
        redis("BGSAVE")
        wait_for(lambda: saved("err"), "the save fails")
        wrong = doctor(standing, "redis-saves", "heartbeats", "ownership")["wrong"]
        assert "rdb_last_bgsave_status is err" in text(wrong["redis-saves"])
        assert wrong["heartbeats"]["command"] == "cvatd restart cvat-worker-low"
        assert str(folder) in text(wrong["ownership"])
    finally:
        os.chown(folder, owner.st_uid, owner.st_gid)
        redis("BGSAVE")
        wait_for(lambda: saved("ok"), "the save succeeds")  # until then Redis takes no changes
        redis("SREM", "rq:workers", GHOST)
        redis("DEL", GHOST)


def test_images_and_a_command_of_another_release(standing: Stand) -> None:
    run, stack = standing.host.run, standing.runner().stack()
    ui, redis = (stack.container(name).image for name in ("cvat-ui", "cvat-redis"))
    ids = {image: standing.podman.image_id(image) or "" for image in (ui, redis)}
    old = "docker.io/cvat/server:v2.21.0"

    def back() -> None:
        for image, image_id in ids.items():
            run("tag", image_id, image)
        run("rm", "--force", "--time", "0", "cvat-worker-chunks", check=False)

    with put_back(standing, back):
        run("tag", ids[redis], ui)
        run("untag", redis, redis)
        run("rm", "--force", "--time", "10", "cvat-worker-chunks")
        labels = [
            "--label",
            "cvatd.stack=cvat-network",
            "--label",
            'cvatd.spec={"command": ["run", "worker", "chunks"]}',
        ]
        run("create", "--name", "cvat-worker-chunks", *labels, old, "run", "worker", "chunks")
        wrong = doctor(standing, "images", "replaced", "command", "release")["wrong"]
        assert redis in text(wrong["images"])
        assert "cvat-ui runs" in text(wrong["replaced"])
        assert f"which {old} does not understand" in text(wrong["command"])
        assert old in text(wrong["release"])


def test_memory_that_ran_out_and_a_damaged_redis(standing: Stand) -> None:
    run, folder = standing.host.run, standing.data_dir / "redis"
    damaged = folder.with_name("redis-damaged")

    def back() -> None:
        run("stop", "--time", "5", "cvat-redis", "cvat-ui", check=False)
        if damaged.exists():
            shutil.rmtree(folder)
            damaged.rename(folder)

    with put_back(standing, back):
        _take_too_much(standing, "cvat-ui")
        wrong = doctor(standing, "oom-kills")["wrong"]
        assert wrong["oom-kills"]["evidence"]

        run("stop", "--time", "10", "cvat-redis")
        copy(folder, damaged)
        file = next(folder.glob("appendonlydir/*.incr.aof"))
        file.write_bytes(b"nonsense\r\n" * 100 + file.read_bytes())
        run("start", "cvat-redis", check=False)
        wait_for(lambda: not standing.containers()["cvat-redis"].running, "Redis gives up")
        wrong = doctor(standing, "redis-damaged", "running")["wrong"]
        assert "Bad file format" in text(wrong["redis-damaged"])
        assert "cvat-redis" in text(wrong["running"])


def copy(source: Path, target: Path) -> None:
    """With owners and modes."""
    shutil.copytree(source, target)
    for file in (source, *source.rglob("*")):
        twin = target / file.relative_to(source)
        status = file.stat()
        os.chown(twin, status.st_uid, status.st_gid)
        twin.chmod(status.st_mode & 0o7777)


def _take_too_much(stand: Stand, name: str) -> None:
    """The kernel kills a command in this container: below its new limit that holds far more than all else there."""
    pid = stand.containers()[name].pid
    own = memory_cgroup(Path(f"/proc/{pid}/cgroup").read_text())
    assert own.startswith(f"/{SLICE}/")
    first = CGROUPS / "memory"
    limit = (first if first.is_dir() else CGROUPS) / own.lstrip("/")
    file = limit / ("memory.limit_in_bytes" if first.is_dir() else "memory.max")
    file.write_text(str(96 * MB))
    stand.host.run("exec", name, "sh", "-c", "head -c 200000000 /dev/zero | tail -c 150000000 > /dev/null", check=False)
