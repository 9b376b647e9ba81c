"""Where systemd owns the containers: what it says of their units, and asking it. Podman is never asked instead."""

import subprocess
from collections.abc import Iterable

from cvatd.core.errors import CvatdError

SHOW_TIMEOUT_S = 10
# A unit's own stop and start time-outs are 90 s each by default.
JOB_TIMEOUT_S = 240


def states(units: Iterable[str]) -> dict[str, str]:
    """`active`, `failed`, `inactive`, ... by unit; empty where systemd does not answer."""
    names = sorted(set(units))
    if not names:
        return {}
    try:
        asked = subprocess.run(
            ["systemctl", "show", "--property=Id,ActiveState", "--", *names],
            capture_output=True,
            text=True,
            timeout=SHOW_TIMEOUT_S,
        )
    except (OSError, subprocess.SubprocessError):
        return {}
    return parse(asked.stdout)


def parse(text: str) -> dict[str, str]:
    """Of `systemctl show`: a paragraph a unit, a property a line, in any order. Pure."""
    found = {}
    for paragraph in text.strip().split("\n\n"):
        values = dict(line.split("=", 1) for line in paragraph.splitlines() if "=" in line)
        if "Id" in values:
            found[values["Id"]] = values.get("ActiveState", "")
    return found


def ask(verb: str, unit: str) -> None:
    """`start` or `restart`. Raises CvatdError "systemd" with systemd's own words."""
    # A unit that a person stopped in this very moment is not started by it.
    verb = "try-restart" if verb == "restart" else verb
    try:
        # Of a unit that failed too often systemd would refuse the start; our own ceiling holds instead.
        subprocess.run(["systemctl", "reset-failed", "--", unit], capture_output=True, timeout=SHOW_TIMEOUT_S)
        asked = subprocess.run(["systemctl", verb, "--", unit], capture_output=True, text=True, timeout=JOB_TIMEOUT_S)
    except (OSError, subprocess.SubprocessError) as error:
        raise CvatdError("systemd", f"systemctl {verb} {unit} was not done: {error}") from None
    if asked.returncode != 0:
        raise CvatdError("systemd", f"systemctl {verb} {unit} was refused: {asked.stderr.strip()}")
