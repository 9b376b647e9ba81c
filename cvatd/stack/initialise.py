"""CVAT's migrations, exactly once: in a container of a fixed name, which is the lock that CVAT itself does not have.

Two `migrate` at once break each other. A second caller finds the container and waits for it; a killed caller leaves
it to its work, and the next one takes up the answer.
"""

import contextlib
import fcntl
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from pydantic import BaseModel

from cvatd.core.errors import CvatdError
from cvatd.core.settings import StackSettings
from cvatd.stack import facts, readiness, secret_files, starting, versions
from cvatd.stack.container_logs import frames
from cvatd.stack.layout import read_foreign
from cvatd.stack.limits import Parent
from cvatd.stack.podman import Found, Podman
from cvatd.stack.podman_gaps import STDERR
from cvatd.stack.readiness import InitState
from cvatd.stack.spec import INIT_CONTAINER, Container, Mount, Stack
from cvatd.stack.together import begin

INIT_TIMEOUT_S = 4 * 3600.0
STORES_TIMEOUT_S = 120.0
END_TIMEOUT_S = 30.0
# Who began it reads how it ended before the next one takes its name.
LOOK_S = 1.0
LAST_LINES = 25
POLL_S = 0.2
QUIET_S = 5.0
ANSWER_S = 30.0
ENDED = ("exited", "stopped")
AT_WORK = ("running", "stopping", "paused")
SERVER = "cvat-server"
ANSWER = "answer.json"
ANSWER_BYTES = 1 << 20
# The image's own steps first (migrate, Redis's migrations, periodic jobs), then ours.
INIT_SCRIPT = 'set -e; ./backend_entrypoint.sh init; exec python3 manage.py shell -c "$1"'
MANAGE_SCRIPT = 'exec python3 manage.py "$@"'
SUPERUSER_SCRIPT = 'exec python3 manage.py shell -c "$1"'

Say = Callable[[str], None]
Show = Callable[[bool, str], None]
"""Told (whether of standard error, line with its end)."""


@dataclass(frozen=True)
class Initialised:
    """What `init` did: `ran` is False when there was nothing to do.

    `redis_emptied`: workers that ran before it are registered no more until they start again.
    """

    ran: bool
    words: str
    superuser_made: bool = False
    redis_emptied: bool = False


class Superuser(BaseModel):
    """`mark` is the SHA-256 of the password's hash in the database."""

    username: str
    made: bool
    mark: str


class Answer(BaseModel):
    """What inside/initialise.py leaves behind."""

    required: list[str]
    superuser: Superuser


class _DoneByAnother(Exception):
    """There is nothing to do any more."""


class Initialiser:
    """Decides by the facts and acts by one container."""

    def __init__(self, podman: Podman, settings: StackSettings, stack: Stack, parent: Parent) -> None:
        self._podman = podman
        self._settings = settings
        self._stack = stack
        self._parent = parent

    def state(self) -> InitState:
        """As the facts have it now. Raises CvatdError "podman"."""
        found = self._podman.containers()
        database = begin(facts.database_facts, self._podman, self._settings, found)
        redis = facts.redis_facts(self._podman, found)
        return self.judge(database.result(), redis)

    def judge(self, database: facts.DatabaseFacts, redis: facts.RedisFacts) -> InitState:
        image_id = self._image_id()
        required = versions.migrations_of(self._settings, image_id) if image_id else None
        return readiness.init_state(database, redis, required, image_id, self._settings.superuser.username)

    @property
    def answered(self) -> bool:
        """Whether an init left an answer that nobody took up yet."""
        return self._answer.exists()

    def ensure(self, say: Say) -> Initialised:
        """Initialise if needed, or wait for the one who does. Raises CvatdError "init" with its last lines."""
        self._collect(say)
        state = self._known_state()
        if not state.needed:
            return Initialised(False, state.words)
        before = versions.initial_superuser(self._settings)
        say(state.words)
        with contextlib.suppress(_DoneByAnother):
            self._run(INIT_SCRIPT, [_program()], {}, say, needed=lambda: self._still_needed(say))
        self._collect(say)
        after = self.state()
        if after.state != "done":
            raise CvatdError("init", f"The init ended well and still: {after.words}.")
        made = versions.initial_superuser(self._settings) != before
        return Initialised(True, state.words, superuser_made=made, redis_emptied=state.redis_emptied)

    def set_password(self, secret: str, say: Say) -> None:
        """Give the superuser the password that stands in this file of the secrets' folder."""
        self._run(SUPERUSER_SCRIPT, [_program()], {"CVATD_SET_PASSWORD": secret}, say, secret=secret)
        self._collect(say)

    def manage(self, arguments: list[str], say: Say, show: Show) -> int:
        """Django's `manage.py <arguments>` in the container of that one name, so never beside an init.

        `show` gets its lines as they come; returns its exit status. Raises CvatdError "store_away".
        """
        self._require_stores()
        self._collect(say)
        while not self._started(MANAGE_SCRIPT, arguments, {}, secret_files.SUPERUSER):
            say(f"{INIT_CONTAINER} is at work already; waiting for it")
            self._podman.wait(INIT_CONTAINER, INIT_TIMEOUT_S)
            time.sleep(LOOK_S)
            self._collect(say)
        self._show_log(show)
        return self._podman.wait(INIT_CONTAINER, END_TIMEOUT_S)

    def _show_log(self, show: Show) -> None:
        """Its lines as they come, to its end. A stream that is silent for long is begun anew: it may have missed it."""
        shown, deadline, running = 0, time.monotonic() + INIT_TIMEOUT_S, True
        while running and time.monotonic() < deadline:
            running = (found := self._podman.containers().get(INIT_CONTAINER)) is not None and found.running
            before = shown
            params = {"tail": "all", "follow": str(running).lower(), "timestamps": "false"}
            stream = self._podman.log_stream(INIT_CONTAINER, params, QUIET_S if running else ANSWER_S)
            for number, (kind, line) in enumerate(frames(stream)):
                if number >= shown:
                    show(kind == STDERR, line.decode(errors="replace"))
                    shown = number + 1
                if time.monotonic() > deadline:
                    break
            if running and shown == before:
                time.sleep(POLL_S)  # Podman may refuse a stream at once, again and again

    def _require_stores(self) -> None:
        """Raises CvatdError "store_away" when one of them is down."""
        found = self._podman.containers()
        down = [name for name in self._stack.container(SERVER).needs if name not in found or not found[name].running]
        if down:
            words = f"{', '.join(down)} {'do' if len(down) > 1 else 'does'} not run"
            start = starting.those(self._settings, down)
            raise CvatdError("store_away", f"Cannot initialise: {words}. `{start}` starts what is missing.")

    def _known_state(self) -> InitState:
        """Waits for the stores to answer, within bounds. Raises CvatdError "store_away" when they do not."""
        self._require_stores()
        deadline = time.monotonic() + STORES_TIMEOUT_S
        while True:
            state = self.state()
            if state.state == "no_database":
                raise CvatdError("no_database", f"Init cannot begin: {state.words}.")
            if state.state != "unknown":
                return state
            if time.monotonic() > deadline:
                raise CvatdError("store_away", f"Init could not begin within {STORES_TIMEOUT_S:.0f} s: {state.words}.")
            time.sleep(POLL_S)

    def _run(
        self,
        script: str,
        arguments: list[str],
        environment: dict[str, str],
        say: Say,
        secret: str = secret_files.SUPERUSER,
        needed: Callable[[], bool] | None = None,
    ) -> None:
        """Raises CvatdError "init" when it fails. With `needed` one that does the same already will do as well."""
        while not self._started(script, arguments, environment, secret, needed):
            same = needed is not None and self._at_work(script)
            say(f"{INIT_CONTAINER} is at work already; waiting for it")
            status = self._podman.wait(INIT_CONTAINER, INIT_TIMEOUT_S)
            if same:
                break
            time.sleep(LOOK_S)
        else:
            status = self._podman.wait(INIT_CONTAINER, INIT_TIMEOUT_S)
        if status:
            lines = self._podman.logs(INIT_CONTAINER, LAST_LINES).strip()
            raise CvatdError("init", f"The init ended with status {status}. Its last lines:\n{lines}")

    def _at_work(self, script: str) -> bool:
        """Whether what runs now is this one, and not a command of `manage`, whose end says nothing of an init."""
        found = self._podman.containers().get(INIT_CONTAINER)
        return found is not None and found.spec is not None and script in json.loads(found.spec)["command"]

    def _started(
        self,
        script: str,
        arguments: list[str],
        environment: dict[str, str],
        secret: str,
        needed: Callable[[], bool] | None = None,
    ) -> bool:
        """False when one is at work already. `needed` is asked in the moment before: another may have done it since the
        caller looked.
        """
        with self._exclusive():
            before = self._podman.containers().get(INIT_CONTAINER)
            if before is not None and before.state in AT_WORK:
                refuse_paused(before)
                return False
            if needed is not None and not needed():
                raise _DoneByAnother
            self._podman.remove(INIT_CONTAINER)
            self._answer.unlink(missing_ok=True)  # of one that was removed with its answer not taken up
            container = self._one_shot(script, arguments, environment, secret)
            secrets_dir = secret_files.folder(self._settings)
            self._podman.create(container, self._stack.network, self._parent.argument, secrets_dir)
            self._podman.start(INIT_CONTAINER)
            return True

    def _one_shot(self, script: str, arguments: list[str], environment: dict[str, str], secret: str) -> Container:
        """The server's own declaration with another command, and a folder to leave its answer in."""
        server = self._stack.container(SERVER)
        superuser = self._settings.superuser
        answer = Mount(source=str(self._answer.parent), target="/init")
        return server.model_copy(
            update={
                "name": INIT_CONTAINER,
                "command": ["bash", "-c", script, INIT_CONTAINER, *arguments],
                "environment": server.environment
                | {"CVATD_SUPERUSER": superuser.username, "CVATD_SUPERUSER_EMAIL": superuser.email}
                | environment,
                "secrets": [*server.secrets, secret],
                "mounts": [*server.mounts, answer],
                "aliases": [],
                "publish": [],
                "health": None,
            }
        )

    def _collect(self, say: Say) -> None:
        """Take up the answer of an init that ended, whoever began it. May be done twice or be killed in between."""
        if self._answer.exists():
            with self._exclusive():
                self._take_up(say)

    def _take_up(self, say: Say) -> None:
        """For those who hold the lock."""
        ended = self._podman.containers().get(INIT_CONTAINER)
        if ended is None or ended.state not in ENDED or ended.exit_code:
            return
        answer = _read(self._answer)
        if answer is None:
            return
        versions.record_migrations(self._settings, ended.image_id, answer.required)
        if answer.superuser.made:
            versions.record_initial_superuser(self._settings, answer.superuser.username, answer.superuser.mark)
            say(f"the password of superuser {answer.superuser.username!r} is set")
        facts.set_mark(self._podman, ended.image_id)
        versions.record_version(self._settings, self._stack.version)
        self._answer.unlink()

    def _still_needed(self, say: Say) -> bool:
        """For those who hold the lock: another may have done it all, and its answer may not be taken up yet."""
        self._take_up(say)
        return self.state().state != "done"

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[None]:
        """For the moment between looking and making; let go by the kernel when the holder is killed."""
        with (self._settings.data_dir / "state" / "init.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @property
    def _answer(self) -> Path:
        return self._settings.data_dir / "state" / "init" / ANSWER

    def _image_id(self) -> str | None:
        return self._podman.image_id(self._stack.container(SERVER).image)


def refuse_paused(init: Found) -> None:
    """Raises CvatdError "busy": to remove it now would break off a migration, and its end never comes by itself."""
    if init.state == "paused":
        words = f"{INIT_CONTAINER} is paused in the middle of its work: `podman unpause {INIT_CONTAINER}` lets it end."
        raise CvatdError("busy", words)


def _program() -> str:
    return files("cvatd.stack").joinpath("inside/initialise.py").read_text()


def _read(file: Path) -> Answer | None:
    """None for one that is not whole, or no file."""
    try:
        return Answer.model_validate_json(read_foreign(file, ANSWER_BYTES))
    except (OSError, ValueError):
        return None
