"""The flake, and the same things without flakes: they evaluate, and what they give is there."""

import ast
import json
import os
import re
import subprocess
import tomllib
from typing import Any, TypeGuard

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


@pytest.mark.parametrize("file", ["default.nix", "online.nix"])
def test_the_virtual_machine_evaluates(file: str) -> None:
    """It runs on hosts with KVM; here it is known to be a derivation with a test in it that Python can read."""
    expression = """let tests = import (root + "/nix/tests/${file}") { pkgs = import <nixpkgs> { }; };
          test = tests.machine or tests;
        in { inherit (test) name drvPath; script = test.config.testScriptString; }"""
    found = evaluate(expression, file=file)
    assert found["name"] == ("vm-test-run-cvat" if file == "default.nix" else "vm-test-run-cvat-online")
    assert found["drvPath"].endswith(f"-{found['name']}.drv")
    script = ast.parse(found["script"])
    calls = sorted(filter(_is_subtest, ast.walk(script)), key=lambda call: call.lineno)
    steps = [ast.literal_eval(call.args[0]) for call in calls]
    assert steps == [
        "one command starts all containers, in the slice",
        "CVAT is initialised, once",
        "the superuser signs in through the proxy",
        "POST /train trains a tiny model",
        "one command stops all containers",
        "it comes back after a crash, with what it knew and what it was doing",
    ]
    assert f"online = {file == 'online.nix'}\n" in found["script"]


def _is_subtest(node: ast.AST) -> TypeGuard[ast.Call]:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "subtest"


def test_each_dependency_of_the_package_is_in_nixpkgs_expression() -> None:
    """What pyproject.toml names, packages/cvatd.nix names too."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    expression = (ROOT / "nix" / "packages" / "cvatd.nix").read_text()
    names = {re.split(r"[\[<>=!~ ]", dependency)[0] for dependency in project["dependencies"]}
    listed = set(re.search(r"with python3Packages; \[(.*?)\]", expression, re.DOTALL)[1].split())  # type: ignore[index]
    assert listed == names
    assert f'version = "{project["version"]}"' in expression
