"""stack.json: the names that people know, the traps that CVAT has, and nothing that nobody fills."""

import json
import re
from importlib.resources import files
from typing import Any

import pytest
from pydantic import ValidationError

from cvatd.core.settings import StackSettings
from cvatd.stack import render
from cvatd.stack.spec import Container, Health, Owner, Stack, StackFile, stack_file

TEXT = files("cvatd.stack").joinpath("stack.json").read_text()
RAW: dict[str, Any] = json.loads(TEXT)


@pytest.fixture(scope="module")
def stack() -> Stack:
    return render.render(StackSettings())


def test_the_names_of_the_containers() -> None:
    assert set(stack_file().containers) == {
        "cvat-db",
        "cvat-redis",
        "cvat-kvrocks",
        "cvat-opa",
        "cvat-server",
        "cvat-ui",
        "cvat-proxy",
    }
    assert set(stack_file().workers) == {"default", "low", "chunks"}
    assert stack_file().network == "cvat-network"


def test_only_the_proxy_has_a_port_on_the_host(stack: Stack) -> None:
    assert {
        container.name: [(p.host, p.host_port) for p in container.publish]
        for container in stack.containers
        if container.publish
    } == {"cvat-proxy": [("127.0.0.1", 8093)]}


def test_the_names_that_cvat_insists_on(stack: Stack) -> None:
    """Its code calls OPA `opa` and OPA's rules come from `cvat-server`."""
    assert stack.container("cvat-opa").aliases == ["opa"]
    assert "--set=services.cvat.url=http://cvat-server:8080" in stack.container("cvat-opa").command


def test_nobody_waits_for_opa_which_waits_for_the_server(stack: Stack) -> None:
    for container in stack.containers:
        assert "cvat-opa" not in container.needs, container.name
        assert "cvat-proxy" not in container.needs, container.name


def test_what_the_supervisor_of_the_image_expands_is_always_there(stack: Stack) -> None:
    """A variable that is absent keeps its whole container from starting; empty ones must be there too."""
    for container in backends(stack):
        for name in (
            "SMOKESCREEN_OPTS",
            "NUMPROCS",
            "CVAT_REDIS_INMEM_PASSWORD",
            "CVAT_REDIS_INMEM_PORT",
            "CVAT_REDIS_ONDISK_PORT",
        ):
            assert name in container.environment, (container.name, name)


def test_the_database_password_comes_by_file_and_never_beside_one(stack: Stack) -> None:
    for container in backends(stack):
        assert container.environment["CVAT_POSTGRES_PASSWORD_FILE"] == "/run/secrets/postgres-password"
        assert "CVAT_POSTGRES_PASSWORD" not in container.environment
        assert "postgres-password" in container.secrets


def test_no_secret_stands_in_an_environment_or_a_command() -> None:
    settings = StackSettings.model_validate({"superuser": {"initial_password": "in-plain-sight"}})
    for container in render.render(settings).containers:
        assert "in-plain-sight" not in container.model_dump_json()


def test_analytics_are_off_so_that_nothing_waits_for_clickhouse(stack: Stack) -> None:
    for container in backends(stack):
        assert container.environment["CVAT_ANALYTICS"] == "0"
        assert "DJANGO_LOG_SERVER_HOST" not in container.environment


def test_server_and_workers_share_their_folders(stack: Stack) -> None:
    """Also the share of people's files: mounted into the server alone, CVAT shows files and cannot open them."""
    shared = render.render(StackSettings.model_validate({"share": "/srv/images"}))
    for one in (stack, shared):
        mounts = [[(mount.source, mount.target, mount.read_only) for mount in c.mounts] for c in backends(one)]
        assert all(each == mounts[0] for each in mounts)
    assert ("/srv/images", "/home/django/share", True) in [
        (mount.source, mount.target, mount.read_only) for mount in shared.container("cvat-server").mounts
    ]
    assert not [mount for mount in stack.container("cvat-server").mounts if mount.target.endswith("/share")]


def test_chunks_never_wait_behind_long_work(stack: Stack) -> None:
    """The server waits for them, five minutes at most."""
    assert [c.queues for c in stack.containers if "chunks" in c.queues] == [["chunks"]]


def test_every_folder_that_is_mounted_is_made() -> None:
    sources = {
        mount["source"]
        for c in [RAW["backend"], RAW["worker"], *RAW["containers"].values()]
        for mount in c.get("mounts", [])
    }
    folders = {source for source in sources if not source.startswith("@")}
    assert {folder for folder in folders if folder != "state/proxy/nginx.conf"} <= set(RAW["folders"])
    parents = [name.rpartition("/")[0] for name in RAW["folders"]]
    names = list(RAW["folders"])
    assert all(parent in names[: names.index(name)] for name, parent in zip(names, parents, strict=True) if parent)


def test_every_secret_that_is_mounted_is_made() -> None:
    mounted = {
        name for container in [RAW["backend"], *RAW["containers"].values()] for name in container.get("secrets", [])
    }
    assert mounted <= set(RAW["secrets"])
    for owner in stack_file().secrets.values():
        assert not owner.bits & 0o077


def test_every_container_says_when_it_is_well_or_has_workers(stack: Stack) -> None:
    for container in stack.containers:
        assert container.health or container.queues, container.name
        if container.health and container.health.inside:
            assert container.health.inside in stack.names


def test_what_is_asked_from_outside_has_no_shell_of_its_own(stack: Stack) -> None:
    assert stack.container("cvat-opa").health.inside == "cvat-proxy"  # type: ignore[union-attr]


def test_every_parameter_that_stands_there_is_filled(stack: Stack) -> None:
    """And each that is filled stands there: what nobody reads is no parameter."""
    named = set(re.findall(r"@([a-z_]+)@", TEXT))
    known = set(render._parameters(StackSettings(), render.releases.find("2.80.0")))
    assert named == known


def test_databases_get_the_time_to_end_in_order(stack: Stack) -> None:
    assert stack.container("cvat-db").stop_signal == "SIGINT"
    for name in ("cvat-db", "cvat-redis", "cvat-kvrocks"):
        assert stack.container(name).stop_s >= 30


def test_a_declaration_comes_back_from_json_as_it_was(stack: Stack) -> None:
    """It is kept as a label of the container, and compared with what is wanted later."""
    for container in stack.containers:
        assert Container.model_validate_json(container.model_dump_json()) == container
        assert Container.model_validate_json(container.model_dump_json(by_alias=True)) == container


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"containers": {"x": {"imag": "server"}}}, "containers.x.imag"),
        ({"containers": {"x": {"health": {"exec": "ps"}}}}, "containers.x.health.exec"),
        ({"folders": {"x": {"uid": 1, "gid": 1, "mode": "750"}}}, "folders.x.mode"),
        ({"folders": {"x": {"uid": "django", "gid": 1, "mode": "0750"}}}, "folders.x.uid"),
        ({"secrets": {"x": {"uid": 1, "mode": "0400"}}}, "secrets.x.gid"),
        ({"containers": {"x": {"publish": [{"host": "127.0.0.1", "port": 1}]}}}, "containers.x.publish.0.host_port"),
        ({"worker": {"stop_s": "soon"}}, "worker.stop_s"),
        ({"workers": {"x": "import"}}, "workers.x"),
    ],
)
def test_a_fault_in_the_file_is_named_by_its_key(change: dict[str, Any], key: str) -> None:
    with pytest.raises(ValidationError) as refused:
        StackFile.model_validate(RAW | change)
    assert [".".join(map(str, fault["loc"])) for fault in refused.value.errors()] == [key]


def test_modes_are_octal() -> None:
    assert Owner(uid=0, gid=0, mode="0750").bits == 0o750
    assert Health(exec=["true"]).inside is None


def test_an_unknown_name_is_a_key_error(stack: Stack) -> None:
    with pytest.raises(KeyError):
        stack.container("cvat")


def backends(stack: Stack) -> list[Container]:
    found = [container for container in stack.containers if container.name == "cvat-server" or container.queues]
    assert len(found) == 4
    return found
