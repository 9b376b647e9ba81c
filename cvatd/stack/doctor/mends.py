"""What `--fix` does: nothing that stops a container, loses data or goes against what somebody asked for."""

from pathlib import Path
from typing import TYPE_CHECKING

from cvatd.stack import layout, secret_files
from cvatd.stack.spec import stack_file

if TYPE_CHECKING:
    from cvatd.stack.runner import Runner


def make_network(runner: "Runner") -> None:
    runner.podman.ensure_network(runner.stack().network)


def make_folders(runner: "Runner") -> None:
    layout.ensure(runner.settings)


def give_folders(runner: "Runner") -> None:
    """Each folder itself, not what lies in it: programs inside made that with their own numbers."""
    for wrong in layout.wrong_owners(runner.settings):
        layout.give(wrong.path, wrong.owner)


def narrow_secrets(runner: "Runner") -> None:
    owners = {secret_files.folder(runner.settings) / name: owner for name, owner in stack_file().secrets.items()}
    owners |= {
        secret_files.folder(runner.settings): stack_file().folders["secrets"],
        secret_files.django_key_file(runner.settings): secret_files.DJANGO_KEY_OWNER,
    }
    for path in wide_secrets(runner.settings.data_dir, list(owners)):
        layout.give(path, owners[path])


def set_limits(runner: "Runner") -> None:
    runner.parent.ensure(runner.settings.limits)


def initialise(runner: "Runner") -> None:
    runner.initialiser(runner.stack()).ensure(lambda words: None)


def wide_secrets(data_dir: Path, paths: list[Path]) -> dict[Path, int]:
    """Those that others than their owner may read or enter, with their modes."""
    wide = {}
    for path in paths:
        try:
            mode = path.stat().st_mode & 0o7777
        except OSError:
            continue
        if mode & 0o077:
            wide[path] = mode
    return wide
