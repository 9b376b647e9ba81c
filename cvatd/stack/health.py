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


def killed_for_memory(exit_code: int, podman_says: bool, usage: Usage | None) -> bool:
    """Podman 4.3 on Debian 12 never says so itself: a kill counts where the stack's cgroup has counted one too."""
    return podman_says or (exit_code == KILLED and usage is not None and usage.oom_kills > 0)
