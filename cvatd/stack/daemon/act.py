"""Does what was decided, in a thread of its own: the lock is held, the wishes are read once more, then it acts."""

import threading
import time
from collections.abc import Callable, Sequence

from cvatd.core import log
from cvatd.core.errors import CvatdError
from cvatd.stack import lock, wishes
from cvatd.stack.daemon import systemd
from cvatd.stack.daemon.decide import MENDING, Action
from cvatd.stack.runner import Runner
from cvatd.stack.spec import Container

STOP_S = 10.0
LOCK_TIMEOUT_S = 1.0

logger = log.get("cvatd.daemon")


class Hands:
    """One batch at a time. `done` is told of each since when it was done (Unix seconds), and "" or what was wrong."""

    def __init__(self, done: Callable[[Action, float, str], None]) -> None:
        self._done = done
        self._thread: threading.Thread | None = None

    @property
    def at_work(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def wait(self, timeout_s: float) -> None:
        if self._thread is not None:
            self._thread.join(timeout_s)

    def begin(self, runner: Runner, actions: Sequence[Action], containers: dict[str, Container]) -> None:
        assert not self.at_work
        self._thread = threading.Thread(target=self._work, args=(runner, actions, containers), daemon=True)
        self._thread.start()

    def _work(self, runner: Runner, actions: Sequence[Action], containers: dict[str, Container]) -> None:
        try:
            for action in (action for action in actions if action.unit):
                self._tell(action, lambda action=action: systemd.ask(action.verb, str(action.unit)))  # type: ignore[misc]
            ours = [action for action in actions if not action.unit]
            if ours:
                with lock.exclusive(runner.settings, LOCK_TIMEOUT_S):
                    for action in ours:
                        self._tell(action, lambda action=action: perform(runner, action, containers))  # type: ignore[misc]
        except CvatdError as error:
            logger.warning("nothing was done", why=error.message)

    def _tell(self, action: Action, work: Callable[[], None]) -> None:
        began, fault = time.time(), ""
        try:
            work()
        except CvatdError as error:
            fault = error.message
        except Exception as error:
            logger.exception("an act failed", container=action.container)
            fault = str(error)
        self._done(action, began, fault)


def perform(runner: Runner, action: Action, containers: dict[str, Container]) -> None:
    """For those who hold the lock: a person may have said something else since it was decided."""
    name, settings = action.container, runner.settings
    if action.verb == "record_stopped":
        wishes.stopped(settings, name)
    elif action.verb == "record_wanted":
        wishes.wanted(settings, [name])
    elif action.verb in MENDING and wishes.read(settings).wants(name):
        found = runner.podman.containers().get(name)
        if found is None or found.state == "paused":
            return
        if runner.parent.usage() is None:  # gone with a restart of the host
            runner.parent.ensure(settings.limits)
        if found.running:
            if action.verb == "start":
                return
            runner.podman.stop(name, containers[name].stop_s if name in containers else STOP_S)
        runner.start(name)
