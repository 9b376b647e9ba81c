"""The flake, and the same things without flakes: they evaluate, and what they give is there."""

import json
import os
import re
import subprocess
import tomllib
from typing import Any

import pytest

from tests.nix.evaluate import NIX_CONFIG, ROOT, evaluate, nixpkgs

pytestmark = pytest.mark.needs_nixpkgs

FLAKE_TIMEOUT_S = 200
LOCK = ROOT / "flake.lock"


def flake(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`nix flake ...` with this machine's <nixpkgs> in place of the one that is locked."""
    command = ["nix", "flake", *arguments, "--no-write-lock-file", "--override-input", "nixpkgs", f"path:{nixpkgs()}"]
    environment = os.environ | {"NIX_CONFIG": NIX_CONFIG}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=FLAKE_TIMEOUT_S)


@pytest.fixture(scope="module", autouse=True)
def in_git() -> None:
    """A flake is what Git knows of."""
    if not (ROOT / ".git").exists():
        pytest.skip("no Git checkout")
    if nixpkgs() is None or not (nixpkgs() / "flake.nix").exists():  # type: ignore[operator]
        pytest.skip("this <nixpkgs> is no flake")


def test_check() -> None:
    done = flake("check", "--no-build")
    assert done.returncode == 0, done.stderr
    assert "error" not in done.stderr


def test_outputs() -> None:
    shown = flake("show", "--json")
    assert shown.returncode == 0, shown.stderr
    outputs: dict[str, Any] = json.loads(shown.stdout)
    assert sorted(outputs["nixosModules"]) == ["cvat", "cvatd", "default", "ports", "ts-proxy"]
    assert sorted(outputs["packages"]["x86_64-linux"]) == ["cvatd", "cvatd-demo", "cvatd-trainer", "default"]
    assert sorted(outputs["apps"]["x86_64-linux"]) == ["default", "demo"]
    assert sorted(outputs["checks"]["x86_64-linux"]) == ["machine", "units"]
    assert "default" in outputs["devShells"]["x86_64-linux"]


def test_the_lock_names_what_the_flake_asks_for() -> None:
    locked = json.loads(LOCK.read_text())["nodes"]["nixpkgs"]
    assert f'"github:NixOS/nixpkgs/{locked["original"]["ref"]}"' in (ROOT / "flake.nix").read_text()


def test_without_flakes() -> None:
    expression = """
      let
        cvatd = import root { };
        lib = import <nixpkgs/lib>;
        host = import <nixpkgs/nixos> { configuration = { imports = [ cvatd.nixosModules.default ];
          services.cvat.enable = true; system.stateVersion = "25.11"; }; };
      in {
        port = host.config.networking.ports.cvat.port;
        packages = map (name: lib.isDerivation cvatd.${name}) [ "cvatd" "cvatd-trainer" "cvatd-demo" ];
        shell = lib.isDerivation (import (root + "/shell.nix") { });
        overlaid = (import <nixpkgs> { overlays = [ cvatd.overlays.default ]; }) ? cvatd-trainer;
      }"""
    assert evaluate(expression) == {"port": 8093, "packages": [True, True, True], "shell": True, "overlaid": True}


def test_the_virtual_machine_evaluates() -> None:
    """It runs by `nix flake check` on hosts with KVM; here it is known to be a derivation with a test in it."""
    expression = """let test = (import (root + "/nix/tests") { pkgs = import <nixpkgs> { }; }).machine;
        in { name = test.name; script = test.config.testScriptString or (toString test.config.testScript); }"""
    found = evaluate(expression)
    assert found["name"] == "vm-test-run-cvat"
    assert "it comes back after a crash" in found["script"]


def test_each_dependency_of_the_package_is_in_nixpkgs_expression() -> None:
    """What pyproject.toml names, packages/cvatd.nix names too."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    expression = (ROOT / "nix" / "packages" / "cvatd.nix").read_text()
    names = {re.split(r"[\[<>=!~ ]", dependency)[0] for dependency in project["dependencies"]}
    listed = set(re.search(r"with python3Packages; \[(.*?)\]", expression, re.DOTALL)[1].split())  # type: ignore[index]
    assert listed == names
    assert f'version = "{project["version"]}"' in expression
