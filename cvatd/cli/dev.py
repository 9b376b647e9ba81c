"""`cvatd dev`: everything on this machine in the foreground, without root, without a system service."""

import json
import os
import socket
import sys
from pathlib import Path

from cvatd.core import database, migrate
from cvatd.core.embedded import stores
from cvatd.core.embedded.supervisor import Service, Supervisor, say
from cvatd.core.errors import CvatdError
from cvatd.training.description import load_description
from cvatd.training.worker import write_whole

DEFAULT_PORT = 5000
WORKER_GRACE_S = 30.0  # a trainer ends its batch first
WEB_READY_S = 30.0


def run(data_dir: Path, port: int | None, trainer_python: Path | None) -> None:
    """Start all, stay until Ctrl-C, end all."""
    data_dir = data_dir.absolute()
    port = port or int(os.environ.get("PORT") or DEFAULT_PORT)
    python = find_trainer_python(trainer_python)
    refuse_taken_port(port)
    with Supervisor(data_dir, say) as supervisor:
        stored = stores.prepare(data_dir)
        try:
            file = write_settings(data_dir, stored, port, python)
            for service in stored.services:
                supervisor.start(service)
            with database.connect(stored.database_url) as connection:
                migrate.migrate(connection)
            if not (data_dir / "trainer.json").exists():
                say("asking the trainer's Python what it can do (once)")
            load_description(python, data_dir / "trainer.json")
            environment = os.environ | {"CVATD_CONFIG": str(file)}
            supervisor.start(web_service(environment, port))
            supervisor.start(own_service("worker", environment, grace_s=WORKER_GRACE_S))
            say(f"ready: http://127.0.0.1:{port}/training   (no sign-in, on this machine alone; Ctrl-C ends it)")
            supervisor.run()
        finally:
            supervisor.stop()
            stored.remove()


def find_trainer_python(given: Path | None) -> Path:
    """The Python that has torch and Ultralytics. Raises CvatdError "trainer_unusable"."""
    if given is not None:
        return given.absolute()
    beside = Path(sys.prefix).parent / ".venv-trainer" / "bin" / "python"
    return beside if beside.exists() else Path(sys.executable)


def refuse_taken_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise CvatdError(
                "port", f"Port {port} cannot be used: {error.strerror}. Choose another: `cvatd dev --port N`."
            ) from None


def write_settings(data_dir: Path, stored: stores.Stores, port: int, python: Path) -> Path:
    """What `dev` sets differently from a real host, in a file that people can read."""
    file = data_dir / "settings.json"
    settings = {
        "data_dir": str(data_dir),
        "database_url": stored.database_url,
        "redis_url": stored.redis_url,
        "host": "127.0.0.1",
        "port": port,
        "auth": False,
        "urls": {"allow": ["127.0.0.0/8", "::1/128"]},
        "dataset": {"file_roots": [str(Path.cwd())]},
        "trainer": {"python": str(python), "offline": False},
    }
    write_whole(file, json.dumps(settings, indent=2) + "\n")
    return file


def own_service(name: str, environment: dict[str, str], grace_s: float) -> Service:
    return Service(
        name=name,
        argv=[sys.executable, "-m", "cvatd.cli.main", name],
        grace_s=grace_s,
        options={"env": environment},
    )


def web_service(environment: dict[str, str], port: int) -> Service:
    def ready() -> bool:
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", port)) == 0

    service = own_service("web", environment, grace_s=10.0)
    return Service(service.name, service.argv, ready, WEB_READY_S, grace_s=service.grace_s, options=service.options)
