"""The daemon: looks, decides, acts, and answers, until it is told to end."""

import contextlib
import os
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace

from podman.errors import APIError
from requests import RequestException

from cvatd.core import log
from cvatd.core.errors import CvatdError
from cvatd.core.settings import StackSettings
from cvatd.stack import bridge, health, layout, lock, status, wishes
from cvatd.stack.daemon import ends, look, memory, metrics, systemd
from cvatd.stack.daemon.act import Hands
from cvatd.stack.daemon.checks import Checks
from cvatd.stack.daemon.decide import MENDING, Action, Decision, History, Policy, Sight, decide
from cvatd.stack.daemon.ends import Notice, Span
from cvatd.stack.daemon.follow import Follower
from cvatd.stack.daemon.metrics import Report, Watched
from cvatd.stack.daemon.notify import Notifier
from cvatd.stack.daemon.only_one import OnlyOne
from cvatd.stack.daemon.server import Page, Server, json_page
from cvatd.stack.daemon.workers import Workers
from cvatd.stack.health import Answer
from cvatd.stack.podman import Found, Podman, Unreachable
from cvatd.stack.runner import Runner
from cvatd.stack.spec import Container, stack_file
from cvatd.stack.status_model import Status

UNIT = "podman-{}.service"  # as NixOS names them
PODMAN_TIMEOUT_S = 30.0
FRESH_S = 1.0
MOST_SPANS = 500
LAST_ACT_S = 1.0

logger = log.get("cvatd.daemon")


@dataclass(frozen=True)
class Times:
    """How often it looks without being woken by an event, turns its loop, and asks for workers."""

    look_s: float = 5.0
    turn_s: float = 1.0
    workers_s: float = 30.0
    workers_patience_s: float = 90.0
    stale_s: float = 60.0


class Ended(BaseException):
    """Told to end, wherever it is."""


class Keeper:
    """Of one stack. `run` is for the main thread: it takes the signals. `reload` reads the settings again."""

    def __init__(
        self,
        settings: StackSettings,
        reload: Callable[[], StackSettings],
        policy: Policy | None = None,
        times: Times | None = None,
    ) -> None:
        self._settings = settings
        self._reload = reload
        self._policy = policy or Policy()
        self._times = times = times or Times()
        self._podman = Podman(settings.podman_url, PODMAN_TIMEOUT_S)
        self._runner: Runner | None = None
        self._runner_guard = threading.Lock()
        self._woken = threading.Event()
        self._notifier = Notifier()
        self._follower = Follower(Podman(settings.podman_url, PODMAN_TIMEOUT_S), self._woken.set)
        self._checks = Checks(self._probe, self._look_soon)
        self._workers = Workers(self._podman, times.workers_s, times.workers_patience_s)
        self._hands = Hands(self._acted)
        self._memory = memory.read(settings)
        self._notices: dict[str, list[Notice]] = {}
        # What was before the last command is settled by it.
        self._own: list[Span] = [Span(0.0, lock.last_taken(settings.data_dir)[0]), *self._memory.lost(time.time())]
        self._done: deque[Span] = deque()  # by the thread of the hands
        self._turned_at = time.time()
        self._was_held = False
        self._restarts: Counter[str] = Counter()
        self._report = Report()
        self._said: dict[str, str] = {}
        self._look_at = 0.0
        self._hurry = False
        self._containers: dict[str, Container] = {}
        self._found: dict[str, Found] = {}
        self._missing: dict[str, float] = {}
        self._status = Fresh(self._gather, FRESH_S)

    def run(self) -> None:
        """Until SIGTERM or Ctrl-C. Raises CvatdError "busy" when another daemon keeps the same data."""
        layout.make_data_dir(self._settings)
        with contextlib.closing(OnlyOne(self._settings)) as alone:
            pages = {"/status": self._status_page, "/health": self._health_page, "/metrics": self._metrics_page}
            server = Server(self._settings.socket, pages)
            try:
                with _ending_on_signals():
                    self._keep(server, alone)
            except Ended:
                logger.info("ends", why="asked to")
            finally:
                self._notifier.stopping()
                server.close()
                self._hands.wait(LAST_ACT_S)

    def _keep(self, server: Server, alone: OnlyOne) -> None:
        server.start()
        self._follower.start()
        self._turn()
        self._notifier.ready()
        logger.info("ready", data_dir=str(self._settings.data_dir), socket=str(self._settings.socket))
        while True:
            self._woken.wait(self._times.turn_s)
            self._woken.clear()
            alone.renew()
            self._turn()
            self._notifier.alive()

    def _turn(self) -> None:
        """One time round: stand back, look when it is time, decide, act."""
        if self._hear():
            self._look_at = 0.0
        at_work = self._hands.at_work
        if not at_work and self._memory.acting_since is not None:
            self._memory = replace(self._memory, acting_since=None)
            memory.write(self._settings, self._memory)
        held = not at_work and lock.held(self._settings.data_dir)
        self._note_own(held)
        try:
            self._look(held, at_work)
        except CvatdError as error:
            self._blind(error.message, isinstance(error, Unreachable))
        except Exception as error:  # half an answer of a Podman that ends just now must not end the watching
            logger.exception("a look failed")
            self._blind(f"a look failed: {error}", False)

    def _look(self, held: bool, at_work: bool) -> None:
        now = time.monotonic()
        if now < self._look_at and not self._hurry:
            self._checks.turn(self._containers, self._found)
            return
        self._look_at = now + self._times.look_s
        runner = self._ready_runner()
        before = {found.pid for found in self._found.values()}
        self._found = self._podman.containers()
        self._containers = look.declared(self._found, runner.stack())
        self._checks.turn(self._containers, self._found)
        self._workers.turn(self._containers, self._found)
        for name, found in self._found.items():
            if found.running and found.pid not in before:
                bridge.settle(self._podman, stack_file().network, name)
        if at_work:
            return
        seen = self._sight(held)
        decision = decide(self._memory.histories, seen, time.time(), self._policy)
        if any(action.verb in MENDING for action in decision.actions):
            # Without its last events an end by hand looks like a death.
            self._follower.catch_up()
            if self._hear():
                seen = self._sight(held)
                decision = decide(self._memory.histories, seen, time.time(), self._policy)
        self._remember(decision)
        self._tell(seen, decision)
        if decision.actions:
            self._act(runner, decision.actions)

    def _hear(self) -> bool:
        """Take up what Podman told; False when there is nothing new."""
        told = self._follower.drain()
        for notice in told:
            self._notices.setdefault(notice.name, []).append(notice)
        return bool(told)

    def _look_soon(self) -> None:
        self._look_at = 0.0
        self._woken.set()

    def _sight(self, held: bool) -> Sight:
        found = self._found
        self._notices = ends.of_use(self._notices, self._containers.keys() | found.keys())
        units = {name: unit for name, unit in self._memory.units.items() if name not in found}
        if self._settings.manager == "systemd":
            units |= {name: UNIT.format(name) for name in self._containers}
        units |= {name: unit for name in self._containers if name in found and (unit := found[name].systemd_unit)}
        if units != self._memory.units:
            self._memory = replace(self._memory, units=units)
            memory.write(self._settings, self._memory)
        states = systemd.states(units.values())
        absent = self._containers.keys() - found.keys()
        self._missing = look.missed(self._missing, absent, units, states, time.time())
        return look.sight(
            self._containers,
            found,
            self._checks.known(),
            self._workers.lacking(),
            self._missing,
            self._notices,
            self._own,
            units,
            states,
            wishes.read(self._settings),
            held,
        )

    def _note_own(self, held: bool) -> None:
        """Remember when another cvatd was at work, also one that came and went between two turns."""
        taken_at, by = lock.last_taken(self._settings.data_dir)
        now = time.time()
        while self._done:
            self._own.append(self._done.popleft())
        if by != os.getpid() and (held or self._was_held or taken_at >= self._turned_at):
            others = [span for span in self._own if span.begin != taken_at]
            self._own = [*others, Span(taken_at, now)]
        self._own = self._own[-MOST_SPANS:]
        if self._was_held and not held:
            self._read_settings()
        self._was_held, self._turned_at = held, now

    def _read_settings(self) -> None:
        """A command may have brought up what the settings say now."""
        try:
            settings = self._reload()
        except CvatdError as error:
            logger.warning("the settings cannot be read again", why=error.message)
            return
        fixed = ("data_dir", "socket", "podman_url")
        if any(getattr(settings, key) != getattr(self._settings, key) for key in fixed):
            logger.warning("these settings count after a restart of the daemon", settings=fixed)
        elif settings != self._settings:
            logger.info("the settings were read again")
            with self._runner_guard:
                self._settings, self._runner = settings, None

    def _remember(self, decision: Decision) -> None:
        before = {name: history for name, history in self._memory.histories.items() if history.restarts}
        after = {name: history for name, history in decision.histories.items() if history.restarts}
        self._memory = replace(self._memory, histories=decision.histories)
        if {name: _lasting(history) for name, history in before.items()} != {
            name: _lasting(history) for name, history in after.items()
        }:
            memory.write(self._settings, self._memory)

    def _tell(self, seen: Sight, decision: Decision) -> None:
        """To the log what is new, to all who ask everything."""
        for name, words in decision.says.items():
            if _without_times(self._said.get(name, "")) != _without_times(words):
                logger.info("container", container=name, says=words)
        self._said = decision.says
        histories = decision.histories or self._memory.histories
        watched = {
            container.name: Watched(
                container.state,
                container.well if container.state == "running" else False,
                self._restarts[container.name],
                histories.get(container.name, History()).given_up,
                seen.up and container.name not in seen.stopped,
                decision.says.get(container.name, ""),
            )
            for container in seen.containers
        }
        # Whoever is about to be mended is looked at in each turn.
        self._hurry = any(one.wanted and one.says and not one.given_up for one in watched.values())
        self._report = Report(time.time(), up=seen.up, containers=watched)
        running = sum(container.state == "running" for container in seen.containers)
        sentences = [f"{name}: {words}" for name, words in sorted(decision.says.items())]
        self._notifier.status("; ".join([f"{running} of {len(watched)} containers run", *sentences]))

    def _blind(self, words: str, away: bool) -> None:
        if self._report.fault != words:
            logger.warning("cannot look", why=words)
        self._look_at = time.monotonic() + self._times.look_s
        self._report = replace(self._report, fault=words, away=away)
        self._notifier.status(words)

    def _act(self, runner: Runner, actions: list[Action]) -> None:
        for action in actions:
            logger.info(action.verb, container=action.container, reason=action.reason)
            self._restarts[action.container] += action.verb in MENDING
        self._memory = replace(self._memory, acting_since=time.time())
        memory.write(self._settings, self._memory)
        self._hands.begin(runner, actions, self._containers)

    def _acted(self, action: Action, began: float, fault: str) -> None:
        """In the thread of the hands."""
        if action.verb in MENDING:
            self._done.append(Span(began, time.time(), action.container))
        if fault:
            logger.warning("was not done", verb=action.verb, container=action.container, why=fault)
        self._look_soon()

    def _ready_runner(self) -> Runner:
        """Raises CvatdError "podman" until Podman was reached once."""
        with self._runner_guard:
            if self._runner is None:
                self._runner = Runner(self._podman, self._settings)
            return self._runner

    def _probe(self, container: Container) -> Answer | None:
        """None while Podman is away: its restart must not restart all that it runs."""
        try:
            answer = health.probe(self._podman, container)
            if not answer.well:
                self._podman.containers()  # does Podman itself answer?
        except (CvatdError, APIError, RequestException, OSError):
            return None
        return answer

    def _gather(self) -> Status:
        runner = self._ready_runner()
        return status.gather(self._podman, self._settings, lambda: runner.parent, runner.stack(), self._restarts)

    def _status_page(self) -> Page:
        return Page(self._status.get().model_dump_json().encode())

    def _health_page(self) -> Page:
        report = self._report
        age_s = time.time() - report.looked_at
        stale = age_s > self._times.stale_s
        body = {
            "health": report.health(stale),
            "fault": report.fault,
            "last_look_age_s": round(age_s, 1) if report.looked_at else None,
            "wanted": report.up,
            "containers": {name: asdict(watched) for name, watched in report.containers.items()},
        }
        return json_page(body, 503 if stale or report.fault else 200)

    def _metrics_page(self) -> Page:
        try:
            seen = self._status.get()
        except CvatdError:
            seen = None
        return Page(metrics.text(self._report, seen, time.time()).encode(), metrics.TYPE)


class Fresh:
    """Asked anew when the last answer is too old; by one caller at a time, the others get the same."""

    def __init__(self, ask: Callable[[], Status], fresh_s: float) -> None:
        self._ask = ask
        self._fresh_s = fresh_s
        self._guard = threading.Lock()
        self._answer: tuple[float, Status] | None = None

    def get(self) -> Status:
        asked_at = time.monotonic()
        with self._guard:
            if self._answer is None or self._answer[0] < asked_at - self._fresh_s:
                answer = self._ask()
                self._answer = time.monotonic(), answer
            return self._answer[1]


@contextmanager
def _ending_on_signals() -> Iterator[None]:
    """The first SIGTERM or Ctrl-C raises `Ended` wherever the main thread is; later ones do nothing."""

    def end(number: int, _: object) -> None:
        for one in (signal.SIGTERM, signal.SIGINT):
            signal.signal(one, signal.SIG_IGN)
        raise Ended

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _lasting(history: History) -> tuple[object, ...]:
    return history.restarts, history.level, history.given_up


def _without_times(words: str) -> str:
    return words.partition("; tried again in")[0]
