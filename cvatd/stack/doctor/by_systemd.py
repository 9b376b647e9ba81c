"""The commands of findings on a host where systemd starts and stops the containers. Pure."""

import re

ALL = "systemctl restart cvat.service"
RESTART = re.compile(r"cvatd restart((?: cvat-[a-z0-9-]+)*)")
UP = re.compile(r"(?:cvatd plan, then |cvatd down && )?cvatd up\b")


def by_systemd(command: str) -> str:
    """`command` with systemctl in the place of what cvatd leaves to systemd."""
    return RESTART.sub(_restart, UP.sub(ALL, command))


def _restart(match: re.Match[str]) -> str:
    names = match[1].split()
    return f"systemctl restart {' '.join(f'podman-{name}.service' for name in names)}" if names else ALL
