"""All checks, in the order in which equally bad findings are told: what causes others comes first."""

from cvatd.core.errors import CvatdError
from cvatd.stack.doctor import access, containers, data, host, images, memory, queues
from cvatd.stack.doctor.check import Check

CHECKS: list[Check] = [
    *host.CHECKS,
    *data.CHECKS,
    *images.CHECKS,
    *containers.CHECKS,
    *memory.CHECKS,
    *access.CHECKS,
    *queues.CHECKS,
]


def choose(names: list[str]) -> list[Check]:
    """The checks of these names, or all. Raises CvatdError "usage" for a name that there is not."""
    by_name = {check.name: check for check in CHECKS}
    unknown = [name for name in names if name not in by_name]
    if unknown:
        raise CvatdError("usage", f"There is no check {unknown[0]!r}. There are: {', '.join(by_name)}.")
    return [by_name[name] for name in names] or CHECKS
