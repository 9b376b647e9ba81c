"""Our own services as NixOS evaluates them, under a real systemd: PostgreSQL and Redis by sockets, pages, trainer."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.nix.declaration import declare
from tests.e2e.nix.machine import Machine
from tests.nix.evaluate import ROOT, nix_string

pytestmark = [pytest.mark.e2e, pytest.mark.needs_nixpkgs]

START_TIMEOUT_S = 120
STOP_TIMEOUT_S = 120
PATIENCE_S = 200
PYTHON = str(ROOT / ".venv" / "bin" / "python")
CVATD = str(ROOT / ".venv" / "bin" / "cvatd")
URL = "http://127.0.0.1:46370"  # networking.ports.cvatd
ASKED = ("cvatd-web.service", "cvatd-trainers.target")
POSTGRES, REDIS, MIGRATE = "postgresql.service", "redis-cvatd.service", "cvatd-migrate.service"
WEB, TRAINER = "cvatd-web.service", "cvatd-trainer@1.service"
ALL = (POSTGRES, REDIS, MIGRATE, WEB, TRAINER)
ASK = """import sys, urllib.request as r
asked = r.Request(sys.argv[1], headers={"Authorization": f"Bearer {sys.argv[2]}"})
print(r.urlopen(asked, timeout=20).read().decode())"""
DRAW = """from pathlib import Path; from cvatd.training.shapes import draw_shapes
draw_shapes(Path("/srv/shapes.zip"), 16, 4, 96, 1)"""
RUN = "/var/lib/cvatd/runs/1"
TRAININGS = "/cvatd.slice/cvatd-training.slice/"
LEARNED = 0.7
NOBODY = ("setpriv", "--reuid=nobody", "--clear-groups")
SMALL = ("--batch-size=4", "--img-size=64", "--set=nbs=4", "--set=plots=false", "--set=mosaic=0.0", "--set=seed=0")
QUICK = ("--set=optimizer=AdamW", "--set=learning_rate=0.003", "--set=warmup_epochs=0.0")


class Caller:
    """Who asks the service over HTTP from the machine itself."""

    def __init__(self, machine: Machine, token: str) -> None:
        self._machine = machine
        self._token = token

    def get(self, path: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._machine.run(PYTHON, "-c", ASK, URL + path, self._token).stdout)
        return found

    def submit(self, job_id: str, epochs: int) -> int:
        """POST /train; the run's number."""
        command = (CVATD, "train", "submit", "file:///srv/shapes.zip", f"--job-id={job_id}", "--json")
        variables = (f"CVATD_URL={URL}", f"CVATD_TOKEN={self._token}")
        model = ("--base-model=yolov8n.yaml", f"--epochs={epochs}")
        return int(json.loads(self._machine.run("env", *variables, *command, *model, *SMALL, *QUICK).stdout)["id"])


def wait(machine: Machine, condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, machine.explain(*ALL)
        time.sleep(0.2)


@pytest.fixture(scope="module")
def serving(machine: Machine, trainer_python: Path) -> Iterator[Machine]:
    """Started by the two units that a boot asks for; the tests go on where the one before ended."""
    machine.open_way(trainer_python)
    machine.switch(declare(trainer=nix_string(str(trainer_python))))
    done = machine.run("systemctl", "start", *ASKED, check=False, timeout_s=START_TIMEOUT_S)
    assert done.returncode == 0, done.stderr + machine.explain(*ALL)
    yield machine
    machine.systemctl("stop", *ASKED, *ALL, timeout_s=STOP_TIMEOUT_S)


@pytest.fixture(scope="module")
def caller(serving: Machine) -> Caller:
    """Root makes the first token by the ident map: it has no role of its own in PostgreSQL."""
    token = serving.run(CVATD, "token", "create", "tests").stdout.strip()
    return Caller(serving, token)


def test_one_command_brings_all_up_in_order(serving: Machine) -> None:
    assert serving.systemctl("is-active", *ALL).split() == ["active"] * len(ALL)

    def moment(unit: str, which: str) -> int:
        return int(serving.systemctl("show", f"--property={which}TimestampMonotonic", "--value", unit))

    migrated = moment(MIGRATE, "ActiveEnter")
    assert max(moment(POSTGRES, "ActiveEnter"), moment(REDIS, "ActiveEnter")) <= moment(MIGRATE, "InactiveExit")
    assert migrated <= min(moment(WEB, "InactiveExit"), moment(TRAINER, "InactiveExit"))


def test_the_pages_answer_on_their_port(serving: Machine) -> None:
    def healthy() -> bool:
        asked = serving.run(PYTHON, "-c", ASK, f"{URL}/health", "", check=False)
        return asked.returncode == 0 and json.loads(asked.stdout)["status"] == "healthy"

    wait(serving, healthy)


def test_each_runs_as_its_ordinary_user_in_its_slice(serving: Machine) -> None:
    for unit, user, slice_ in (
        (POSTGRES, "postgres", "/system.slice/"),
        (REDIS, "redis-cvatd", "/system.slice/"),
        (WEB, "cvatd", "/cvatd.slice/"),
        (TRAINER, "cvatd", TRAININGS),
    ):
        pid = serving.main_process(unit)
        assert serving.run("ps", "-o", "user:20=", "-p", str(pid)).stdout.strip() == user
        assert serving.cgroup(pid).startswith(slice_), unit
        assert serving.systemctl("show", "--property=NRestarts", "--value", unit) == "0", serving.explain(unit)


def test_the_database_lets_in_root_and_no_other_user(serving: Machine, caller: Caller) -> None:
    assert caller.get("/runs")["runs"] == []
    psql = ("psql", "--dbname=cvatd", "--username=cvatd", "--command=")
    assert "Peer authentication failed" in serving.run(*NOBODY, *psql, check=False).stderr
    ping = ("redis-cli", "-s", "/run/redis-cvatd/redis.sock", "ping")
    assert serving.run(*ping).stdout.strip() == "PONG"
    assert "Permission denied" in serving.run(*NOBODY, *ping, check=False).stderr


def test_a_training_is_taken_and_learns(serving: Machine, caller: Caller) -> None:
    """On the processor, under the trainer's hardening, as part of the slice of trainings."""
    serving.run(PYTHON, "-c", DRAW)
    assert caller.submit("shapes", epochs=1000) == 1

    def learned() -> bool:
        """The loss first rises, with the number of boxes that the model tries; then it falls."""
        lines = serving.run("cat", f"{RUN}/events.jsonl", check=False).stdout.split("\n")[:-1]
        epochs = [event["data"] for line in lines if (event := json.loads(line))["type"] == "epoch"]
        losses = [sum(epoch["loss"].values()) for epoch in epochs]
        return bool(losses) and losses[-1] < LEARNED * max(losses)

    wait(serving, lambda: learned() or caller.get("/runs/1")["state"] == "failed")
    run = caller.get("/runs/1")
    assert (run["state"], run["versions"]["device"]) == ("training", "cpu"), run["error_message"]
    processes = serving.run("pgrep", "--full", f"train {RUN}$").stdout.split()
    assert processes
    assert {serving.cgroup(int(pid)) for pid in processes} == {f"{TRAININGS}cvatd-trainer@1.service"}


def test_stop_in_the_middle_of_a_training_leaves_nothing_but_its_checkpoint(serving: Machine, caller: Caller) -> None:
    serving.systemctl("stop", TRAINER, timeout_s=STOP_TIMEOUT_S)
    assert caller.get("/runs/1")["state"] == "interrupted"  # the next trainer goes on with it
    assert "KILL" not in serving.explain(TRAINER)
    assert "last.pt" in serving.run("find", RUN, "-name", "*.pt").stdout
    serving.systemctl("stop", *ASKED, *ALL, timeout_s=STOP_TIMEOUT_S)
    assert serving.run("pgrep", "--list-full", "--euid", "cvatd,redis-cvatd,postgres", check=False).stdout == ""
    assert serving.systemctl("list-units", "--state=failed", "--plain", "--no-legend", *ALL) == ""
