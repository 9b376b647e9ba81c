"""From settings to containers: every queue served once, every name filled, every fault named by its key."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvatd.core.errors import CvatdError
from cvatd.core.settings import StackSettings
from cvatd.stack import releases, render
from cvatd.stack.spec import Container, Stack

QUEUES = releases.find("2.80.0").queues
VERSIONS = st.builds("2.{}.{}".format, st.integers(21, 99), st.integers(0, 9))


def rendered(**settings: Any) -> Stack:
    return render.render(StackSettings.model_validate(settings))


def refusal(**settings: Any) -> str:
    with pytest.raises(CvatdError) as refused:
        rendered(**settings)
    assert refused.value.code == "spec"
    return refused.value.message


def served(stack: Stack) -> list[str]:
    return sorted(queue for container in stack.containers for queue in container.queues)


@given(VERSIONS)
def test_every_release_renders_whole(version: str) -> None:
    stack = rendered(version=version)
    release = releases.find(version)
    assert served(stack) == sorted(release.queues)
    assert len(set(stack.names)) == len(stack.names)
    for container in stack.containers:
        texts = [
            container.image,
            *container.command,
            *container.environment.values(),
            *(m.source for m in container.mounts),
        ]
        assert not [text for text in texts if re.search(r"@[a-z_]+@", text)], container.name
        assert all(mount.source.startswith("/") for mount in container.mounts)
        for need in container.needs:
            assert stack.names.index(need) < stack.names.index(container.name)


def test_the_standard_workers_of_today() -> None:
    workers = {container.name: container.command for container in rendered().containers if container.queues}
    assert workers == {
        "cvat-worker-default": ["run", "worker", "import", "export", "annotation", "webhooks", "notifications"],
        "cvat-worker-low": ["run", "worker", "quality_reports", "consensus", "cleaning"],
        "cvat-worker-chunks": ["run", "worker", "chunks"],
    }


def test_old_releases_get_a_container_for_each_configuration_of_their_image() -> None:
    workers = {c.name: (c.command, c.queues) for c in rendered(version="2.21.0").containers if c.queues}
    assert workers == {
        "cvat-worker-import": (["run", "worker.import"], ["import"]),
        "cvat-worker-export": (["run", "worker.export"], ["export"]),
        "cvat-worker-annotation": (["run", "worker.annotation"], ["annotation"]),
        "cvat-worker-webhooks": (["run", "worker.webhooks"], ["webhooks"]),
        "cvat-worker-quality-reports": (["run", "worker.quality_reports"], ["quality_reports"]),
        "cvat-worker-utils": (["run", "utils"], ["notifications", "cleaning"]),
    }


@pytest.mark.parametrize(
    ("version", "said"), [("2.21.0", False), ("2.25.0", True), ("2.64.0", False), ("2.99.0", True)]
)
def test_facts_that_are_inferred_are_said_to_be(version: str, said: bool) -> None:
    assert any("inferred" in warning for warning in rendered(version=version).warnings) == said


# Workers of the operator's own


@given(st.lists(st.sampled_from("abcd"), min_size=len(QUEUES), max_size=len(QUEUES)), st.randoms())
def test_any_way_to_share_out_the_queues_serves_each_once(owners: list[str], random: Any) -> None:
    queues = list(QUEUES)
    random.shuffle(queues)
    workers: dict[str, dict[str, Any]] = {}
    for queue, owner in zip(queues, owners, strict=True):
        workers.setdefault(owner, {"queues": []})["queues"].append(queue)
    stack = rendered(workers=workers)
    assert served(stack) == sorted(QUEUES)
    for name, worker in workers.items():
        assert stack.container(f"cvat-worker-{name}").command == ["run", "worker", *worker["queues"]]
    old = rendered(version="2.37.0", workers=workers)
    assert served(old) == sorted(QUEUES)


@given(st.sampled_from(QUEUES))
def test_a_queue_that_nobody_serves_is_named(missing: str) -> None:
    words = refusal(workers={"all": {"queues": [queue for queue in QUEUES if queue != missing]}})
    assert "stack.workers" in words
    assert f"no worker serves {missing}" in words


@given(st.sampled_from(QUEUES))
def test_a_queue_that_two_serve_is_named(twice: str) -> None:
    words = refusal(workers={"all": {"queues": QUEUES}, "more": {"queues": [twice]}})
    for part in (repr(twice), "stack.workers.all", ".more"):
        assert part in words


def test_a_queue_named_twice_by_one_is_named() -> None:
    assert "stack.workers.all.queues names 'import' twice" in refusal(workers={"all": {"queues": [*QUEUES, "import"]}})


def test_a_queue_that_the_release_has_not_is_named_with_those_it_has() -> None:
    words = refusal(version="2.21.0", workers={"all": {"queues": [*releases.find("2.21.0").queues, "consensus"]}})
    assert "stack.workers.all.queues" in words
    assert "2.21.0 has no queue 'consensus'" in words
    assert "quality_reports" in words


def test_processes_and_memory_of_a_worker() -> None:
    workers = {"all": {"queues": QUEUES, "processes": 3, "memory_max": 512 << 20}}
    worker = rendered(workers=workers).container("cvat-worker-all")
    assert (worker.processes, worker.environment["NUMPROCS"], worker.memory_max) == (3, "3", 512 << 20)
    old = rendered(version="2.37.0", workers=workers)
    assert {(c.processes, c.environment["NUMPROCS"]) for c in old.containers if c.queues} == {(3, "3")}


# Versions and images


def test_the_version_is_that_of_the_servers_tag() -> None:
    stack = rendered(images={"server": "cvat/server:v2.21.0", "ui": "cvat/ui:v2.21.0"})
    assert stack.version == "2.21.0"
    assert stack.container("cvat-server").image == "docker.io/cvat/server:v2.21.0"
    assert stack.container("cvat-worker-import").image == "docker.io/cvat/server:v2.21.0"
    assert stack.container("cvat-ui").image == "docker.io/cvat/ui:v2.21.0"
    assert not stack.warnings or "inferred" not in stack.warnings[0]


def test_the_ui_follows_the_servers_release() -> None:
    assert rendered(images={"server": "cvat/server:v2.21.0"}).container("cvat-ui").image == "docker.io/cvat/ui:v2.21.0"


def test_a_ui_of_another_release_is_said() -> None:
    warnings = rendered(images={"server": "cvat/server:v2.64.0", "ui": "cvat/ui:v2.63.0"}).warnings
    assert any("stack.images.ui is of 2.63.0" in warning for warning in warnings)


def test_a_version_and_a_tag_that_disagree_are_refused() -> None:
    words = refusal(version="2.64.0", images={"server": "cvat/server:v2.21.0"})
    for part in ("stack.version is 2.64.0", "stack.images.server", "v2.21.0"):
        assert part in words
    assert rendered(version="v2.21.0", images={"server": "cvat/server:v2.21.0"}).version == "2.21.0"


def test_a_tag_that_names_no_release_needs_a_version() -> None:
    assert "Set stack.version" in refusal(images={"server": "registry.example:5000/cvat:dev"})
    assert rendered(version="2.64.0", images={"server": "registry.example:5000/cvat:dev"}).version == "2.64.0"


QUALIFIED = {
    "redis": "docker.io/library/redis",
    "redis:7": "docker.io/library/redis:7",
    "cvat/server:v2.21.0": "docker.io/cvat/server:v2.21.0",
    "quay.io/a/b": "quay.io/a/b",
    "localhost/a": "localhost/a",
    "registry:5000/a": "registry:5000/a",
    "docker.io/cvat/server": "docker.io/cvat/server",
}


@pytest.mark.parametrize(("short", "full"), QUALIFIED.items())
def test_images_have_full_names(short: str, full: str) -> None:
    assert render.qualify(short) == full
    assert render.qualify(full) == full


# Other settings


def test_where_people_reach_it() -> None:
    def base_url(**settings: Any) -> str:
        return rendered(**settings).container("cvat-server").environment["CVAT_BASE_URL"]

    assert base_url() == "http://127.0.0.1:8093"
    assert base_url(host="10.0.0.7", port=80) == "http://10.0.0.7:80"
    assert base_url(host="::1") == "http://[::1]:8093"
    assert base_url(public_url="https://cvat.example.org:8443/") == "https://cvat.example.org:8443"


def test_the_port_and_the_folder() -> None:
    stack = rendered(host="0.0.0.0", port=18093, data_dir="/srv/cvat")
    (publish,) = stack.container("cvat-proxy").publish
    assert (publish.host, publish.host_port, publish.port) == ("0.0.0.0", 18093, 8080)
    assert {m.source for c in stack.containers for m in c.mounts} == {
        f"/srv/cvat/{name}"
        for name in ("data", "logs", "keys", "postgres", "redis", "kvrocks", "state/proxy/nginx.conf")
    }


def test_an_environment_reaches_server_and_workers_and_nobody_else() -> None:
    """As it is written: what looks like a parameter of ours is the operator's."""
    stack = rendered(environment={"CVAT_NUM_PROXIES": "1", "NAME": "@port@"})
    for container in stack.containers:
        backend = container.name == "cvat-server" or bool(container.queues)
        assert container.environment.get("CVAT_NUM_PROXIES") == ("1" if backend else None)
        assert container.environment.get("NAME") == ("@port@" if backend else None)


def test_server_processes() -> None:
    assert rendered(server_processes=4).container("cvat-server").environment["NUMPROCS"] == "4"
    assert rendered(server_processes=4).container("cvat-worker-low").environment["NUMPROCS"] == "1"


def test_a_database_outside_of_the_stack() -> None:
    stack = rendered(database={"host": "db.lan", "port": 5433, "name": "c", "user": "u", "password_file": "/x"})
    assert "cvat-db" not in stack.names
    for container in stack.containers:
        assert "cvat-db" not in container.needs
    environment = stack.container("cvat-server").environment
    assert [environment[f"CVAT_POSTGRES_{key}"] for key in ("HOST", "PORT", "DBNAME", "USER")] == [
        "db.lan",
        "5433",
        "c",
        "u",
    ]


def test_limits_of_single_containers() -> None:
    stack = rendered(memory_max={"cvat-server": 1 << 30, "cvat-worker-low": 1 << 28})
    assert stack.container("cvat-server").memory_max == 1 << 30
    assert stack.container("cvat-worker-low").memory_max == 1 << 28
    assert stack.container("cvat-db").memory_max is None
    assert "stack.memory_max: there is no container cvat-sever" in refusal(memory_max={"cvat-sever": 1 << 30})


def test_containers_beside() -> None:
    extra = {
        "image": "nuclio/dashboard:1",
        "mounts": ["/a:/b", "/c:/d:ro"],
        "aliases": ["nuclio"],
        "needs": ["cvat-redis"],
    }
    container = rendered(extra_containers={"nuclio": extra}).container("nuclio")
    assert container.image == "docker.io/nuclio/dashboard:1"
    assert [(m.source, m.target, m.read_only) for m in container.mounts] == [("/a", "/b", False), ("/c", "/d", True)]
    assert (container.aliases, container.needs, container.initialised) == (["nuclio"], ["cvat-redis"], False)


WRONG_EXTRAS = {
    "cvat-server": ({}, "cvat-server"),
    "cvat-worker-low": ({}, "cvat-worker-low"),
    "cvat-init": ({}, "cvat-init is what `cvatd init` works in"),
    "a": ({"needs": ["b"]}, "a needs 'b', and there is no such container"),
    "c": ({"needs": ["c"]}, "in a circle: c"),
}


@pytest.mark.parametrize("name", WRONG_EXTRAS)
def test_containers_beside_that_cannot_be(name: str) -> None:
    more, words = WRONG_EXTRAS[name]
    assert words in refusal(extra_containers={name: {"image": "x"} | more})


def test_a_limit_below_what_cvat_occupies_is_said() -> None:
    def warned(**limits: int) -> bool:
        return any("memory_max" in warning for warning in rendered(limits=limits).warnings)

    assert not warned()
    assert warned(memory_high=1 << 29, memory_max=1 << 30)
    assert any("stack.limits.memory_max" in warning for warning in rendered(server_processes=8).warnings)


def test_a_password_in_the_settings_is_said_and_not_shown() -> None:
    (warning,) = [w for w in rendered(superuser={"initial_password": "hunter2"}).warnings if "password" in w]
    assert "stack.superuser.initial_password" in warning
    assert "hunter2" not in warning


# Order


def container(name: str, needs: list[str]) -> Container:
    return rendered().container("cvat-ui").model_copy(update={"name": name, "needs": needs})


@given(st.lists(st.sets(st.integers(0, 11)), min_size=1, max_size=12), st.randoms())
def test_whoever_needs_another_comes_after_it(needs: list[set[int]], random: Any) -> None:
    made = [container(str(i), [str(n) for n in each if n < i]) for i, each in enumerate(needs)]
    random.shuffle(made)
    names = [each.name for each in render.in_order(made)]
    assert sorted(names) == sorted(each.name for each in made)
    for each in made:
        assert all(names.index(need) < names.index(each.name) for need in each.needs)


@given(st.integers(1, 6))
def test_circles_are_named(length: int) -> None:
    circle = [container(str(i), [str((i + 1) % length)]) for i in range(length)]
    with pytest.raises(CvatdError, match="circle") as refused:
        render.in_order([*circle, container("apart", []), container("behind", ["0"])])
    assert all(str(i) in refused.value.message for i in range(length))
    assert "apart" not in refused.value.message


# Parameters


@given(st.text())
def test_text_without_parameters_stays(text: str) -> None:
    plain = text.replace("@", "")
    assert render.fill(plain, {}) == plain
    assert render.fill(f"{plain}@", {}) == f"{plain}@"


@given(st.text(), st.text())
def test_values_are_not_read_again(before: str, value: str) -> None:
    """What a setting holds is text, also when it looks like a parameter."""
    plain = before.replace("@", "")
    assert render.fill(f"{plain}@a@", {"a": value, "b": "no"}) == plain + value
    assert render.fill("@a@", {"a": "@b@", "b": "no"}) == "@b@"


def test_a_list_becomes_so_many_arguments() -> None:
    assert render.fill_list(["x", "@l@", "y"], {"l": []}) == ["x", "y"]
    assert render.fill_list(["@l@", "@s@"], {"l": ["a b", ""], "s": "c"}) == ["a b", "", "c"]
    assert rendered(version="2.21.0").container("cvat-opa").command[:3] == ["run", "--server", "--log-level=error"]
    assert "--addr=0.0.0.0:8181" in rendered(version="2.80.0").container("cvat-opa").command


@pytest.mark.parametrize("text", ["@nobody@", "x @nobody@", "a @l@"])
def test_a_parameter_that_is_not_there_is_named(text: str) -> None:
    with pytest.raises(CvatdError, match=r"@nobody@|@l@"):
        render.fill_list([text], {"l": ["a"]})
