"""The stack's secrets: made once, each in a file that root and its container alone may read; changed by one command.

The key of Django lies where CVAT itself looks for it (keys/secret_key.py): every release reads it there.
"""

import contextlib
import secrets
import string
from pathlib import Path

from cvatd.core.errors import CvatdError
from cvatd.core.settings import StackSettings
from cvatd.stack import starting
from cvatd.stack.layout import write_atomically
from cvatd.stack.spec import Owner, stack_file

POSTGRES = "postgres-password"
SUPERUSER = "superuser-password"
PASSWORD_LENGTH = 32
DJANGO_KEY_LENGTH = 50
LETTERS = string.ascii_letters + string.digits
DJANGO_KEY_OWNER = Owner(uid=1000, gid=1000, mode="0600")


def folder(settings: StackSettings) -> Path:
    return settings.data_dir / "secrets"


def path(settings: StackSettings, name: str) -> Path:
    return folder(settings) / name


def ensure(settings: StackSettings) -> list[str]:
    """Make the secrets that are missing. Returns their names."""
    made = []
    for name, owner in stack_file().secrets.items():
        file = path(settings, name)
        given = _given(settings, name)
        if name == POSTGRES and given is None and not file.exists() and _has_database(settings):
            propose(settings, name)  # lost: `up` gives the database this one, as in a change of it
        if not file.exists() or (name == POSTGRES and given is not None and file.read_text() != given):
            write_atomically(file, given if given is not None else new_password(), owner)
            made.append(name)
    key = django_key_file(settings)
    if not key.exists():
        write_atomically(key, new_django_key(), DJANGO_KEY_OWNER)
        made.append("django-key")
    return made


def read(settings: StackSettings, name: str) -> str:
    """Raises CvatdError "secret" with the way to it."""
    file = path(settings, name)
    try:
        return file.read_text().strip()
    except FileNotFoundError:
        raise CvatdError("secret", f"There is no {file} yet: `{starting.preparation(settings)}` makes it.") from None
    except PermissionError:
        raise CvatdError("secret", f"{file} is readable by root alone: use sudo.") from None


def known(settings: StackSettings) -> list[str]:
    """All passwords that are there, for those who must not show them."""
    names = [name for made in stack_file().secrets for name in (made, proposed(made))]
    texts = []
    for name in names:
        with contextlib.suppress(OSError):
            texts.append(path(settings, name).read_text().strip())
    return texts


def propose(settings: StackSettings, name: str) -> str:
    """A new value beside the one in force, kept through a crash: `accept` puts it into force."""
    waiting = path(settings, proposed(name))
    if not waiting.exists():
        write_atomically(waiting, new_password(), stack_file().secrets[name])
    return waiting.read_text()


def accept(settings: StackSettings, name: str) -> None:
    path(settings, proposed(name)).rename(path(settings, name))


def is_changing(settings: StackSettings, name: str) -> bool:
    """A change was begun and its end was not seen: the same command again finishes it."""
    return path(settings, proposed(name)).exists()


def replace_django_key(settings: StackSettings) -> None:
    """Ends all sessions once the server reads it."""
    write_atomically(django_key_file(settings), new_django_key(), DJANGO_KEY_OWNER)


def django_key_file(settings: StackSettings) -> Path:
    return settings.data_dir / "keys" / "secret_key.py"


def new_password() -> str:
    return "".join(secrets.choice(LETTERS) for _ in range(PASSWORD_LENGTH))


def new_django_key() -> str:
    """One assignment and nothing else: newer releases parse this file and accept no more."""
    key = "".join(secrets.choice(LETTERS) for _ in range(DJANGO_KEY_LENGTH))
    return f"SECRET_KEY = '{key}'\n"


def _has_database(settings: StackSettings) -> bool:
    return (settings.data_dir / "postgres" / "PG_VERSION").exists()


def _given(settings: StackSettings, name: str) -> str | None:
    """What the settings say the secret is, if they do."""
    if name == SUPERUSER:
        file = settings.superuser.password_file
        return _content(file, "superuser") if file else settings.superuser.initial_password
    return _content(settings.database.password_file, "database") if settings.database else None


def _content(file: Path, section: str) -> str:
    """A secret from a file of the operator's. Raises CvatdError "secret"."""
    try:
        text = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CvatdError("secret", f"stack.{section}.password_file cannot be read: {error}") from None
    if not text:
        raise CvatdError("secret", f"stack.{section}.password_file: {file} is empty.")
    return text


def proposed(name: str) -> str:
    """The file that a new value waits in."""
    return f"{name}.new"
