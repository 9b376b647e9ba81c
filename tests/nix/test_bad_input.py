"""What is refused at evaluation: each with the option's name and the fix."""

from typing import Any

import pytest

from tests.nix.evaluate import ROOT, EvaluationError, evaluate

pytestmark = pytest.mark.needs_nixpkgs

# declaration -> what its message says: the option, and what to do
REFUSED = {
    "tooOld": ["services.cvat.version: CVAT 2.20.1 is older than any", "Set it to 2.21.0 or newer"],
    "tooOldImage": ["services.cvat.version: CVAT 2.20.1 is older than any", "Set it to 2.21.0 or newer"],
    "twoReleases": ["services.cvat.version is 2.52.0", "services.cvat.serverImage", "change one of the two"],
    "unnamedRelease": ["services.cvat.serverImage", "Set services.cvat.version"],
    "unknownQueue": ["services.cvat.workers.low.queues", 'no queue "laundry"', "It has import"],
    "unservedQueue": ["services.cvat.workers: no worker serves", "quality_reports, cleaning", "Add these"],
    "servedTwice": ['"export"', "services.cvat.workers.default and by services.cvat.workers.more", "Take it out"],
    "servedTwiceByOne": ['"chunks"', "services.cvat.workers.chunks", "Take it out"],
    "noWorkers": ["services.cvat.workers: no worker serves import", "Add these"],
    "workerName": ["services.cvat.workers.Mine!", "small letters"],
    "twoOnOneName": ["services.cvat.extraContainers", "cvat-worker-default", "another name"],
    "twoOnOneOldName": ["services.cvat.extraContainers", "cvat-worker-import", "another name"],
    "initName": ["services.cvat.extraContainers", "cvat-init", "another name"],
    "unknownNeed": ["services.cvat.extraContainers.mine.needs", '"cvat-sever"', "There are cvat-"],
    "unknownLimit": ["services.cvat.resources.containers", "cvat-sever", "There are cvat-"],
    "highAboveMax": ["services.cvat.resources.memoryHigh (3G) is above memoryMax (2048M)", "Set it below"],
    "openSecret": ["services.cvat.settings", "CVAT_POSTGRES_PASSWORD", "Leave it out"],
    "processesInSettings": ["services.cvat.settings.NUMPROCS", "services.cvat.server.processes"],
    "twoPasswords": ["services.cvat.superuser", "Keep passwordFile"],
    "portOfSsh": ["services.cvat.port: 22 is that of services.openssh.ports", "networking.ports.cvat.key"],
    "portOfOther": ["services.cvat.port: 4711 is that of networking.ports.wiki", "to another"],
    "relativeDir": ["services.cvat.dataDir (cvat)", "such as /var/lib/cvat"],
    "spaceInDir": ["services.cvat.dataDir (/mnt/my data)", "such as /var/lib/cvat"],
    "specifierInDir": ["services.cvat.dataDir (/mnt/100%/cvat)", "such as /var/lib/cvat"],
    "upInDir": ["services.cvat.dataDir (/var/lib/../../etc)", "such as /var/lib/cvat"],
    "rootDir": ["services.cvat.dataDir (/cvat)", "such as /var/lib/cvat"],
    "storeDir": ["services.cvat.dataDir (/nix/store/x)", "such as /var/lib/cvat"],
    "noPassword": ["services.cvat.database.passwordFile is not set", "autoInit could not sign in", "Name a file"],
    "noHost": ["services.cvat.database.host is not set", "Name the host"],
    "hostOfLocal": ["services.cvat.database.host is set", "Set services.cvat.database.createLocally = false"],
    "docker": ["virtualisation.oci-containers.backend is docker", '"podman"'],
    "proxyOff": ["services.cvat.tsProxy.enable", "Set services.ts-proxy.enable = true"],
    "gpuWithoutDriver": ["services.cvatd.training.gpus", "hardware.nvidia"],
    "portOfCvat": ["services.cvatd.port: 8093 is that of", "networking.ports.cvat", "to another"],
    "exposedWithoutAuth": ["services.cvatd.settings.auth", "Leave it on"],
}
TYPES = [
    "secretInStore", "secretAsPath", "databaseSecretInStore", "memory", "processor", "version", "image", "address",
    "share", "noQueues", "unknownOption",
]  # fmt: skip


@pytest.fixture(scope="module")
def answers() -> dict[str, Any]:
    """All of them in one evaluation."""
    found: dict[str, Any] = evaluate(f"import {ROOT}/nix/tests/bad-input.nix")
    return found


def test_no_declaration_is_left_out(answers: dict[str, Any]) -> None:
    assert sorted(answers["refused"]) == sorted(REFUSED)
    assert sorted(answers["types"]) == sorted(["good", *TYPES])


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_option_and_fix(answers: dict[str, Any], case: str) -> None:
    (message,) = answers["refused"][case]
    for words in REFUSED[case]:
        assert words in message
    assert "\n" not in message.strip()


def test_good_values_pass(answers: dict[str, Any]) -> None:
    assert answers["types"]["good"] is False


@pytest.mark.parametrize("case", TYPES)
def test_refused_by_type(answers: dict[str, Any], case: str) -> None:
    assert answers["types"][case] is True


def test_a_secret_in_the_store_is_told_why() -> None:
    with pytest.raises(EvaluationError) as refused:
        evaluate(
            "(host { configuration.services.cvat = { enable = true; superuser.passwordFile = ./secret; }; })"
            ".config.services.cvat.stack"
        )
    words = " ".join(str(refused.value).split())
    assert "`services.cvat.superuser.passwordFile' is not of type" in words
    assert "outside of the Nix store, which everybody may read" in words


def test_a_refusal_stops_the_build() -> None:
    """The checks are NixOS's own assertions."""
    expression = """let inherit (host { configuration.services.cvat = { enable = true; version = "2.0.0"; }; }) config;
        in map (a: a.message) (builtins.filter (a: !a.assertion) config.assertions)"""
    (message,) = evaluate(expression)
    assert "services.cvat.version: CVAT 2.0.0 is older" in message
