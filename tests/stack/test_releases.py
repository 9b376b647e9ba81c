"""Facts of releases: every entry whole, the later above the earlier, the unknown said to be unknown."""

import json
from importlib.resources import files
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvatd.core.errors import CvatdError
from cvatd.stack import releases
from cvatd.stack.spec import stack_file

DATA: dict[str, Any] = json.loads(files("cvatd.stack").joinpath("releases.json").read_text())
STARTS = [entry["from"] for entry in DATA["releases"]]
# As the facts of each era have them: (release, grammar, UI port, OPA's image, has chunks, has consensus).
ERAS = [
    ("2.21.0", "one", 80, "0.63.0", False, False),
    ("2.25.0", "one", 80, "0.63.0", True, False),
    ("2.37.0", "one", 80, "0.63.0", True, True),
    ("2.38.0", "many", 8000, "0.63.0", True, True),
    ("2.52.0", "many", 8000, "0.63.0", True, True),
    ("2.64.0", "many", 8000, "1.12.2", True, True),
    ("2.80.0", "many", 8000, "1.12.2", True, True),
]
VERSIONS = st.builds("2.{}.{}".format, st.integers(21, 99), st.integers(0, 9))


@pytest.mark.parametrize(("version", "grammar", "ui_port", "opa", "chunks", "consensus"), ERAS)
def test_eras(version: str, grammar: str, ui_port: int, opa: str, chunks: bool, consensus: bool) -> None:
    release = releases.find(version)
    assert (release.version, release.grammar, release.ui_port) == (version, grammar, ui_port)
    assert release.images["opa"] == f"docker.io/openpolicyagent/opa:{opa}"
    assert ("chunks" in release.queues, "consensus" in release.queues) == (chunks, consensus)
    assert release.images["server"] == f"docker.io/cvat/server:v{version}"
    assert release.images["ui"] == f"docker.io/cvat/ui:v{version}"
    assert release.postgres_major == 15
    assert release.images["postgres"].endswith(f":{release.postgres_major}-alpine")


def test_opa_1_is_told_to_listen_to_others() -> None:
    """Since its release 1.0 it listens on loopback only; before, it knows the option and needs it not."""
    for start in STARTS:
        release = releases.find(start)
        major = int(release.images["opa"].rpartition(":")[2].split(".")[0])
        assert ("--addr=0.0.0.0:8181" in release.opa_flags) == (major >= 1)


def test_entries_stand_in_order_and_end_before_the_newest() -> None:
    starts = [releases.parse(start) for start in STARTS]
    assert starts == sorted(set(starts))
    assert starts[-1] <= releases.parse(releases.newest())


@given(VERSIONS)
def test_every_release_is_whole(version: str) -> None:
    release = releases.find(version)
    kinds = {container.image for container in stack_file().containers.values()} | {"server"}
    assert release.images.keys() >= kinds
    assert all(image.startswith("docker.io/") and "@" not in image for image in release.images.values())
    assert len(set(release.queues)) == len(release.queues)
    assert release.evidence
    assert set(release.names) <= set(release.queues)
    assert not (release.names and release.grammar == "many")


@given(VERSIONS, VERSIONS)
def test_releases_of_one_entry_differ_in_their_number_only(one: str, other: str) -> None:
    def entry(version: str) -> int:
        return sum(releases.parse(start) <= releases.parse(version) for start in STARTS)

    def facts(version: str) -> dict[str, Any]:
        found = releases.find(version).model_dump(exclude={"version", "checked", "evidence"})
        found["images"] = {kind: image.replace(version, "") for kind, image in found["images"].items()}
        return found

    if entry(one) == entry(other):
        assert facts(one) == facts(other)


def test_what_is_newer_than_the_newest_is_said_to_be_a_guess() -> None:
    release = releases.find("2.99.0")
    assert not release.checked
    assert "newer than 2.80.0" in release.evidence
    assert release.queues == releases.find(releases.newest()).queues


@pytest.mark.parametrize("version", ["2.20.9", "1.7.0", "0.0.1"])
def test_what_is_older_than_the_oldest_is_refused_with_the_way_out(version: str) -> None:
    with pytest.raises(CvatdError) as refused:
        releases.find(version)
    assert refused.value.code == "release"
    for word in (version, "stack.version", "2.21.0", "2.80.0"):
        assert word in refused.value.message


def test_a_v_before_the_number_means_nothing() -> None:
    assert releases.find("v2.21.0") == releases.find("2.21.0")
    assert releases.parse("v2.21.3") == (2, 21, 3)


TAGS = {
    "cvat/server:v2.21.0": "2.21.0",
    "docker.io/cvat/server:2.80.0": "2.80.0",
    "registry.example:5000/cvat/server:v2.21.0": "2.21.0",
    f"cvat/server:v2.21.0@sha256:{'a' * 64}": "2.21.0",
    f"cvat/server@sha256:{'a' * 64}": None,
    "cvat/server:dev": None,
    "cvat/server": None,
    "registry.example:5000/cvat/server": None,
    "cvat/server:v2.21.0-rc1": None,
    "cvat/server:v2.21": None,
    "": None,
}


@pytest.mark.parametrize(("image", "version"), TAGS.items())
def test_the_release_that_a_tag_names(image: str, version: str | None) -> None:
    assert releases.version_of_image(image) == version
