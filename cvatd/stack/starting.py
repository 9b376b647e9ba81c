"""The command that starts CVAT's containers, as this host has it: systemd's where units own them. Pure."""

from cvatd.core.settings import StackSettings
from cvatd.stack.spec import INIT_CONTAINER

UP = "cvatd up"


def all_of_them(settings: StackSettings) -> str:
    return "systemctl start cvat.service" if settings.manager == "systemd" else UP


def those(settings: StackSettings, containers: list[str]) -> str:
    """Their units, and not cvat.service: that one may be active while a container of it is down."""
    units = " ".join("cvat-init.service" if name == INIT_CONTAINER else f"podman-{name}.service" for name in containers)
    return f"systemctl start {units}" if settings.manager == "systemd" else UP


def init(settings: StackSettings) -> str:
    return "systemctl start cvat-init.service" if settings.manager == "systemd" else "cvatd init"


def preparation(settings: StackSettings) -> str:
    """What makes folders and secrets, and starts nothing more than it must."""
    return "systemctl start cvat-secrets.service" if settings.manager == "systemd" else UP
