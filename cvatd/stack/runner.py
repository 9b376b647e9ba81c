"""Brings the stack to what is declared: all at once, each container as soon as what it needs is well."""

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TypeVar

from cvatd.core.errors import CvatdError
from cvatd.core.settings import StackSettings
from cvatd.stack import (
    bridge,
    health,
    kernel_log,
    layout,
    lock,
    name_server,
    ports,
    rotate,
    secret_files,
    waiting,
    wishes,
)
from cvatd.stack.desired import check_data, desired
from cvatd.stack.initialise import AT_WORK, SERVER, Initialised, Initialiser, refuse_paused
from cvatd.stack.limits import Parent
from cvatd.stack.plan import Plan, make_plan, refuse_foreign
from cvatd.stack.podman import Host, Podman
from cvatd.stack.spec import INIT_CONTAINER, Container, Stack, stack_file
from cvatd.stack.together import begin, finish
from cvatd.stack.waiting import FIRST_LOOK_S, LONGEST_LOOK_S

HEALTHY_TIMEOUT_S = 300.0
# Whoever is not well by then may find no names.
SOON_S = 2.0
LAST_LINES = 15
OTHERS_STOP_S = 10.0
INIT = "init"
# Of an end: was it for want of memory?
MEMORY_WORDS = {
    True: " The kernel killed a process of it for want of memory: raise stack.limits.memory_max.",
    None: " It was killed: by the kernel for want of memory, as something in this stack was before (cvatd doctor "
    "oom-kills pressure), or by hand, or since it did not stop in time.",
    False: "",
}

Work = TypeVar("Work")
Tell = Callable[[str, str, str], None]
"""Told (container, state, detail) whenever something changes: pulling, waiting, starting, healthy, failed, ..."""


@dataclass(frozen=True)
class Result:
    """What `up` did."""

    plan: Plan
    initialised: Initialised
    seconds: float


class Stopped(Exception):
    """Given up because another part failed."""


class Runner:
    """One stack on one Podman. Every act is idempotent: killed anywhere, the same call finishes the work."""

    def __init__(self, podman: Podman, settings: StackSettings) -> None:
        self.podman = podman
        self.settings = settings
        self.host: Host = podman.host()
        if self.host.rootless:
            raise CvatdError(
                "podman",
                f"{podman.url} is a Podman without root. CVAT's folders and secrets belong to several users: run this "
                "as root, with Podman's own service of the system.",
            )
        layout.require_access(settings)
        self.parent = Parent(settings.slice, self.host)

    def stack(self) -> Stack:
        return desired(self.settings, self.parent)

    def initialiser(self, stack: Stack) -> Initialiser:
        return Initialiser(self.podman, self.settings, stack, self.parent)

    def plan(self, stack: Stack | None = None) -> Plan:
        """What `up` would do. Raises CvatdError "foreign" where somebody else runs the containers."""
        self._refuse_systemd()
        stack = stack or self.stack()
        found = self.podman.containers()
        refuse_foreign(stack, found)
        secrets = secret_files.known(self.settings)
        image_ids = {image: self.podman.image_id(image) for image in {c.image for c in stack.containers}}
        return make_plan(stack, found, image_ids, self.podman.has_network(stack.network), secrets)

    def prepare(self) -> list[str]:
        """Folders, secrets and limits: all that containers need on the host. Returns what was made now."""
        made = [str(folder) for folder in layout.ensure(self.settings)]
        made += secret_files.ensure(self.settings)
        self.parent.ensure(self.settings.limits)
        return made

    def up(self, tell: Tell, wait_ready: bool = True) -> Result:
        """Pull, make, start, initialise, and wait until CVAT is ready. Raises CvatdError with the reason."""
        began = time.monotonic()
        self._refuse_systemd()
        check_data(self.settings, self.stack())
        with self.exclusive():
            refuse_foreign(self.stack(), self.podman.containers())
            self.prepare()
            wishes.set_up(self.settings)
            rotate.settle_database(self, tell)
            stack = self.stack()  # once more: the marks of the secrets are known now
            plan = self.plan(stack)
            if plan.empty and (nothing := waiting.settled(self, stack, tell)):
                return Result(plan, nothing, time.monotonic() - began)
            self.refuse_during_init([change.container for change in plan.changes if change.restarts])
            ports.check(stack, plan)
            self._pull(plan, tell)
            self.podman.ensure_network(stack.network)
            for change in plan.changes:
                if change.action == "remove":
                    self._remove(change.container, OTHERS_STOP_S, tell)
            initialised = _Rising(self, stack, plan, tell).run()
        if wait_ready:
            waiting.wait_ready(self, stack, tell, self.settings.ready_timeout_s)
        return Result(plan, initialised, time.monotonic() - began)

    def down(self, tell: Tell) -> None:
        """Stop and remove all containers, those that need others first; data stay."""
        self._refuse_systemd()
        with self.exclusive():
            self.take_down(tell)

    def take_down(self, tell: Tell) -> None:
        """As `down`, for those who hold the lock.

        Raises CvatdError "foreign" where somebody else runs them, "busy" during an init; nothing is done then.
        """
        stack, containers = self.stack(), self.podman.containers()
        refuse_foreign(stack, containers)
        self.refuse_during_init(stack.names)
        wishes.set_down(self.settings)
        for wave in _leaves_first([name for name, found in containers.items() if found.ours], stack):
            finish([begin(self._remove, name, _stop_s(stack, name), tell) for name in wave])
        self.podman.remove_network(stack.network)
        self.parent.remove()

    def _refuse_systemd(self) -> None:
        """Also while nothing runs: containers made here would stand in the way of the units."""
        if self.settings.manager == "systemd":
            raise CvatdError(
                "foreign",
                "systemd runs CVAT's containers on this host (stack.manager): systemctl starts and stops cvat.service.",
            )

    def refuse_during_init(self, changed: Iterable[str]) -> None:
        """Raises CvatdError "busy" when a migration would lose a store that it works on."""
        init = self.podman.containers().get(INIT_CONTAINER)
        stores = {*self.stack().container(SERVER).needs} & {*changed}
        if init is not None and init.state in AT_WORK and stores:
            refuse_paused(init)
            raise CvatdError("busy", f"{INIT_CONTAINER} is migrating the database. Wait for its end and try again.")

    def bring_alone(self, container: Container, tell: Tell) -> None:
        """One container up and well, before all others; for those who hold the lock."""
        if self.podman.image_id(container.image) is None:
            self._pull_one(container.image, tell)
        stack = self.stack()
        self.podman.ensure_network(stack.network)
        found = self.podman.containers().get(container.name)
        if found is None or not found.running:
            tell(container.name, "starting", "")
            self.make(container) if found is None else self.start_again(container, tell)
        self.wait_healthy(container, tell, lambda: False)

    def restart(self, names: list[str], tell: Tell) -> None:
        """Stop and start these containers, or all.

        Raises CvatdError "usage" for a name that the stack has not, "not_running" for one that is not there.
        """
        self._refuse_systemd()
        stack = self.stack()
        for name in names:
            if name not in stack.names:
                raise CvatdError("usage", f"There is no container {name!r}. There are: {', '.join(stack.names)}.")
        with self.exclusive():
            found = self.podman.containers()
            refuse_foreign(stack, found)
            for name in names or stack.names:
                if name not in found:
                    raise CvatdError("not_running", f"{name} is not there: `cvatd up` makes it.")
            self.refuse_during_init(names or stack.names)
            for name in names or stack.names:
                tell(name, "stopping", "")
                self.podman.stop(name, stack.container(name).stop_s)
                self.start(name)
                tell(name, "started", "")
            wishes.wanted(self.settings, names or stack.names)
            for name in names or stack.names:
                self.wait_healthy(stack.container(name), tell, lambda: False)

    def make(self, container: Container) -> None:
        """Create and start it."""
        self.create(container)
        self.start(container.name)

    def create(self, container: Container) -> None:
        folder = secret_files.folder(self.settings)
        self.podman.create(container, stack_file().network, self.parent.argument, folder)

    def start_again(self, container: Container, tell: Tell) -> None:
        """One that is there. A start that was cut off can leave what no start mends: that one is made anew."""
        try:
            self.start(container.name)
        except CvatdError as error:
            tell(container.name, "starting", f"made anew: {error.message}")
            self.podman.remove(container.name)
            self.make(container)

    def start(self, name: str) -> None:
        """Also lets its neighbours know."""
        self.podman.start(name)
        bridge.settle(self.podman, stack_file().network, name)

    def keep_names(self, container: Container) -> None:
        """Where the name server has ended, this one, that waits, is started again."""

        def again() -> None:
            self.podman.stop(container.name, OTHERS_STOP_S)
            self.start(container.name)

        name_server.keep(again)

    def wait_healthy(
        self, container: Container, tell: Tell, given_up: Callable[[], bool], pause_s: float = FIRST_LOOK_S
    ) -> None:
        """Raises CvatdError "container" with its last lines when it ends or does not become well in time.

        `pause_s` lies between the first two looks, and ever more between later ones.
        """
        began = time.monotonic()
        while True:
            if given_up():
                raise Stopped
            found = self.podman.containers().get(container.name)
            if found is None or not found.running:
                raise CvatdError("container", self.explain_end(container.name))
            if container.health is None or health.probe(self.podman, container).well:
                tell(container.name, "healthy" if container.health else "running", "")
                return
            if time.monotonic() - began > HEALTHY_TIMEOUT_S:
                words = health.probe(self.podman, container).words
                raise CvatdError(
                    "container",
                    f"{container.name} runs and was not well within {HEALTHY_TIMEOUT_S:.0f} s: {words}\n"
                    f"{self.podman.logs(container.name, LAST_LINES)}",
                )
            if time.monotonic() - began > SOON_S:
                self.keep_names(container)
            time.sleep(pause_s)
            pause_s = min(pause_s * 1.5, LONGEST_LOOK_S)

    def explain_end(self, name: str) -> str:
        """Why a container ended, as far as can be seen: out of memory, perhaps so, or its own last lines."""
        found = self.podman.containers().get(name)
        if found is None:
            return f"{name} is not there any more."
        marked = bool(self.podman.inspect(name)["State"].get("OOMKilled"))
        named = kernel_log.names(kernel_log.kills(), found.id, found.started_at)
        mark = health.memory_mark(named, marked, self.parent.v2)
        lines = self.podman.logs(name, LAST_LINES).strip()
        killed = health.killed_for_memory(found.exit_code, mark, self.parent.usage())
        return f"{name} ended with status {found.exit_code}.{MEMORY_WORDS[killed]} Its last lines:\n{lines or '(none)'}"

    def exclusive(self) -> AbstractContextManager[None]:
        """One command at a time changes the stack. Raises CvatdError "busy" with the one that does."""
        return lock.exclusive(self.settings)

    def _pull(self, plan: Plan, tell: Tell) -> None:
        finish([begin(self._pull_one, image, tell) for image in plan.pull])

    def _pull_one(self, image: str, tell: Tell) -> None:
        tell(image, "pulling", "")
        self.podman.pull(image, lambda line: tell(image, "pulling", line), self.settings.pull_timeout_s)
        if self.podman.image_id(image) is None:
            raise CvatdError("image", f"The image {image} was pulled and is not there.")
        tell(image, "pulled", "")

    def _remove(self, name: str, stop_s: float, tell: Tell) -> None:
        tell(name, "stopping", "")
        self.podman.stop(name, stop_s)
        self.podman.remove(name)
        tell(name, "removed", "")


class _Rising:
    """One `up`: a thread a container, each waiting for those that it needs."""

    def __init__(self, runner: Runner, stack: Stack, plan: Plan, tell: Tell) -> None:
        self._runner = runner
        self._stack = stack
        self._plan = plan
        self._tell = tell
        self._begun = threading.Event()  # from then on there is a future for whatever somebody waits for
        self._over = threading.Event()
        self._first: BaseException | None = None
        self._up: dict[str, Future[None]] = {}

    def run(self) -> Initialised:
        try:
            init: Future[Initialised] = begin(self._guarded, self._initialise)
            for container in self._stack.containers:
                after = [init] if container.initialised else []
                self._up[container.name] = begin(self._guarded, self._bring, container, *after)
            self._begun.set()
            finish([*self._up.values(), init])
        except BaseException as error:
            raise (self._first or error) from None
        finally:
            self._over.set()  # whoever is still at work starts nothing more
        return init.result()

    def _guarded(self, work: Callable[..., Work], *arguments: object) -> Work:
        """The first failure ends the waiting of all others."""
        self._begun.wait()
        try:
            return work(*arguments)
        except BaseException as error:
            if not self._over.is_set():
                self._first = error
                self._over.set()
            raise

    def _bring(self, container: Container, init: Future[Initialised] | None = None) -> None:
        """A new one that waits for `init` is made while that is at work, which leaves a processor idle."""
        action, name = self._plan.action(container.name), container.name
        if init and action != "keep":
            self._tell(name, "waiting", "for init")
        for need in container.needs:
            self._up[need].result()
        if self._over.is_set():
            raise Stopped
        if action != "keep" and not init:
            self._tell(name, "starting", "")
        if action == "create":
            self._runner.create(container)
        if init:
            self._after(init.result(), container, action)
        if action == "keep":
            return  # what runs as it should is not asked again: readiness is asked at the end
        if action == "replace":
            self._runner.podman.stop(name, container.stop_s)
            self._runner.podman.remove(name)
            self._runner.make(container)
        elif action == "start":
            self._runner.start_again(container, self._tell)
        else:
            self._runner.start(name)
        # A check runs a program inside, and takes it from those that start: for what nobody waits for it has time.
        awaited = container.initialised or any(name in other.needs for other in self._stack.containers)
        pause_s = FIRST_LOOK_S if awaited else LONGEST_LOOK_S
        self._runner.wait_healthy(container, self._tell, self._over.is_set, pause_s)

    def _after(self, done: Initialised, container: Container, action: str) -> None:
        if self._over.is_set():
            raise Stopped
        if action != "keep":
            self._tell(container.name, "starting", "")
        elif done.redis_emptied and container.queues:
            self._tell(container.name, "restarting", "Redis was emptied")
            self._runner.podman.stop(container.name, container.stop_s)
            self._runner.start(container.name)

    def _initialise(self) -> Initialised:
        stores = self._stack.container(SERVER).needs
        for need in stores:
            self._up[need].result()
        done = self._runner.initialiser(self._stack).ensure(lambda words: self._tell(INIT, "working", words))
        self._tell(INIT, "done", "" if done.ran else done.words)
        return done


def _leaves_first(names: list[str], stack: Stack) -> list[list[str]]:
    """Waves to stop in: each holds those that nobody who still runs needs."""
    needs = {container.name: container.needs for container in stack.containers}
    waves: list[list[str]] = []
    left = list(names)
    while left:
        wave = [name for name in left if not any(name in needs.get(other, []) for other in left)]
        waves.append(wave)
        left = [name for name in left if name not in wave]
    return waves


def _stop_s(stack: Stack, name: str) -> float:
    return stack.container(name).stop_s if name in stack.names else OTHERS_STOP_S
