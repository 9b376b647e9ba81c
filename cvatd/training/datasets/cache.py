"""Checked data sets by the content of their zip, shared between runs as hard links.

    trees/<sha256 of the zip>-<version of the checks>/   read-only: images, labels, dataset.json
    building/<random>/                                   under work; locked by its builder

A tree appears by one rename, whole. A crash leaves something in building/ at most, which the next builder sweeps:
what nobody locks has no builder any more. Locks are flock(2): they end with their process.
"""

import contextlib
import errno
import fcntl
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

VERSION = 1  # raise when the checks change what a tree holds: older trees are then not found any more
MANIFEST = "dataset.json"
LOCK_POLL_S = 0.1
NO_LINK = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.EACCES}


class Cache:
    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._trees = folder / "trees"
        self._building = folder / "building"
        self._max_bytes = max_bytes
        for made in (self._trees, self._building):
            made.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def tree(self, sha256: str) -> Iterator[Path | None]:
        """The tree of this zip, kept from being pruned meanwhile; None when there is none."""
        path = self._path(sha256)
        try:
            held = _lock_folder(path, fcntl.LOCK_SH)
        except FileNotFoundError:
            yield None
            return
        try:
            complete = (path / MANIFEST).exists()  # else it was pruned before the lock was ours
            if complete:
                os.utime(path / MANIFEST)  # when it was last used
            yield path if complete else None
        finally:
            os.close(held)

    @contextmanager
    def builder(self) -> Iterator[Path]:
        """An empty folder to build a tree in; removed at the end, unless published."""
        with self._bell():
            self._sweep()
            folder = self._building / secrets.token_hex(8)
            folder.mkdir()
            held = _lock_folder(folder, fcntl.LOCK_EX)
        try:
            yield folder
        finally:
            remove_tree(folder)
            os.close(held)

    def publish(self, built: Path, sha256: str, manifest: dict[str, object]) -> None:
        """Make a built folder the tree of `sha256`. Another builder that was faster wins; both are the same."""
        path = self._path(sha256)
        manifest = {**manifest, "bytes": _make_read_only(built)}
        write_synced(built / MANIFEST, json.dumps(manifest).encode())
        for folder, _, _ in os.walk(built):
            _sync_folder(Path(folder))
        try:
            built.rename(path)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            return
        path.chmod(0o555)  # last: a folder that is read-only cannot be renamed into another
        _sync_folder(self._trees)
        self._prune(keep=path)

    @contextmanager
    def lock(self, name: str, pause: Callable[[], None]) -> Iterator[None]:
        """One at a time for `name`; `pause` is called while waiting, and may raise to give up."""
        locks = self._folder / "locks"
        locks.mkdir(exist_ok=True)
        file = os.open(locks / name, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            while not _try_lock(file):
                pause()
                time.sleep(LOCK_POLL_S)
            yield
        finally:
            os.close(file)

    def _path(self, sha256: str) -> Path:
        return self._trees / f"{sha256}-{VERSION}"

    @contextmanager
    def _bell(self) -> Iterator[None]:
        with self.lock("cache", lambda: None):
            yield

    def _sweep(self) -> None:
        for left in self._building.iterdir():
            _remove_if_free(left)

    def _prune(self, keep: Path) -> None:
        """Remove the trees that were not used for the longest time until the rest fits."""
        with self._bell():
            trees = [(*used, path) for path in self._trees.iterdir() if (used := _use_of(path))]
            total = sum(size for _, size, _ in trees)
            for _, size, path in sorted(trees):
                if total <= self._max_bytes:
                    return
                if path != keep and _remove_if_free(path, self._building):
                    total -= size


def link_tree(tree: Path, target: Path, tick: Callable[[int], None]) -> None:
    """The same files below `target` (which must not exist) as hard links, or as copies where links cannot be.

    `tick` is told the number of files so far.
    """
    done = 0
    for folder, _, files in os.walk(tree):
        there = target / Path(folder).relative_to(tree)
        there.mkdir(parents=True)
        for name in files:
            if name == MANIFEST and Path(folder) == tree:
                continue
            _link_or_copy(os.path.join(folder, name), os.path.join(there, name))
            done += 1
            tick(done)


def remove_tree(path: Path) -> None:
    """Remove a folder that may be read-only, or be gone already."""
    for folder, _, _ in os.walk(path):
        with contextlib.suppress(OSError):
            os.chmod(folder, 0o700)
    shutil.rmtree(path, ignore_errors=True)


def write_synced(path: Path, data: bytes) -> None:
    """Write beside, sync, rename: the file is there as a whole or not at all."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in NO_LINK:
            raise
        shutil.copyfile(source, target)
        os.chmod(target, 0o444)


def _make_read_only(root: Path) -> int:
    """Returns the bytes of all files below. The root itself stays writable, for its rename."""
    total = 0
    for folder, _, files in os.walk(root):
        for name in files:
            path = os.path.join(folder, name)
            total += os.stat(path).st_size
            os.chmod(path, 0o444)
        if Path(folder) != root:
            os.chmod(folder, 0o555)  # noqa: S103 - takes rights away
    return total


def _use_of(tree: Path) -> tuple[float, int] | None:
    """When it was last used, and its size in bytes."""
    manifest = tree / MANIFEST
    try:
        return manifest.stat().st_mtime, int(json.loads(manifest.read_bytes())["bytes"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0, 0


def _remove_if_free(path: Path, via: Path | None = None) -> bool:
    """Remove a folder that nobody has locked. By way of a rename, so that no half tree is ever found."""
    try:
        held = _lock_folder(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return True
    except BlockingIOError:
        return False
    try:
        if via:
            path.chmod(0o700)
            path = path.rename(via / secrets.token_hex(8))
        remove_tree(path)
    finally:
        os.close(held)
    return True


def _lock_folder(path: Path, how: int) -> int:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, how)
    except BaseException:
        os.close(folder)
        raise
    return folder


def _try_lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
