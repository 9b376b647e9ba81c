"""cvat-manage on a CVAT that runs: terminal, pipe, exit status, signals, sudo, migrations."""

import contextlib
import fcntl
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from cvatd.stack import facts
from tests.e2e.cvat.stand import Stand
from tests.podman_host import ROOT

pytestmark = pytest.mark.e2e
SCRIPT = ROOT / "scripts" / "cvat-manage"
BOUND_S = 40
# Quietly: newer Djangos say what they have imported.
SHELL = ("shell", "-v", "0", "-c")
READY = "ready"
# Says that it is ready, then does what its caller lets it.
WAITS = f"import time; print({READY!r}, flush=True); time.sleep({BOUND_S})"


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-IS", str(SCRIPT), *arguments]


def environment(stand: Stand) -> dict[str, str]:
    return stand.env | {"PATH": f"{Path(sys.executable).parent}:{stand.env['PATH']}"}


def manage(stand: Stand, *arguments: str, input: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command(*arguments), env=environment(stand), input=input, capture_output=True, timeout=BOUND_S
    )


# Whether any process but itself has the word in its command line.
LOOKS = """
import glob, os, sys
for file in glob.glob("/proc/[0-9]*/cmdline"):
    try:
        if file != f"/proc/{os.getpid()}/cmdline" and sys.argv[1].encode() in open(file, "rb").read():
            print("there")
    except OSError:
        pass
"""


def runs_inside(stand: Stand, word: str) -> bool:
    said = stand.podman.execute("cvat-server", ["python3", "-c", LOOKS, word])
    assert said.status == 0, said.err
    return "there" in said.out


def check_gone(stand: Stand, word: str) -> None:
    deadline = time.monotonic() + BOUND_S
    while runs_inside(stand, word):
        assert time.monotonic() < deadline, f"{word} still runs in cvat-server"
        time.sleep(0.1)


# Pipes and exit status


def test_output_errors_and_exit_status_are_djangos(standing: Stand) -> None:
    listed = manage(standing, "help", "--commands")
    assert listed.returncode == 0
    assert b"createsuperuser" in listed.stdout.split()
    assert not listed.stderr
    unknown = manage(standing, "nonsense")
    assert unknown.returncode == 1
    assert b"Unknown command: 'nonsense'" in unknown.stderr
    assert not unknown.stdout


def test_arguments_arrive_as_they_are(standing: Stand) -> None:
    text = "a  b 'c' \"d\" $HOME `x` \\ ; é\t*"
    code = f"import sys\nprint({text!r})\nsys.exit(42)"
    done = manage(standing, *SHELL, code)
    assert (done.stdout.decode(), done.returncode) == (f"{text}\n", 42)
    assert b"Unknown command: ''" in manage(standing, "", "--", "-x").stderr


def test_3_mb_through_a_pipe_both_ways(standing: Stand) -> None:
    code = (
        "import sys\n"
        "data = sys.stdin.buffer.read()\n"
        "sys.stdout.buffer.write(data)\n"
        "sys.stderr.write(str(len(data)))\n"
        "sys.exit(9)"
    )
    data = os.urandom(3 << 20)
    done = manage(standing, *SHELL, code, input=data)
    assert (done.stdout == data, done.stderr, done.returncode) == (True, b"3145728", 9)


def test_a_program_comes_through_standard_input(standing: Stand) -> None:
    done = manage(standing, "shell", input=b"print(6 * 7)\n")
    assert (b"42" in done.stdout, done.returncode) == (True, 0)


def test_a_reader_that_goes_away_ends_it(standing: Stand) -> None:
    word = uuid.uuid4().hex
    code = f"'{word}'\nimport itertools\nfor i in itertools.count(): print(i)"
    process = subprocess.Popen(command(*SHELL, code), env=environment(standing), stdout=subprocess.PIPE)
    with ended(process):
        assert process.stdout is not None
        assert process.stdout.read(2) == b"0\n"
        process.stdout.close()
        assert process.wait(BOUND_S) == 128 + signal.SIGPIPE
    check_gone(standing, word)


def test_the_superusers_password_comes_by_the_environment(standing: Stand) -> None:
    """As Django's documentation has it; never by an argument."""
    name = f"u{uuid.uuid4().hex[:8]}"
    given = {"DJANGO_SUPERUSER_PASSWORD": "from-outside", "DJANGO_SUPERUSER_EMAIL": "a@b.example"}
    made = subprocess.run(
        command("createsuperuser", "--noinput", "--username", name),
        env=environment(standing) | given,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=BOUND_S,
    )
    assert made.returncode == 0, made.stderr
    assert forget(standing, name, "from-outside")


def forget(stand: Stand, name: str, password: str) -> bool:
    """Whether the user was there with this password; he is not any more."""
    code = (
        "from django.contrib.auth import get_user_model as m, authenticate as a\n"
        f"print(a(username={name!r}, password={password!r}) is not None)\n"
        f"m().objects.filter(username={name!r}).delete()"
    )
    return manage(stand, *SHELL, code).stdout.split()[-1:] == [b"True"]


# Signals


@contextlib.contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Killed with its group at the end, whatever happened."""
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            process.kill()
        process.wait(BOUND_S)
        if process.stdout and not process.stdout.closed:
            process.stdout.close()


def started(stand: Stand, code: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command(*SHELL, code),
        env=environment(stand),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def read_until(descriptor: int, word: bytes) -> bytes:
    """What came up to the word; the test fails when it does not come in time."""
    got, deadline = b"", time.monotonic() + BOUND_S
    while word not in got:
        readable, _, _ = select.select([descriptor], [], [], max(0, deadline - time.monotonic()))
        assert readable, f"{word!r} did not come: {got!r}"
        try:
            piece = os.read(descriptor, 4096)
        except OSError:  # how a terminal ends on Linux
            piece = b""
        assert piece, f"ended before {word!r}: {got!r}"
        got += piece
    return got


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_the_process_inside(standing: Stand, number: signal.Signals, status: int) -> None:
    word = uuid.uuid4().hex
    process = started(standing, f"'{word}'; {WAITS}")
    with ended(process):
        assert process.stdout is not None
        read_until(process.stdout.fileno(), READY.encode())
        assert runs_inside(standing, word)
        process.send_signal(number)
        assert process.wait(BOUND_S) == status
    check_gone(standing, word)


def test_ctrl_c_beside_a_pipe_interrupts_inside_and_its_last_words_arrive(standing: Stand) -> None:
    """To the whole group, as a terminal sends it when standard output is a pipe."""
    code = f"try:\n    {WAITS}\nexcept KeyboardInterrupt:\n    print('last words', flush=True)\n    raise SystemExit(5)"
    process = started(standing, code)
    with ended(process):
        assert process.stdout is not None
        read_until(process.stdout.fileno(), READY.encode())
        os.killpg(process.pid, signal.SIGINT)
        read_until(process.stdout.fileno(), b"last words")
        assert process.wait(BOUND_S) == 5


def test_a_signal_before_it_has_begun_ends_it_too(standing: Stand) -> None:
    word = uuid.uuid4().hex
    for delay_s in (0.06, 0.15):
        process = started(standing, f"'{word}'; {WAITS}")
        with ended(process):
            time.sleep(delay_s)
            process.send_signal(signal.SIGTERM)
            assert process.wait(BOUND_S) in {143, -signal.SIGTERM}
    check_gone(standing, word)


# Terminal


class Terminal:
    """cvat-manage on a terminal of its own."""

    def __init__(self, stand: Stand, *arguments: str) -> None:
        self.child, self.descriptor = pty.fork()
        if self.child == 0:
            try:
                os.execve(sys.executable, command(*arguments), environment(stand) | {"TERM": "xterm"})
            finally:
                os._exit(127)
        self.before = termios.tcgetattr(self.descriptor)
        self.status: int | None = None

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def expect(self, word: str) -> bytes:
        return read_until(self.descriptor, word.encode())

    def send(self, keys: str) -> None:
        os.write(self.descriptor, keys.encode())

    def wait(self) -> int:
        deadline = time.monotonic() + BOUND_S
        while self.status is None:
            child, status = os.waitpid(self.child, os.WNOHANG)
            if child:
                self.status = os.waitstatus_to_exitcode(status)
                break
            assert time.monotonic() < deadline, "it did not end in time"
            readable, _, _ = select.select([self.descriptor], [], [], 0.02)
            if readable:
                with contextlib.suppress(OSError):
                    os.read(self.descriptor, 4096)
        return self.status

    def close(self) -> None:
        if self.status is None:
            os.kill(self.child, signal.SIGKILL)
            os.waitpid(self.child, 0)
        os.close(self.descriptor)


@contextlib.contextmanager
def terminal(stand: Stand, *arguments: str) -> Iterator[Terminal]:
    opened = Terminal(stand, *arguments)
    try:
        yield opened
    finally:
        opened.close()


def test_questions_are_asked_on_the_terminal(standing: Stand) -> None:
    name = f"u{uuid.uuid4().hex[:8]}"
    with terminal(standing, "createsuperuser") as asked:
        asked.expect("sername")
        asked.send(f"{name}\r")
        asked.expect("mail")
        asked.send("a@b.example\r")
        asked.expect("assword: ")
        asked.send("typed-by-hand-1\r")
        shown = asked.expect("again): ")
        asked.send("typed-by-hand-1\r")
        shown += asked.expect("created successfully")
        assert b"typed-by-hand" not in shown
        assert asked.wait() == 0
        assert termios.tcgetattr(asked.descriptor) == asked.before
    assert forget(standing, name, "typed-by-hand-1")


def test_keys_and_the_size_of_the_window_reach_inside(standing: Stand) -> None:
    """Ctrl-P and Ctrl-Q too, with which Podman itself would let go of the process."""
    code = (
        "import os, signal, sys, tty\n"
        "signal.signal(signal.SIGWINCH, lambda *_: print('size', *os.get_terminal_size(), flush=True))\n"
        f"print(os.environ['TERM'], sys.stdin.isatty(), {READY!r}, flush=True)\n"
        "tty.setraw(0)\n"
        "keys = b''\n"
        "while len(keys) < 3: keys += os.read(0, 1)\n"
        "print('keys', keys.hex(), flush=True)\n"
        "sys.exit(7)"
    )
    with terminal(standing, *SHELL, code) as opened:
        assert b"xterm True" in opened.expect(READY)
        opened.resize(33, 77)
        opened.expect("size 77 33")
        opened.send("\x10\x11x")
        opened.expect("keys 101178")
        assert opened.wait() == 7


def test_ctrl_c_on_a_terminal_interrupts_inside(standing: Stand) -> None:
    with terminal(standing, *SHELL, WAITS) as opened:
        opened.expect(READY)
        opened.send("\x03")
        opened.expect("KeyboardInterrupt")
        assert opened.wait() in {1, 130}
        assert termios.tcgetattr(opened.descriptor) == opened.before


def test_a_terminal_is_put_back_after_a_signal(standing: Stand) -> None:
    word = uuid.uuid4().hex
    with terminal(standing, *SHELL, f"'{word}'; {WAITS}") as opened:
        opened.expect(READY)
        os.kill(opened.child, signal.SIGTERM)
        assert opened.wait() == 143
        assert termios.tcgetattr(opened.descriptor) == opened.before
    check_gone(standing, word)


# sudo


# As another user, with a rule of sudo that only this mount namespace sees.
OTHER_USER = """
mount -t tmpfs -o mode=755 own /etc/sudoers.d || exit 99
echo 'nobody ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/test
chmod 440 /etc/sudoers.d/test
cd /
exec setpriv --reuid=nobody --regid=nogroup --clear-groups "$@"
"""


def test_a_user_whom_sudo_lets_in_gets_root(standing: Stand) -> None:
    if shutil.which("sudo") is None:
        pytest.skip("no sudo on this machine")
    if not os.access("/usr/bin/python3", os.X_OK):
        pytest.skip("no /usr/bin/python3 that every user could run")
    public = standing.folder / "cvat-manage"
    shutil.copy(SCRIPT, public)
    standing.host.socket.chmod(0o600)
    call = ["env", f"CONTAINER_HOST={standing.host.url}", "/usr/bin/python3", "-IS", str(public)]
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", OTHER_USER, "sh", *call, *SHELL, "print(input()); raise SystemExit(6)"],
        input=b"through sudo\n",
        capture_output=True,
        timeout=BOUND_S,
        start_new_session=True,
    )
    if done.returncode == 99:
        pytest.skip("no mount namespace can be made here")
    assert (done.stdout, done.returncode) == (b"through sudo\n", 6), done.stderr


# Migrations


def init_id(stand: Stand) -> str | None:
    return stand.ids().get("cvat-init")


def test_migrate_takes_the_way_of_init(standing: Stand) -> None:
    before = init_id(standing)
    done = manage(standing, "migrate")
    assert done.returncode == 0, done.stderr
    assert b"No migrations to apply." in done.stdout
    assert init_id(standing) not in {before, None}


def test_what_migrate_says_of_a_fault_arrives(standing: Stand) -> None:
    done = manage(standing, "migrate", "no such app")
    assert done.returncode == 1
    assert b"no such app" in done.stderr
    assert not done.stdout


@pytest.mark.parametrize("arguments", [["migrate", "--check"], ["migrate", "--plan"]])
def test_what_only_looks_goes_inside(standing: Stand, arguments: list[str]) -> None:
    before = init_id(standing)
    assert manage(standing, *arguments).returncode == 0
    assert init_id(standing) == before


def test_two_at_once_run_one_after_the_other(standing: Stand) -> None:
    """And each says what it does while it does it."""
    code = (
        "import time; print('begun', time.time(), flush=True); time.sleep(1); print('ended', time.time(), flush=True)"
    )
    both = [standing.start("manage", "--", *SHELL, code) for _ in range(2)]
    said = []
    for process in both:
        said.append(process.communicate(timeout=BOUND_S)[0])
        assert process.returncode == 0, said
    spans = [[float(moment) for moment in re.findall(r"(?:begun|ended) ([0-9.]+)", words)] for words in said]
    first, second = sorted(spans)
    assert len(first) == len(second) == 2, said
    assert first[1] <= second[0]
    assert any("cvat-init is at work already; waiting for it" in words for words in said)


def test_lines_of_a_migration_come_while_it_works(standing: Stand) -> None:
    process = standing.start("manage", "--", *SHELL, WAITS.replace(str(BOUND_S), "3"))
    assert process.stdout is not None
    read_until(process.stdout.fileno(), READY.encode())
    assert standing.containers()["cvat-init"].running
    process.communicate(timeout=BOUND_S)
    assert process.returncode == 0


def test_an_init_that_waits_for_a_command_does_its_own_work_then(standing: Stand) -> None:
    """How the command ended says nothing of the init."""
    code = f"import time; print({READY!r}, flush=True); time.sleep(2); raise SystemExit(4)"
    process = standing.start("manage", "--", *SHELL, code)
    assert process.stdout is not None
    read_until(process.stdout.fileno(), READY.encode())
    assert standing.podman.execute("cvat-redis", ["redis-cli", "DEL", facts.MARK_KEY]).status == 0
    done = standing.cvatd("init")
    assert "at work already" in done.stderr
    assert "is initialised" in done.stdout
    process.communicate(timeout=BOUND_S)
    assert process.returncode == 4


# Completion


def test_completion_knows_djangos_commands_and_asks_once(standing: Stand, tmp_path: Path) -> None:
    asking = environment(standing) | {"CVAT_MANAGE_COMPLETE": "1", "XDG_CACHE_HOME": str(tmp_path)}
    listed = subprocess.run(command(), env=asking, capture_output=True, text=True, timeout=BOUND_S, check=True)
    assert {"createsuperuser", "migrate", "migrateredis", "shell"} <= set(listed.stdout.split())
    (kept,) = (tmp_path / "cvat-manage").iterdir()
    assert kept.name == standing.containers()["cvat-server"].image_id
    kept.write_text("from-the-list\n")
    again = subprocess.run(command(), env=asking, capture_output=True, text=True, timeout=BOUND_S, check=True)
    assert again.stdout == "from-the-list\n"


# Not running


def test_a_container_that_does_not_run_is_one_sentence(standing: Stand) -> None:
    try:
        standing.podman.stop("cvat-server", 5)
        done = manage(standing, "help")
        assert (done.returncode, done.stdout) == (3, b"")
        assert done.stderr.decode() in {
            f"cvat-manage: The container cvat-server is not running: `{start}` starts it.\n"
            for start in ("cvatd up", "systemctl start cvat")
        }
    finally:
        standing.up()
