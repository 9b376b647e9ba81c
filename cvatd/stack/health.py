"""Is a container well? Asked by running its own check; decided without any I/O."""

from dataclasses import dataclass

from cvatd.core.errors import CvatdError
from cvatd.stack.limits import Usage
from cvatd.stack.podman import Podman
from cvatd.stack.spec import Container

KILLED = 137
SHOWN_CHARACTERS = 200


@dataclass(frozen=True)
class Answer:
    """What a check said."""

    well: bool
    words: str = ""


def probe(podman: Podman, container: Container) -> Answer:
    """Run the container's check, inside of it or of the one it names. One without a check is well while it runs."""
    if container.health is None:
        return Answer(True)
    where = container.health.inside or container.name
    try:
        asked = podman.execute(where, container.health.exec, container.health.timeout_s + 5)
    except CvatdError as error:
        return Answer(False, error.message)
    if asked.status == 0:
        return Answer(True)
    said = (asked.err or asked.out).strip()
    return Answer(False, said[-SHOWN_CHARACTERS:] or f"its check ended with status {asked.status}")


def memory_mark(named: bool, marked: bool, v2: bool) -> bool | None:
    """Did the kernel kill in this very container for want of memory? None where it may have.

    `named`: its log says so. `marked`: Podman does, which 4.3 on Debian 12 never does, and which with the first version
    of cgroups tells only that memory of the whole stack ran out while the container lived.
    """
    return True if named or (marked and v2) else None if marked else False


def killed_for_memory(exit_code: int, mark: bool | None, usage: Usage | None) -> bool | None:
    """Did a container end so? None where it may have.

    That the kernel has killed somewhere in the stack proves nothing of this one: `podman kill` and a stop that lost
    patience end it alike.
    """
    if mark:
        return True
    near = mark is None or (usage is not None and usage.oom_kills > 0)
    return None if exit_code == KILLED and near else False
