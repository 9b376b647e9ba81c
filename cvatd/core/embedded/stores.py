"""Prepares the folders of the embedded PostgreSQL and Redis, and says how each is started."""

import hashlib
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg
import redis

from cvatd.core.embedded.servers import Postgres, choose_postgres, find_postgres, find_redis
from cvatd.core.embedded.supervisor import Service
from cvatd.core.embedded.user import ServerUser, choose_user
from cvatd.core.errors import CvatdError

# Of 107 that the kernel allows for a socket's path, PostgreSQL's own name takes 20 with its lock file.
LONGEST_RUN_DIR = 80
POSTGRES_READY_S = 60.0
REDIS_READY_S = 10.0
POSTGRES_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "client_connection_check_interval": "500ms",  # a killed worker's lock is freed while its statement runs
    "max_connections": "60",
    "shared_buffers": "32MB",
    "logging_collector": "off",
}


@dataclass(frozen=True)
class Stores:
    """Two services and where they are reached."""

    services: list[Service]
    database_url: str
    redis_url: str
    remove: Callable[[], None]  # what lies outside the data folder, at the end


def prepare(data_dir: Path) -> Stores:
    """Make the folders and the database's files where they are missing; start nothing.

    Raises CvatdError in words when a program is missing or the data belongs to another version.
    """
    data_dir = data_dir.absolute()
    data_dir.mkdir(parents=True, exist_ok=True)
    postgres = choose_postgres(find_postgres(), _data_major(data_dir / "postgres"))
    server = find_redis()
    user = choose_user([data_dir / "postgres", postgres.bin / "postgres", server])
    run_dir, remove = _run_dir(data_dir, user)
    if not (data_dir / "postgres" / "PG_VERSION").exists():
        _initialise(postgres, data_dir, user)
    _stop_leftover(data_dir / "postgres")
    return Stores(
        services=[_postgres_service(postgres, data_dir, run_dir, user), _redis_service(server, run_dir, user)],
        database_url=_database_url(run_dir, "cvatd"),
        redis_url=f"unix://{run_dir}/redis.sock",
        remove=remove,
    )


def _data_major(folder: Path) -> int | None:
    try:
        return int((folder / "PG_VERSION").read_text())
    except FileNotFoundError:
        return None


def _run_dir(data_dir: Path, user: ServerUser) -> tuple[Path, Callable[[], None]]:
    """A folder for the sockets that its owner alone may enter, with a path short enough for the kernel."""
    folder, remove = data_dir / "run", lambda: None
    if len(os.fsencode(folder)) > LONGEST_RUN_DIR:
        name = f"cvatd-{os.geteuid()}-{hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]}"
        folder = Path(os.environ.get("XDG_RUNTIME_DIR") or "/tmp") / name  # noqa: S108 - made 0700, owner checked
        short = folder

        def remove() -> None:
            shutil.rmtree(short, ignore_errors=True)

    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid not in {os.geteuid(), user.owner}:
        raise CvatdError(
            "run_dir", f"{folder} belongs to somebody else. Remove it, or use a data folder of shorter path."
        )
    folder.chmod(0o700)
    user.own(folder)
    return folder, remove


def _initialise(postgres: Postgres, data_dir: Path, user: ServerUser) -> None:
    """initdb into a folder that becomes the real one only when it is whole."""
    temporary = data_dir / "postgres.new"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(mode=0o700)
    user.own(temporary)
    answer = subprocess.run(
        [
            *user.prefix,
            postgres.bin / "initdb",
            *("--pgdata", temporary, "--username", "cvatd", "--auth", "trust", "--encoding", "UTF8"),
            *("--locale", "C.UTF-8" if postgres.major >= 15 else "C"),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        **user.options,
    )
    if answer.returncode != 0:
        raise CvatdError("postgres", f"initdb of PostgreSQL {postgres.major} failed:\n{answer.stderr.strip()}")
    temporary.rename(data_dir / "postgres")


def _stop_leftover(folder: Path) -> None:
    """End a server that a killed supervisor left on this data."""
    try:
        pid = int((folder / "postmaster.pid").read_text().split()[0])
        serves_us = str(folder) in Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
        descriptor = os.pidfd_open(pid)
    except (FileNotFoundError, ProcessLookupError, ValueError, IndexError):
        return
    try:
        if serves_us:
            signal.pidfd_send_signal(descriptor, signal.SIGINT)
            _wait_for_exit(descriptor, POSTGRES_READY_S)
    finally:
        os.close(descriptor)


def _wait_for_exit(descriptor: int, timeout_s: float) -> None:
    import select

    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    poll.poll(timeout_s * 1000)


def _postgres_service(postgres: Postgres, data_dir: Path, run_dir: Path, user: ServerUser) -> Service:
    settings = {**POSTGRES_SETTINGS, "unix_socket_directories": str(run_dir)}
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]

    def ready() -> bool:
        try:
            with psycopg.connect(_database_url(run_dir, "postgres"), autocommit=True, connect_timeout=2) as connection:
                there = connection.execute("SELECT FROM pg_database WHERE datname = 'cvatd'").fetchone()
                if there is None:
                    connection.execute("CREATE DATABASE cvatd")
        except psycopg.OperationalError:
            return False
        return True

    return Service(
        name="postgres",
        argv=[*user.prefix, str(postgres.bin / "postgres"), "-D", str(data_dir / "postgres"), *options],
        ready=ready,
        ready_timeout_s=POSTGRES_READY_S,
        stop_signal=signal.SIGINT,  # "fast": clients are sent away, data is written
        options={"cwd": "/", **user.options},
    )


def _redis_service(server: Path, run_dir: Path, user: ServerUser) -> Service:
    socket = run_dir / "redis.sock"

    def ready() -> bool:
        try:
            with redis.Redis(unix_socket_path=str(socket), socket_timeout=2) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    return Service(
        name="redis",
        # Nothing is saved: what Redis holds can be made again from PostgreSQL.
        argv=[
            *(*user.prefix, str(server), "--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700"),
            *("--save", "", "--appendonly", "no", "--dir", str(run_dir)),
        ],
        ready=ready,
        ready_timeout_s=REDIS_READY_S,
        stop_signal=signal.SIGTERM,
        options={"cwd": "/", **user.options},
    )


def _database_url(run_dir: Path, database: str) -> str:
    from urllib.parse import quote

    return f"postgresql://cvatd@/{database}?host={quote(str(run_dir))}"
