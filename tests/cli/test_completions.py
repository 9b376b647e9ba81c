"""Completion of cvat-manage as its shells do it: the real ones, with words as a person begins them."""

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.test_manage import ROOT, SCRIPT, script

COMPLETIONS = ROOT / "scripts" / "completions"
BOUND_S = 60
SHELLS = {"bash": "cvat-manage.bash", "zsh": "_cvat-manage", "fish": "cvat-manage.fish"}
BEGUN = {
    "c": ["changepassword", "createsuperuser"],
    "mig": ["migrate"],
    "": ["changepassword", "createsuperuser", "migrate"],
    "help cr": ["createsuperuser"],
    "x": [],
    "help x": [],
    "migrate c": [],
}
# All that fits, instead of what is common to it; then the line, and an empty one.
ZSH = f"""
fpath=({COMPLETIONS} $fpath)
autoload -Uz compinit
compinit -u -D
all() {{ _main_complete; compstate[insert]=all }}
zle -C all complete-word all
bindkey '^I' all
tell() {{ zle -I; print -r -- "<$BUFFER>"; BUFFER= }}
zle -N tell
bindkey '^T' tell
unsetopt beep
print -r -- '<rea''dy>'
"""


def need(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} on this machine")


@pytest.fixture
def known(tmp_path: Path) -> dict[str, str]:
    """An environment in which `cvat-manage` is the script and has a list, and no Podman to ask."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "cvat-manage"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -IS {SCRIPT} "$@"\n')
    program.chmod(0o755)
    (tmp_path / "empty").mkdir()
    script.keep_list(str(tmp_path / "cvat-manage"), "image", ["changepassword", "createsuperuser", "migrate"])
    return {
        "PATH": f"{tmp_path}/bin:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "XDG_CACHE_HOME": str(tmp_path),
        "CONTAINER_HOST": f"unix://{tmp_path}/none",
    }


@pytest.mark.parametrize("shell", SHELLS)
def test_they_are_in_the_language_of_their_shell(shell: str) -> None:
    need(shell)
    subprocess.run([shell, "-n", COMPLETIONS / SHELLS[shell]], check=True, timeout=BOUND_S)


@pytest.mark.parametrize("begun", BEGUN)
def test_bash(known: dict[str, str], begun: str) -> None:
    program = f'. "{COMPLETIONS}/cvat-manage.bash"; COMP_CWORD=$(($# - 1)); COMP_WORDS=("$@"); _cvat_manage; '
    program += 'printf "%s\\n" "${COMPREPLY[@]}"'
    command = ["bash", "--norc", "-c", program, "bash", "cvat-manage", *begun.split(" ")]
    result = subprocess.run(command, env=known, capture_output=True, text=True, timeout=BOUND_S, check=True)
    assert (result.stdout.split(), result.stderr) == (BEGUN[begun], "")


@pytest.mark.parametrize("begun", BEGUN)
def test_fish(known: dict[str, str], tmp_path: Path, begun: str) -> None:
    need("fish")
    program = f"source {COMPLETIONS}/cvat-manage.fish; complete -C 'cvat-manage {begun}'"
    command = ["fish", "--no-config", "-c", program]
    result = subprocess.run(
        command, env=known, cwd=tmp_path / "empty", capture_output=True, text=True, timeout=BOUND_S, check=True
    )
    assert (result.stdout.split(), result.stderr) == (BEGUN[begun], "")


def test_zsh(known: dict[str, str], tmp_path: Path) -> None:
    """On a terminal: elsewhere it completes nothing."""
    need("zsh")
    (tmp_path / "rc").write_text(ZSH)
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(tmp_path / "empty")
        os.execvpe("zsh", ["zsh", "-f", "-i"], known | {"TERM": "dumb"})
    try:
        os.write(terminal, f". {tmp_path}/rc\n".encode())
        until(terminal, b"<ready>")
        for begun, found in BEGUN.items():
            os.write(terminal, f"cvat-manage {begun}\t\x14".encode())
            line = until(terminal, b">\r\n").rpartition(b"<")[2].partition(b">")[0].decode()
            before, _, _ = begun.rpartition(" ")
            words = [*before.split(), *(found or [begun.rpartition(" ")[2]])]
            assert line.split() == ["cvat-manage", *words]
    finally:
        os.close(terminal)
        os.kill(child, 9)
        os.waitpid(child, 0)


def until(terminal: int, end: bytes) -> bytes:
    """What it shows up to this."""
    shown, deadline = b"", time.monotonic() + BOUND_S
    while end not in shown:
        assert select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))[0], shown
        shown += os.read(terminal, 4096)
    return shown
