"""New values for the stack's secrets. Each change is begun on disk first, so that a crash at any moment leaves
something that the same command, or for the database also `up`, finishes.
"""

import base64
import hashlib
import hmac
import os
import subprocess
from collections.abc import Callable
from typing import TYPE_CHECKING

from cvatd.core.errors import CvatdError
from cvatd.stack import command_line, secret_files, starting
from cvatd.stack.plan import refuse_foreign
from cvatd.stack.render import DATABASE_CONTAINER
from cvatd.stack.spec import Container

if TYPE_CHECKING:
    from cvatd.stack.runner import Runner, Tell

PSQL_TIMEOUT_S = 60.0
# psql's status for a statement that was refused, Podman's for a program that cannot be started, and its words where it
# did not come so far.
NOT_TAKEN = (3, 126, 127)
NOT_BEGUN = ("container state improper", "unable to connect to Podman")
SCRAM_ITERATIONS = 4096
ROLE = "root"
PSQL = ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-U", ROLE, "-d", "cvat"]


def database(runner: "Runner", tell: "Tell") -> list[str]:
    """A new password of CVAT's PostgreSQL, and new containers for all that use it. Raises CvatdError.

    Returns the units that are to be restarted for it, where systemd runs the containers.
    """
    if runner.settings.database is not None:
        raise CvatdError(
            "usage",
            "CVAT's database is outside of the stack: change its password there, put it into "
            f"{runner.settings.database.password_file}, and `cvatd up`.",
        )
    command_line.require_running(runner.podman, runner.settings, DATABASE_CONTAINER)
    units = _units(runner, lambda container: secret_files.POSTGRES in container.secrets)
    with runner.exclusive():
        runner.refuse_during_init([DATABASE_CONTAINER])
        secret_files.propose(runner.settings, secret_files.POSTGRES)
        if units is not None:
            settle_database(runner, tell)
    if units is None:
        runner.up(tell)
    return units or []


def settle_database(runner: "Runner", tell: "Tell") -> None:
    """Finish a change of the database's password that was begun, before anything starts with either of the two."""
    settings = runner.settings
    if settings.database is not None or not secret_files.is_changing(settings, secret_files.POSTGRES):
        return
    runner.refuse_during_init([DATABASE_CONTAINER])
    runner.bring_alone(runner.stack().container(DATABASE_CONTAINER), tell)
    tell(DATABASE_CONTAINER, "changing", "its password")
    password = secret_files.propose(settings, secret_files.POSTGRES).strip()
    _set_role_password(runner.podman.url, password)
    secret_files.accept(settings, secret_files.POSTGRES)
    tell(DATABASE_CONTAINER, "changed", "its password")


def django(runner: "Runner", tell: "Tell") -> list[str]:
    """A new key: ends all sessions of people. Containers that run are made anew with it; returns as `database`."""
    keys = secret_files.django_key_file(runner.settings).parent
    if not keys.is_dir():
        made_by = starting.preparation(runner.settings)
        raise CvatdError("secret", f"There is no {keys} yet: `{made_by}` makes it, and a key in it.")
    units = _units(runner, lambda container: any(mount.source == str(keys) for mount in container.mounts))
    with runner.exclusive():
        secret_files.replace_django_key(runner.settings)
    if units is None and any(found.ours and found.running for found in runner.podman.containers().values()):
        runner.up(tell)
    return units or []


def superuser(runner: "Runner", tell: "Tell") -> list[str]:
    """A new password of the superuser that `init` made; nothing has to be restarted for it. Raises CvatdError."""
    command_line.require_running(runner.podman, runner.settings, "cvat-redis")
    with runner.exclusive():
        initialiser = runner.initialiser(runner.stack())
        initialiser.ensure(lambda words: tell("init", "working", words))
        secret_files.propose(runner.settings, secret_files.SUPERUSER)
        proposed = secret_files.proposed(secret_files.SUPERUSER)
        initialiser.set_password(proposed, lambda words: tell("init", "working", words))
        secret_files.accept(runner.settings, secret_files.SUPERUSER)
    tell("init", "done", "the password is changed")
    return []


def _units(runner: "Runner", uses: Callable[[Container], bool]) -> list[str] | None:
    """Where systemd runs the containers, its units of those that use a secret; None where cvatd does.

    Raises CvatdError "foreign" where somebody else does.
    """
    stack, found = runner.stack(), runner.podman.containers()
    units = {name: found[name].systemd_unit for name in stack.names if name in found}
    if not any(units.values()):
        refuse_foreign(stack, found)
        return None
    readers = [container.name for container in stack.containers if uses(container)]
    return [unit for name in readers if name != DATABASE_CONTAINER and (unit := units.get(name))]


def _set_role_password(url: str, password: str) -> None:
    """Over standard input and the database's own socket: in no argument, no environment and, already hashed, no log."""
    command = command_line.exec_command(url, DATABASE_CONTAINER, PSQL, tty=False)
    statement = (
        f"SET log_statement = 'none';\nALTER ROLE {ROLE} PASSWORD '{scram_verifier(password, os.urandom(16))}';\n"
    )
    try:
        done = subprocess.run(
            command, input=statement, capture_output=True, text=True, check=False, timeout=PSQL_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        raise _not_seen(f"it said nothing for {PSQL_TIMEOUT_S:.0f} s") from None
    if not done.returncode:
        return
    last = (done.stderr.strip().splitlines() or [f"status {done.returncode} and no word"])[-1].rstrip(".")
    if done.returncode not in NOT_TAKEN and not any(words in last for words in NOT_BEGUN):
        raise _not_seen(last)
    raise CvatdError(
        "rotate", f"PostgreSQL did not take the new password: {last}. The old one is in force; do the same again."
    )


def _not_seen(why: str) -> CvatdError:
    """The new one waits in its file, so that either may be in force."""
    words = f"Whether PostgreSQL took the new password could not be seen: {why}. Do the same again: it ends the change."
    return CvatdError("rotate", words)


def scram_verifier(password: str, salt: bytes) -> str:
    """What PostgreSQL stores for SCRAM-SHA-256 (RFC 5802): nobody can sign in with it."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, SCRAM_ITERATIONS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    parts = [base64.b64encode(part).decode() for part in (salt, stored, server)]
    return f"SCRAM-SHA-256${SCRAM_ITERATIONS}:{parts[0]}${parts[1]}:{parts[2]}"
