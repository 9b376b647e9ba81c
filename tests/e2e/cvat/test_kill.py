"""kill -9 at any moment, and the same command again finishes the work."""

import json
import os
import random
import signal
import subprocess
import time

import pytest
import requests

from tests.e2e.cvat.stand import Stand
from tests.e2e.cvat.test_images import password
from tests.e2e.cvat.test_init import applied, bring_stores, sql

pytestmark = pytest.mark.e2e
SEED = 3
UPS = 6
INITS = 4
LONGEST_UP_S = 5.0
LONGEST_INIT_S = 2.5
TIMEOUT_S = 60


def kill_after(process: subprocess.Popen[str], seconds: float) -> bool:
    """False when it had ended by itself."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(TIMEOUT_S)
        return True
    return False


def whole(stand: Stand) -> None:
    """CVAT is ready, everything was done once, and its first user can sign in."""
    once = applied(stand)
    assert len(once) == len(set(once))
    assert sql(stand, "SELECT count(*) FROM auth_user WHERE is_superuser") == "1"
    credentials = {"username": "admin", "password": password(stand)}
    assert requests.post(f"{stand.url}/api/auth/login", json=credentials, timeout=TIMEOUT_S).status_code == 200
    leftovers = [file.name for file in (stand.data_dir / "secrets").iterdir() if file.name.startswith(".")]
    assert leftovers == []


def test_up_killed_at_any_moment(stand: Stand) -> None:
    chance = random.Random(SEED)
    stand.configure(environment={"SLOW_MIGRATION_S": "1"})
    killed = sum(kill_after(stand.start("up"), chance.uniform(0.2, LONGEST_UP_S)) for _ in range(UPS))
    assert killed, "no round was cut short: LONGEST_UP_S is too long for this machine"
    stand.cvatd("up")
    whole(stand)


def test_up_goes_on_after_podmans_service_was_killed(stand: Stand) -> None:
    first = stand.start("up")
    time.sleep(3)
    stand.host.stop(signal.SIGKILL)
    first.wait(TIMEOUT_S)
    stand.host.start()
    stand.cvatd("up")
    whole(stand)


def test_init_killed_at_any_moment(stand: Stand) -> None:
    chance = random.Random(SEED)
    bring_stores(stand, environment={"SLOW_MIGRATION_S": "2"})
    killed = sum(kill_after(stand.start("init"), chance.uniform(0.2, LONGEST_INIT_S)) for _ in range(INITS))
    assert killed
    # The container itself, too: PostgreSQL takes back what was not done.
    if "cvat-init" in stand.containers():
        stand.host.run("kill", "--signal", "KILL", "cvat-init", check=False)
    stand.cvatd("init")
    assert "Nothing to do" in stand.cvatd("init").stdout
    stand.cvatd("up")
    whole(stand)


def test_a_start_that_was_cut_off_within_podman(stand: Stand) -> None:
    bring_stores(stand)
    run, name = stand.host.run, "cvat-redis"
    run("stop", "--time", "5", name)
    run("init", name)
    state = json.loads(run("inspect", "--format", "{{json .State}}", name).stdout)
    for pid in (state["ConmonPid"], state["Pid"]):
        os.kill(pid, signal.SIGKILL)
    assert stand.containers()[name].state == "initialized"
    assert run("start", name, check=False).returncode != 0
    bring_stores(stand)
    assert stand.containers()[name].running
