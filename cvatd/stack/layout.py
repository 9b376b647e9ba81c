"""The folders and files below the data folder: made, owned by the right numbers, never `chown -R` of the whole."""

import contextlib
import os
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from cvatd.core.errors import CvatdError
from cvatd.core.settings import StackSettings
from cvatd.stack import releases, render
from cvatd.stack.spec import Owner, StackFile, stack_file

ROOT_ONLY = 0o700
NGINX_CONF = Path("state/proxy/nginx.conf")


@dataclass(frozen=True)
class Wrong:
    """A path whose owner or mode is not what its container needs; uid, gid and mode are those that it has."""

    path: Path
    owner: Owner
    uid: int
    gid: int
    mode: int

    def __str__(self) -> str:
        return (
            f"{self.path} belongs to {self.uid}:{self.gid} with mode {self.mode:04o}; "
            f"{self.owner.uid}:{self.owner.gid} with {self.owner.mode} is needed"
        )


def give(path: Path, owner: Owner) -> None:
    """Hand a file or folder to a user inside of containers: root's to do. Raises OSError, also for a link: it may lie
    in a folder of a container's, and lead to any file of this host.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        _hand(descriptor, owner)
    finally:
        os.close(descriptor)


def _hand(descriptor: int, owner: Owner) -> None:
    os.fchmod(descriptor, owner.bits)
    os.fchown(descriptor, owner.uid, owner.gid)


def folders(settings: StackSettings, declared: StackFile | None = None) -> dict[Path, Owner]:
    """Every folder that the containers need, parents first."""
    declared = declared or stack_file()
    return {
        settings.data_dir / name: owner
        for name, owner in declared.folders.items()
        if not (name == "postgres" and settings.database is not None)
    }


def ensure(settings: StackSettings) -> list[Path]:
    """Make what is missing; what exists is left as it is (`doctor` tells what is wrong with it). Returns what was made.

    Raises CvatdError "data_dir" when the data folder cannot be used.
    """
    made = []
    try:
        make_data_dir(settings)
        for path, owner in folders(settings).items():
            if not path.is_dir():
                # Given away under another name first: nobody sees the folder before it is right.
                fresh = path.with_name(f".{path.name}.new")
                with contextlib.suppress(FileExistsError):
                    fresh.mkdir()
                give(fresh, owner)
                fresh.rename(path)
                made.append(path)
        write_proxy_configuration(settings)
    except OSError as error:
        raise unusable(settings, error) from None
    return made


def make_data_dir(settings: StackSettings) -> None:
    """Only root may enter it: the numbers of the folders below may be those of people on this host.

    Raises CvatdError "data_dir".
    """
    if settings.data_dir.is_dir():
        return
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)  # another one may have been faster
        settings.data_dir.chmod(ROOT_ONLY)
    except OSError as error:
        raise unusable(settings, error) from None


def require_access(settings: StackSettings) -> None:
    """Raises CvatdError "data_dir" for a user who may not look into it: Podman's socket may be open to more."""
    folder = settings.data_dir
    if os.access(folder, os.F_OK) and not os.access(folder, os.R_OK | os.X_OK):
        raise CvatdError("data_dir", f"The data folder {folder} (stack.data_dir) is open to root alone: use sudo.")


def unusable(settings: StackSettings, error: OSError) -> CvatdError:
    """What to raise when the data folder refuses us."""
    return CvatdError("data_dir", f"The data folder {settings.data_dir} (stack.data_dir) cannot be used: {error}")


def wrong_owners(settings: StackSettings) -> list[Wrong]:
    """Folders that exist and are not the right user's."""
    wrong = []
    for path, owner in folders(settings).items():
        try:
            status = path.stat()
        except FileNotFoundError:
            continue
        mode = status.st_mode & 0o7777
        # PostgreSQL itself refuses more than 0750; a wider mode elsewhere lets others read what is theirs.
        if (owner.uid, owner.gid) != (status.st_uid, status.st_gid) or mode & ~owner.bits:
            wrong.append(Wrong(path, owner, status.st_uid, status.st_gid, mode))
    return wrong


def proxy_configuration(settings: StackSettings) -> str:
    """nginx.conf for the container cvat-proxy."""
    return render.fill(files("cvatd.stack").joinpath("nginx.conf").read_text(), proxy_parameters(settings))


def proxy_parameters(settings: StackSettings) -> dict[str, str]:
    """What nginx.conf has to be told, by the names that stand in it."""
    release = releases.find(render.choose_version(settings))
    return {
        "listen": "8080",
        "server": "cvat-server:8080",
        "ui_host": "cvat-ui",
        "ui_port": str(release.ui_port),
    }


def write_proxy_configuration(settings: StackSettings) -> bool:
    """True when it changed: the proxy's container must then be made anew, since a renamed file is another to it."""
    path = settings.data_dir / NGINX_CONF
    text = proxy_configuration(settings)
    if path.exists() and path.read_text() == text:
        return False
    write_atomically(path, text, 0o644)
    return True


def read_foreign(path: Path, most_bytes: int) -> bytes:
    """A file in a folder of a container's, which may put a link or a pipe there. Raises OSError."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        return file.read(most_bytes) or b""


def write_atomically(path: Path, text: str, rights: int | Owner) -> None:
    """Never half a file, also not after a power cut. `rights` are its mode, or its owner and mode."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    # Made new, so that nothing else is written to where the folder belongs to a container.
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        if isinstance(rights, Owner):
            _hand(descriptor, rights)
        else:
            os.fchmod(descriptor, rights)
        os.fsync(descriptor)
    temporary.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
