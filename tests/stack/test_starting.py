"""The commands in hints, by who starts the containers on this host."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from cvatd.core.errors import CvatdError
from cvatd.core.settings import StackSettings
from cvatd.stack import command_line, secret_files, starting
from cvatd.stack.rotate import django

OURS = StackSettings()
UNITS = StackSettings(manager="systemd")


def test_each_manager_has_its_own_command() -> None:
    assert starting.all_of_them(OURS) == starting.those(OURS, ["cvat-db"]) == starting.preparation(OURS) == "cvatd up"
    assert starting.all_of_them(UNITS) == "systemctl start cvat.service"
    assert starting.those(UNITS, ["cvat-db", "cvat-init"]) == "systemctl start podman-cvat-db.service cvat-init.service"
    assert starting.preparation(UNITS) == "systemctl start cvat-secrets.service"


@pytest.mark.parametrize(
    ("manager", "starts", "prepares"),
    [
        ("cvatd", "cvatd up", "cvatd up"),
        ("systemd", "systemctl start podman-cvat-db.service", "systemctl start cvat-secrets.service"),
    ],
)
def test_what_is_not_there_is_told_with_the_command_that_makes_it(
    tmp_path: Path, manager: str, starts: str, prepares: str
) -> None:
    settings = StackSettings.model_validate({"data_dir": str(tmp_path / "cvat"), "manager": manager})
    podman = SimpleNamespace(containers=dict, url="unix:///nowhere")
    with pytest.raises(CvatdError, match=f"is not there: `{starts}`"):
        command_line.shell_command(podman, settings, "db", tty=False)  # type: ignore[arg-type]
    with pytest.raises(CvatdError, match=f"superuser-password yet: `{prepares}`"):
        secret_files.read(settings, secret_files.SUPERUSER)
    with pytest.raises(CvatdError, match=f"keys yet: `{prepares}`"):
        django(SimpleNamespace(settings=settings), lambda *_: None)  # type: ignore[arg-type]
