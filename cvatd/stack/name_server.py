"""The name server of the containers' network: does it still run?

Podman's (aardvark-dns) reads its configuration anew with each container that comes or goes. That of Debian 12 may end
then, unnoticed: containers find each other no more until the next one starts, which starts it, too.
"""

import threading
import time
from collections.abc import Callable
from pathlib import Path

PID_FILE = Path("/run/containers/networks/aardvark-dns/aardvark.pid")
PROGRAM = b"aardvark-dns"
# Podman may be about to start it.
MOMENT_S = 1.0
_guard = threading.Lock()


def keep(start_again: Callable[[], None]) -> None:
    """Where it has ended, start a container again, by which Podman starts it. Of callers side by side one does it."""
    with _guard:
        if is_gone():
            time.sleep(MOMENT_S)
            if is_gone():
                start_again()


def is_gone(pid_file: Path = PID_FILE, processes: Path = Path("/proc")) -> bool:
    """Whether there was one and it ended. False where that cannot be told."""
    try:
        pid = int(pid_file.read_text())
    except (OSError, ValueError):
        return False
    try:
        return PROGRAM not in (processes / str(pid) / "cmdline").read_bytes()
    except OSError:
        return True
