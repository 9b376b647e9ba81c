"""Is CVAT as a whole ready? Waited for within a bound, and no longer than for what somebody still brings about."""

import time
from typing import TYPE_CHECKING

from cvatd.core.errors import CvatdError
from cvatd.stack import facts, lock, readiness, starting
from cvatd.stack.initialise import AT_WORK, Initialised
from cvatd.stack.spec import INIT_CONTAINER, Stack

if TYPE_CHECKING:
    from cvatd.stack.facts import Facts
    from cvatd.stack.readiness import InitState
    from cvatd.stack.runner import Runner, Tell

FIRST_LOOK_S = 0.1
LONGEST_LOOK_S = 1.0
# One that ended is given a moment: the daemon may bring it back.
ENDED_S = 3.0
# Between the stores' first answer and the init's container.
INIT_BEGINS_S = 10.0
ALL = "CVAT"
PROXY = "cvat-proxy"


def wait_ready(runner: "Runner", stack: Stack, tell: "Tell", timeout_s: float) -> None:
    """Raises CvatdError "not_ready" with all that is missing when the time is over.

    Before that "not_running" where nothing is there, "container" for one that ended and "init" where it is needed, when
    nobody is about to mend it.
    """
    deadline = time.monotonic() + timeout_s
    initialiser = runner.initialiser(stack)
    hopeless: dict[str, float] = {}
    pause_s, said = FIRST_LOOK_S, ""
    while True:
        seen = facts.gather(runner.podman, runner.settings)
        init = initialiser.judge(seen.database, seen.redis)
        reasons = readiness.why_not_ready(stack, seen, init)
        if not reasons:
            tell(ALL, "ready", "")
            return
        if reasons[0] != said:
            said = reasons[0]
            tell(ALL, "waiting", said)
        now = time.monotonic()
        hopeless = {name: hopeless.get(name, now) for name in _unattended(runner, stack, seen, init)}
        for name, since in hopeless.items():
            if name == INIT_CONTAINER and now - since > INIT_BEGINS_S:
                does = starting.init(runner.settings)
                raise CvatdError("init", f"CVAT is not ready: init is needed ({init.words}). `{does}` does it.")
            if name == ALL and now - since > ENDED_S:
                does = starting.all_of_them(runner.settings)
                raise CvatdError("not_running", f"Nothing of CVAT runs (any more): `{does}` starts it.")
            if name in stack.names and now - since > ENDED_S:
                raise CvatdError("container", runner.explain_end(name))
        if now > deadline:
            words = "\n  ".join(reasons)
            raise CvatdError("not_ready", f"CVAT was not ready within {timeout_s:.0f} s:\n  {words}")
        if pause_s == LONGEST_LOOK_S and runner.settings.manager != "systemd" and PROXY in seen.found:
            runner.keep_names(stack.container(PROXY))
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, LONGEST_LOOK_S)


def settled(runner: "Runner", stack: Stack, tell: "Tell") -> Initialised | None:
    """What `init` has to say where CVAT is ready: asked once. None where something is left to do."""
    seen, initialiser = facts.gather(runner.podman, runner.settings), runner.initialiser(stack)
    init = initialiser.judge(seen.database, seen.redis)
    if initialiser.answered or readiness.why_not_ready(stack, seen, init):
        return None
    tell(ALL, "ready", "")
    return Initialised(False, init.words)


def _unattended(runner: "Runner", stack: Stack, seen: "Facts", init: "InitState") -> list[str]:
    """Containers that readiness wants and that nobody is known to be at, or ALL; systemd brings its own back itself."""
    if lock.held(runner.settings.data_dir):
        return []  # an `up` may pull for long before it comes to what ended, or to the init
    if not any(name in seen.found for name in stack.names):
        return [ALL]
    names = [] if runner.settings.manager == "systemd" else readiness.ended(stack, seen.found)
    at_work = INIT_CONTAINER in seen.found and seen.found[INIT_CONTAINER].state in AT_WORK
    return [*names, INIT_CONTAINER] if init.needed and not at_work else names
