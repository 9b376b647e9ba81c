"""up, plan, ps, init, restart, down: the commands as people and programs call them."""

import json

import pytest

from cvatd.stack import secret_files
from tests.e2e.cvat.stand import CVATD, Stand
from tests.e2e.cvat.terminal import Terminal

pytestmark = pytest.mark.e2e
UP_S = 120.0
MB = 1 << 20


def test_up_with_nothing_changed_says_so_and_restarts_nothing(standing: Stand) -> None:
    before = standing.ids()
    assert "Nothing to do: all 10 containers run as declared" in standing.cvatd("up").stdout
    result = json.loads(standing.cvatd("up", "--json").stdout)
    assert result["plan"]["empty"]
    assert result["initialised"] == {"ran": False, "words": "nothing to do", "superuser_made": False}
    assert result["url"] == standing.url
    assert standing.cvatd("wait").stdout.endswith(f"CVAT is ready at {standing.url}\n")
    assert standing.ids() == before


def test_what_is_there_is_shown(standing: Stand) -> None:
    assert json.loads(standing.cvatd("plan", "--json").stdout)["empty"] is True
    assert standing.cvatd("plan").stdout.startswith("Nothing to do")
    containers = {c["name"]: c for c in json.loads(standing.cvatd("ps", "--json").stdout)["containers"]}
    assert len(containers) >= 10
    assert containers["cvat-server"]["health"] == "healthy"
    rows = [line.split("\t") for line in standing.cvatd("ps").stdout.splitlines()]
    assert rows[0] == ["container", "state", "health", "since", "image"]
    assert all(row[1] == "running" for row in rows[1:] if row[0] != "cvat-init")


def test_init_has_nothing_to_do(standing: Stand) -> None:
    assert standing.cvatd("init").stdout.startswith("Nothing to do")
    assert json.loads(standing.cvatd("init", "--json").stdout)["ran"] is False


def test_one_change_makes_one_container_anew_and_is_said_first(standing: Stand) -> None:
    before = standing.ids()
    standing.configure(memory_max={"cvat-ui": 200 * MB})
    try:
        plan = standing.cvatd("plan").stdout
        assert f"make anew  cvat-ui              memory_max: null → {200 * MB}" in plan
        assert "Stopped for it: cvat-ui." in plan
        words = standing.cvatd("up").stdout
        assert words.index("make anew") < words.index("cvat-ui\tstarting")
        after = standing.ids()
        assert {name for name in before if before[name] != after[name]} == {"cvat-ui"}
    finally:
        standing.configure()
        standing.cvatd("up")


def test_restart_of_one_restarts_that_one(standing: Stand) -> None:
    before = standing.containers()
    standing.cvatd("restart", "ui")
    after = standing.containers()
    assert {name: found.id for name, found in before.items()} == {name: found.id for name, found in after.items()}
    assert {n for n in before if before[n].started_at != after[n].started_at} == {"cvat-ui"}
    wrong = standing.cvatd("restart", "uj", check=False)
    assert wrong.returncode == 2
    assert "There is no container 'uj'" in wrong.stderr


def test_without_a_stack_the_words_say_what_starts_it(stand: Stand) -> None:
    refused = stand.cvatd("init", check=False)
    assert refused.returncode == 3
    assert "`cvatd up`" in refused.stderr
    assert stand.cvatd("ps").stdout.startswith("No containers. `cvatd up`")
    for command in (["shell", "db"], ["logs", "server"], ["secrets", "rotate", "database"]):
        assert stand.cvatd(*command, check=False).returncode == 3, command
    assert stand.cvatd("secrets", "rotate", "everything", check=False).returncode == 2
    assert "nothing runs" in stand.cvatd("down").stdout


def test_prepare_makes_files_and_no_container(stand: Stand) -> None:
    made = json.loads(stand.cvatd("prepare", "--json").stdout)["made"]
    assert {"postgres-password", "superuser-password", "django-key"} <= set(made)
    assert (stand.data_dir / "secrets" / "postgres-password").stat().st_mode & 0o777 == 0o400
    assert json.loads(stand.cvatd("prepare", "--json").stdout)["made"] == []
    assert stand.ids() == {}


def test_what_systemd_runs_is_left_to_systemd(stand: Stand) -> None:
    """As on NixOS, whose units make containers of the same names: none of them and no data may be touched."""
    stand.configure(manager="systemd")
    for command in (["up"], ["plan"], ["down"], ["restart"]):
        refused = stand.cvatd(*command, check=False)
        assert refused.returncode == 1, command
        assert "systemctl starts and stops cvat.service" in refused.stderr
    stand.configure()
    stand.cvatd("prepare")
    label = "PODMAN_SYSTEMD_UNIT=podman-cvat-server.service"
    mount = f"{stand.data_dir}/secrets/postgres-password:/run/secrets/postgres-password:ro"
    common = ["--network", "none", "--cgroup-parent", f"/{stand.settings.slice}", "--label"]
    images = {container.name: container.image for container in stand.runner().stack().containers}
    environment = ["-e", "POSTGRES_USER=root", "-e", "POSTGRES_DB=cvat"]
    environment += ["-e", "POSTGRES_PASSWORD_FILE=/run/secrets/postgres-password", "-v", mount]
    database = [*common, "PODMAN_SYSTEMD_UNIT=podman-cvat-db.service", *environment, images["cvat-db"]]
    stand.host.run("run", "--detach", "--name", "cvat-db", *database)
    stand.host.run("create", "--name", "cvat-server", *common, label, images["cvat-server"])
    before = stand.ids()
    for command in (["up"], ["plan"], ["down"], ["restart", "server"], ["reset", "--yes", str(stand.data_dir)]):
        refused = stand.cvatd(*command, check=False)
        assert refused.returncode == 1, command
        assert "systemctl starts and stops it" in refused.stderr
    old = secret_files.read(stand.settings, secret_files.POSTGRES)
    result = json.loads(stand.cvatd("secrets", "rotate", "database", "--json").stdout)
    assert result["restart"] == ["podman-cvat-server.service"]
    assert secret_files.read(stand.settings, secret_files.POSTGRES) != old
    assert not secret_files.is_changing(stand.settings, secret_files.POSTGRES)
    assert stand.ids() == before
    assert stand.data_dir.is_dir()


def test_a_life_interrupted_and_begun_anew(stand: Stand) -> None:
    """Ctrl-C in the middle of `up`, then all of it, a reset, and the data brought back."""
    with Terminal([CVATD, "up"], stand.env) as terminal:
        shown = terminal.expect("healthy", UP_S)
        assert "make       cvat-db, cvat-redis" in shown
        terminal.send("\x03")
        assert terminal.wait() == 130
        assert "What was started stays: `cvatd up`" in terminal.shown
    done = stand.cvatd("up").stdout
    assert f"CVAT is ready at {stand.url}" in done
    assert "`cvatd password`" in done
    password = stand.cvatd("password").stdout

    refused = stand.cvatd("reset", check=False, input="")
    assert refused.returncode == 2
    assert f"cvatd reset --yes {stand.data_dir}" in refused.stderr
    with Terminal([CVATD, "reset"], stand.env) as terminal:
        shown = terminal.expect("to go on: ", 30)
        assert "1 user" in shown
        terminal.send("cvat\n")
        assert terminal.wait() == 2
    assert stand.containers()["cvat-server"].running

    result = json.loads(stand.cvatd("reset", "--yes", str(stand.data_dir), "--json").stdout)
    assert stand.ids() == {}
    assert not stand.data_dir.exists()
    assert result["aside"].startswith(f"{stand.data_dir}.reset-")
    assert stand.cvatd("reset", "--yes", str(stand.data_dir), check=False).returncode == 1
    stand.cvatd("prepare")
    assert stand.cvatd("password").stdout != password

    stand.data_dir.rename(stand.folder / "unwanted")
    stand.data_dir.with_name(result["aside"].rpartition("/")[2]).rename(stand.data_dir)
    up = json.loads(stand.cvatd("up", "--no-wait", "--json").stdout)
    assert up["initialised"]["ran"] is False
    assert json.loads(stand.cvatd("password", "--json").stdout)["state"] == "in_force"
    assert stand.cvatd("password").stdout == password
    assert "10 containers removed" in stand.cvatd("down").stdout or stand.ids() == {}
