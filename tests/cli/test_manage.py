"""cvat-manage without Podman: whom it asks, what it refuses, the lists of its completion."""

import importlib.machinery
import importlib.util
import os
import pty
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "cvat-manage"
BOUND_S = 20
NOBODY = 65534


def load() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("cvat_manage", str(SCRIPT))
    spec = importlib.util.spec_from_loader("cvat_manage", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module


script = load()


def call(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-IS", SCRIPT, *arguments],
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"} | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=BOUND_S,
        start_new_session=True,  # and with it no terminal to ask on
    )


def test_it_lies_beside_cvatd() -> None:
    installed = Path(sys.executable).parent / "cvat-manage"
    if not installed.exists():
        pytest.skip("an environment of before: `make .venv/.ready` renews it")
    assert os.access(installed, os.X_OK)
    assert installed.read_text().splitlines()[1] == SCRIPT.read_text().splitlines()[1]
    assert (installed.parent / "cvatd").exists()


def test_it_needs_nothing_but_pythons_own(tmp_path: Path) -> None:
    """It must run where sudo left neither the caller's folder nor his environment."""
    program = f"import runpy; runpy.run_path({str(SCRIPT)!r}, run_name='x')"
    subprocess.run([sys.executable, "-I", "-S", "-c", program], cwd=tmp_path, env={}, check=True, timeout=BOUND_S)


# Where Podman is


@pytest.mark.parametrize(
    ("environment", "user", "path"),
    [
        ({}, 0, "/run/podman/podman.sock"),
        ({}, 1000, "/run/user/1000/podman/podman.sock"),
        ({"XDG_RUNTIME_DIR": "/r"}, 1000, "/r/podman/podman.sock"),
        ({"XDG_RUNTIME_DIR": "/r"}, 0, "/run/podman/podman.sock"),
        ({"CONTAINER_HOST": "unix:///a/b c"}, 0, "/a/b c"),
        ({"CONTAINER_HOST": "unix:///a"}, 1000, "/a"),
        ({"CONTAINER_HOST": "unix:///a", "CVATD_STACK__PODMAN_URL": "unix:///b"}, 0, "/b"),
    ],
)
def test_the_socket_is_found_as_cvatd_finds_it(
    environment: dict[str, str], user: int, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(script, "SETTINGS", (".cvatd/settings.json", str(tmp_path / "none")))
    assert script.socket_path(environment, user) == path


@pytest.mark.parametrize("text", ['{"stack": {}}', "{", "[]", '{"stack": []}', '{"stack": {"podman_url": 7}}'])
def test_settings_that_say_nothing_of_podman_say_nothing(text: str, tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    file.write_text(text)
    environment = {"CVATD_CONFIG": str(file), "CONTAINER_HOST": "unix:///a"}
    assert script.socket_path(environment, 0) == "/a"
    file.write_text('{"stack": {"podman_url": "unix:///c"}}')
    assert script.socket_path(environment, 0) == "/c"


@pytest.mark.parametrize("url", ["tcp://127.0.0.1:8080", "ssh://host/run/podman.sock", "/run/podman.sock", "unix:/a"])
def test_only_a_socket_of_this_host_will_do(url: str) -> None:
    result = call("help", CONTAINER_HOST=url)
    assert result.returncode == 2
    assert url in result.stderr
    assert result.stderr.count("\n") == 1


def as_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root is told of the socket; others are sent through sudo")


def test_without_a_podman_it_says_how_to_start_one(tmp_path: Path) -> None:
    as_root()
    result = call("help", CONTAINER_HOST=f"unix://{tmp_path}/none.sock")
    assert (result.returncode, result.stdout) == (3, "")
    assert "systemctl enable --now podman.socket" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """A socket in a folder of short path that everybody may enter."""
    with tempfile.TemporaryDirectory(prefix="cvat-") as folder, socket.socket(socket.AF_UNIX) as server:
        Path(folder).chmod(0o755)
        server.bind(f"{folder}/s")
        server.listen()
        server.settimeout(BOUND_S)
        yield server


def test_a_service_that_has_died_is_said_to_have(listening: socket.socket) -> None:
    path = listening.getsockname()
    listening.close()
    result = call("help", CONTAINER_HOST=f"unix://{path}")
    assert result.returncode == 3
    assert path in result.stderr
    assert "does not answer" in result.stderr


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\n"])
def test_a_service_that_hangs_up_is_no_traceback(listening: socket.socket, answer: bytes) -> None:
    def serve() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(1 << 16)
            connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    result = call("help", CONTAINER_HOST=f"unix://{listening.getsockname()}")
    thread.join(BOUND_S)
    assert result.returncode == 3
    assert "gave no answer" in result.stderr
    assert "Traceback" not in result.stderr


# Migrations


@pytest.mark.parametrize(
    "arguments", ["migrate", "migrate --noinput", "migrate app 0002", "migrate --fake", "migrate --database x"]
)
def test_migrations_take_the_way_of_init(arguments: str) -> None:
    assert script.migrates(arguments.split())


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "help",
        "help migrate",
        "showmigrations",
        "migrateredis",
        "migrate --check",
        "migrate --plan",
        "migrate -h",
        "migrate app --help",
    ],
)
def test_all_else_goes_inside(arguments: str) -> None:
    assert not script.migrates(arguments.split())


# Root


def sudo_is_there() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become the other user of this test")
    if shutil.which("sudo") is None:
        pytest.skip("no sudo on this machine")


@pytest.fixture
def public() -> Iterator[Path]:
    """The script where everybody may read it."""
    with tempfile.TemporaryDirectory(prefix="cvat-") as folder:
        Path(folder).chmod(0o755)
        shutil.copy(SCRIPT, folder)
        yield Path(folder) / "cvat-manage"


def by_nobody(program: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """As a user whom sudo does not let in, without a terminal."""
    python = "/usr/bin/python3"
    if not os.access(python, os.X_OK):
        pytest.skip(f"no {python} that the other user could run")
    return subprocess.run(
        [python, "-IS", program, *arguments],
        env={"PATH": "/usr/bin:/bin"} | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=BOUND_S,
        cwd="/",
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        start_new_session=True,
    )


@pytest.mark.parametrize("arguments", [["help"], ["migrate"]])
def test_where_sudo_does_not_let_in_it_says_so(public: Path, arguments: list[str]) -> None:
    sudo_is_there()
    result = by_nobody(public, *arguments)
    assert (result.returncode, result.stdout) == (1, "")
    assert "sudo does not let you in without a password" in result.stderr
    assert result.stderr.count("\n") == 1


def test_where_there_is_no_sudo_it_says_so(public: Path) -> None:
    sudo_is_there()
    result = by_nobody(public, "help", PATH="/nonexistent")
    assert result.returncode == 1
    assert "no sudo here: run it as root" in result.stderr


def test_a_socket_that_is_not_for_us_leads_to_sudo(public: Path, listening: socket.socket) -> None:
    sudo_is_there()
    Path(listening.getsockname()).chmod(0o600)
    result = by_nobody(public, "help", CONTAINER_HOST=f"unix://{listening.getsockname()}")
    assert "sudo does not let you in" in result.stderr


# Completion


def test_names_only() -> None:
    text = b"migrate\ncreatesuperuser\nrun_this\n$(reboot)\n`x`\n../x\na;b\nsync-it\n\nmigrate\n\xff\xfe\n"
    assert script.plain(text) == ["createsuperuser", "migrate", "run_this", "sync-it"]


@given(st.binary())
def test_whatever_comes_is_names_only(text: bytes) -> None:
    import re

    assert all(re.fullmatch(r"[A-Za-z0-9_-]+", name) for name in script.plain(text))


@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=50))), st.binary(max_size=7))
def test_frames_are_taken_apart(frames: list[tuple[int, bytes]], cut: bytes) -> None:
    data = b"".join(script.FRAME.pack(kind, len(text)) + text for kind, text in frames)
    assert script.frames_of(data + cut) == b"".join(text for _, text in frames)


@given(st.lists(st.binary(min_size=1, max_size=50)))
def test_chunks_are_joined(pieces: list[bytes]) -> None:
    chunked = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    assert script._joined(chunked) == b"".join(pieces)


def test_a_list_is_kept_for_its_image_and_for_a_day(tmp_path: Path) -> None:
    folder = str(tmp_path / "cache")
    assert script.read_list(folder, "image1") == []
    assert script.keep_list(folder, "image1", ["migrate", "shell"])
    assert script.read_list(folder, "image1") == ["migrate", "shell"]
    assert script.read_list(folder, "image2") == []
    # A user who may not ask which image runs takes the one that is there.
    (Path(folder) / ".half").write_text("half")
    assert script.read_list(folder, "") == ["migrate", "shell"]
    old = time.time() - script.LIST_AGE_S - 1
    os.utime(Path(folder) / "image1", (old, old))
    assert script.read_list(folder, "image1") == []
    assert script.keep_list(folder, "image2", ["help"])
    assert [path.name for path in Path(folder).iterdir()] == ["image2"]


def test_a_list_that_is_no_file_is_no_list(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("word\n")
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("link", "pipe", "folder"):
        assert script.read_list(str(tmp_path), name) == []


def test_a_cache_that_cannot_be_written_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert not script.keep_list(str(tmp_path / "file" / "below"), "image", ["x"])


def test_without_podman_there_is_nothing_to_complete(tmp_path: Path) -> None:
    result = call(CVAT_MANAGE_COMPLETE="1", CONTAINER_HOST=f"unix://{tmp_path}/none", XDG_CACHE_HOME=str(tmp_path))
    assert (result.returncode, result.stdout.split(), result.stderr) == (0, [], "")


def test_with_a_closed_input_all_of_the_output_comes(listening: socket.socket) -> None:
    """The connection must not take the number of the input, and be read as such."""
    pieces = [b"one\n", b"two\n", b"three\n"]
    given: list[bytes] = []

    def answer(status: bytes, body: bytes) -> None:
        caller, _ = listening.accept()
        with caller:
            caller.recv(1 << 16)
            caller.sendall(b"HTTP/1.1 " + status + b"\r\n\r\n" + body)

    def podman() -> None:
        answer(b"201 Created", b'{"Id": "x"}')
        caller, _ = listening.accept()
        with caller:
            caller.settimeout(BOUND_S)
            caller.recv(1 << 16)
            caller.sendall(b"HTTP/1.1 101 UPGRADED\r\n\r\n")
            for piece in pieces:
                caller.sendall(script.FRAME.pack(1, len(piece)) + piece)
                time.sleep(0.1)
            caller.shutdown(socket.SHUT_WR)
            given.append(caller.recv(1 << 16))
        answer(b"200 OK", b'{"Running": false, "ExitCode": 7}')

    threading.Thread(target=podman, daemon=True).start()
    command = ["sh", "-c", 'exec "$@" <&-', "sh", sys.executable, "-IS", str(SCRIPT), "check"]
    environment = {"PATH": os.environ["PATH"], "CONTAINER_HOST": f"unix://{listening.getsockname()}"}
    result = subprocess.run(command, env=environment, capture_output=True, timeout=BOUND_S, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (7, b"".join(pieces), b"")
    assert given == [b""]


def test_has_terminal() -> None:
    """In a session with a terminal of its own there is one to ask for a password on."""
    program = f"import runpy, sys; sys.exit(40 + runpy.run_path({str(SCRIPT)!r}, run_name='x')['has_terminal']())"
    child, terminal = pty.fork()
    if child == 0:
        os.execv(sys.executable, [sys.executable, "-c", program])
    with os.fdopen(terminal, "rb"):
        assert os.waitstatus_to_exitcode(wait_for(child)) == 41
    alone = subprocess.run([sys.executable, "-c", program], timeout=BOUND_S, start_new_session=True)
    assert alone.returncode == 40


def wait_for(child: int) -> int:
    deadline = time.monotonic() + BOUND_S
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        time.sleep(0.01)
    os.kill(child, 9)
    os.waitpid(child, 0)
    raise AssertionError("it did not end in time")
