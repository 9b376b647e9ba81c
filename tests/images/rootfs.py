"""Layers of images out of this host's own programs: each with the libraries that `ldd` names, as one tar."""

import hashlib
import io
import os
import re
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

LDD_TIMEOUT_S = 30
LIBRARY = re.compile(r"(/\S+\.so\S*)")
# Debian's /bin, /lib, ... are links into /usr: so are they in these images.
MERGED = ("bin", "sbin", "lib", "lib64")


@dataclass(frozen=True)
class Entry:
    """One path of a layer: a file of the host, content of our own, a link, or (none of these) a folder."""

    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    source: Path | None = None
    content: bytes | None = None
    link: str | None = None


class Layer:
    """Paths inside of the image -> entries."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self._seen: set[Path] = set()

    def folder(self, path: str, uid: int = 0, gid: int = 0, mode: int = 0o755) -> None:
        self.entries[_inside(path)] = Entry(mode, uid, gid)

    def text(self, path: str, content: str, mode: int = 0o644, uid: int = 0, gid: int = 0) -> None:
        self._put(path, Entry(mode, uid, gid, content=content.encode()))

    def link(self, path: str, target: str) -> None:
        self._put(path, Entry(0o777, link=target))

    def file(self, source: Path, at: str | None = None) -> None:
        """A file of the host; a link with what it leads to."""
        if at is None and source.is_symlink():
            target = os.readlink(source)
            self.link(str(source), target)
            self.file(Path(os.path.normpath(source.parent / target)))
            return
        mode = 0o755 if source.stat().st_mode & stat.S_IXUSR else 0o644
        self._put(at or str(source), Entry(mode, source=source))

    def programs(self, *names: str) -> None:
        """Programs by name or path, with their libraries."""
        paths = [Path(shutil.which(name) or f"/usr/sbin/{name}") for name in names]
        for path in paths:
            self.file(path)
        self.libraries(paths)

    def libraries(self, files: Iterable[Path], but: Path | None = None) -> None:
        """What these files are linked with, `but` what lies in this folder."""
        files = [str(file) for file in files]
        shown = subprocess.run(["ldd", *files], capture_output=True, text=True, check=False, timeout=LDD_TIMEOUT_S)
        for found in sorted(set(LIBRARY.findall(shown.stdout))):
            path = Path(os.path.normpath(found))
            if path.exists() and path not in self._seen and not (but and path.is_relative_to(but)):
                self._seen.add(path)
                self.file(path)

    def tree(self, source: Path, at: str | None = None, without: Iterable[str] = ()) -> None:
        """A folder of the host but the names (or patterns) `without`, and the libraries of what is compiled in it."""
        compiled = []
        for root, folders, names in os.walk(source):
            folders[:] = [name for name in folders if not any(fnmatch(name, pattern) for pattern in without)]
            for name in names:
                path = Path(root, name)
                if not path.exists() or any(fnmatch(name, pattern) for pattern in without):
                    continue
                inside = str(PurePosixPath(at or str(source)) / path.relative_to(source))
                self.file(path.resolve() if path.is_symlink() else path, inside)
                if ".so" in name:
                    compiled.append(path)
        if compiled:
            self.libraries(compiled, but=source)

    def write(self, target: Path) -> str:
        """The tar's SHA-256, which is the layer's name in an image."""
        with tarfile.open(target, "w") as tar:
            for path in sorted(self.entries):
                _add(tar, path, self.entries[path])
        with target.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def _put(self, path: str, entry: Entry) -> None:
        inside = PurePosixPath(_inside(path))
        for parent in inside.parents:
            if str(parent) != ".":
                self.entries.setdefault(str(parent), Entry())
        self.entries[str(inside)] = entry


def base_layer() -> Layer:
    """Folders, users' files and the name service: what every image stands on; no program."""
    layer = Layer()
    for name in ("usr", "usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "etc", "var", "var/lib", "run", "proc", "sys"):
        layer.folder(name)
    for name in MERGED:
        layer.link(name, f"usr/{name}")
    for name in ("dev", "home", "opt"):
        layer.folder(name)
    layer.folder("root", mode=0o700)
    for name in ("tmp", "var/tmp"):
        layer.folder(name, mode=0o1777)
    layer.text("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n")
    return layer


def users(layer: Layer, **named: tuple[int, int]) -> None:
    """/etc/passwd and /etc/group with root, nobody and these."""
    everyone = {"root": (0, 0), **named, "nobody": (65534, 65534)}
    layer.text("etc/passwd", "".join(f"{name}:x:{uid}:{gid}::/:/bin/sh\n" for name, (uid, gid) in everyone.items()))
    groups = [f"{name}:x:{gid}:\n" for name, (_, gid) in everyone.items()]
    layer.text("etc/group", "".join(groups).replace("nobody:", "nogroup:"))


def shell(layer: Layer) -> None:
    """A shell and its small tools, as one program under many names."""
    layer.programs("busybox", "setpriv")
    shown = subprocess.run(["busybox", "--list"], capture_output=True, text=True, check=True, timeout=LDD_TIMEOUT_S)
    for name in shown.stdout.split():
        if name not in {"busybox", "setpriv"}:
            layer.link(f"/usr/bin/{name}", "busybox")


def _inside(path: str) -> str:
    parts = PurePosixPath(path.lstrip("/")).parts
    merged = ("usr", *parts) if len(parts) > 1 and parts[0] in MERGED else parts
    return str(PurePosixPath(*merged))


def _add(tar: tarfile.TarFile, path: str, entry: Entry) -> None:
    info = tarfile.TarInfo(path)
    info.mode, info.uid, info.gid = entry.mode, entry.uid, entry.gid
    if entry.source is not None:
        status = entry.source.stat()
        info.size, info.mtime = status.st_size, int(status.st_mtime)  # compiled Python belongs to its source's time
        with entry.source.open("rb") as file:
            tar.addfile(info, file)
    elif entry.content is not None:
        info.size = len(entry.content)
        tar.addfile(info, io.BytesIO(entry.content))
    elif entry.link is not None:
        info.type, info.linkname = tarfile.SYMTYPE, entry.link
        tar.addfile(info)
    else:
        info.type = tarfile.DIRTYPE
        tar.addfile(info)
