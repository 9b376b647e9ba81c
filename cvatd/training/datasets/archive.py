"""Opens a zip from a stranger: judges its table of contents, then unpacks chosen members counting real bytes.

What the table says decides nothing about space: while unpacking, the bytes that really come out are counted.
Members nobody asked for (a nested archive, a program) are never opened.
"""

import io
import re
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from cvatd.training.datasets.errors import DatasetError, listed
from cvatd.training.datasets.layout import is_junk
from cvatd.training.datasets.limits import MIB, DatasetLimits

CHUNK_BYTES = MIB
RATIO_FROM_BYTES = 16 * MIB  # what unpacks to less is small, whatever its ratio
MAX_PATH_BYTES = 1024
MAX_PART_BYTES = 200  # of one folder or file name; file systems allow 255, and images get a longer name
MAX_DEPTH = 16  # folders
LOCAL_HEADER_BYTES = 30  # fixed part of the header before each member
ENTRY_SIGNATURE = b"PK\x01\x02"
ENTRY_BYTES = 320  # of the table of contents, for each member allowed
ENCRYPTED_FLAGS = 0x1 | 0x40 | 0x2000
READABLE = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}  # the others unpack without a bound on memory

BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OverflowError,
    IndexError,
    KeyError,
)


class Archive:
    """A zip whose table of contents was found harmless. `members` maps a clean name to its entry."""

    def __init__(self, file: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo], packed: int) -> None:
        self._file = file
        self.members = members
        self._packed_bytes = packed

    def read(self, name: str, max_bytes: int) -> bytes:
        """A small member as a whole: at most `max_bytes` + 1 bytes, so that a longer one is seen as such."""
        with _broken_as(name), self._file.open(self.members[name]) as source:
            return source.read(max_bytes + 1)

    def unpack(
        self,
        chosen: Sequence[tuple[str, Path]],
        limits: DatasetLimits,
        progress: Callable[[int], None],
    ) -> int:
        """Write the chosen members to their paths; returns the bytes written.

        `progress` is told the bytes so far. Raises DatasetError (`dataset_bomb`, `dataset_not_zip`).
        """
        written = 0
        for name, path in sorted(chosen, key=lambda pair: self.members[pair[0]].header_offset):
            with path.open("xb") as out:
                for chunk in self._chunks(name):
                    written += len(chunk)
                    check_size(written, self._packed_bytes, limits)
                    out.write(chunk)
                    progress(written)
        return written

    def _chunks(self, name: str) -> Iterator[bytes]:
        with _broken_as(name), self._file.open(self.members[name]) as source:
            while chunk := source.read(CHUNK_BYTES):
                yield chunk


@contextmanager
def open_archive(path: Path, limits: DatasetLimits) -> Iterator[Archive]:
    """Open and judge. Raises DatasetError: dataset_not_zip, dataset_path, dataset_bomb, dataset_too_large, ..."""
    with path.open("rb") as raw:
        table = _BoundedReads(raw, limits.max_files)
        with _broken_as(None):
            file = zipfile.ZipFile(table)
        with file:
            yield Archive(file, _judge(file, limits), path.stat().st_size)


def check_size(unpacked: int, packed: int, limits: DatasetLimits) -> None:
    """Raises DatasetError `dataset_bomb` when a zip of `packed` bytes may not give `unpacked` bytes."""
    if unpacked > limits.max_unpacked_bytes:
        raise DatasetError(
            "dataset_bomb", f"the zip unpacks to more than {limits.max_unpacked_bytes:,} bytes, the limit here"
        )
    if unpacked > RATIO_FROM_BYTES and unpacked > packed * limits.max_ratio:
        raise DatasetError(
            "dataset_bomb",
            f"the zip of {packed:,} bytes unpacks to more than {limits.max_ratio:g} times its size; "
            "this looks like a zip bomb",
        )


class _BoundedReads(io.BufferedIOBase):
    """Stands before the file while zipfile reads its table of contents, which it reads in one piece."""

    def __init__(self, raw: BinaryIO, max_files: int) -> None:
        self._raw = raw
        self._max_files = max_files
        self._max_bytes = MIB + max_files * ENTRY_BYTES

    def read(self, size: int | None = -1, /) -> bytes:
        wanted = self._max_bytes + 1 if size is None or size < 0 else min(size, self._max_bytes + 1)
        data = self._raw.read(wanted)
        if len(data) > self._max_bytes:
            raise _too_many(self._max_files)
        # Image bytes may hold the signature too, but never this often in a piece read for unpacking.
        if data.count(ENTRY_SIGNATURE) > self._max_files:
            raise _too_many(self._max_files)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._raw.seek(offset, whence)

    def tell(self) -> int:
        return self._raw.tell()

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True


def _judge(file: zipfile.ZipFile, limits: DatasetLimits) -> dict[str, zipfile.ZipInfo]:
    infos = file.infolist()
    if len(infos) > limits.max_files:
        raise _too_many(limits.max_files)
    members: dict[str, zipfile.ZipInfo] = {}
    seen: dict[str, str] = {}
    bad: list[str] = []
    for info in infos:
        name, problem = _clean_name(info)
        problem = problem or _entry_problem(info)
        if problem:
            bad.append(f"{_shown(info.orig_filename)}: {problem}")
        elif not _is_folder(info):
            key = unicodedata.normalize("NFC", name).casefold()
            if key in seen:
                bad.append(f"{_shown(name)}: the name occurs twice (also as {_shown(seen[key])})")
            seen[key] = name
            members[name] = info
    bad += [f"{_shown(name)}: is a file and a folder at once" for name in _also_folders(seen)]
    if bad:
        raise DatasetError("dataset_path", f"the zip holds entries that are not unpacked here:\n{listed(bad)}")
    _refuse_overlap(infos, file.start_dir)
    # Junk counts as well: a bomb in a hidden file is a bomb.
    check_size(sum(i.file_size for i in infos), sum(i.compress_size for i in infos), limits)
    return {name: info for name, info in members.items() if not is_junk(name)}


def _clean_name(info: zipfile.ZipInfo) -> tuple[str, str | None]:
    """The member's name without empty and `.` parts, and what is wrong with it."""
    name = info.orig_filename  # zipfile cuts `filename` at a NUL
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if any(unicodedata.category(c) in ("Cc", "Cs") for c in name):
        return name, "the name holds control characters"
    if "\\" in name:
        return name, "the name holds a backslash; folders are separated by /"
    if name.startswith("/") or re.match(r"[A-Za-z]:", name):
        return name, "the path is absolute"
    if ".." in parts:
        return name, "the path leads out of the zip (..)"
    if len(parts) > MAX_DEPTH or len(name.encode()) > MAX_PATH_BYTES:
        return name, "the path is too long"
    if any(len(part.encode()) > MAX_PART_BYTES for part in parts):
        return name, f"a part of the name is longer than {MAX_PART_BYTES} bytes"
    return "/".join(parts), None if parts or _is_folder(info) else "the name is empty"


def _is_folder(info: zipfile.ZipInfo) -> bool:
    return info.orig_filename.endswith("/")


def _entry_problem(info: zipfile.ZipInfo) -> str | None:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind == stat.S_IFLNK:
        return "is a symbolic link"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a device or another special file"
    if info.flag_bits & ENCRYPTED_FLAGS:
        return "is encrypted; make the zip without a password"
    if info.compress_type not in READABLE:
        return "is packed with a rare method; use the ordinary one (deflate) or none"
    return None


def _also_folders(seen: Mapping[str, str]) -> list[str]:
    folders = set()
    for key in seen:
        while key := key.rpartition("/")[0]:
            folders.add(key)
    return [name for key, name in seen.items() if key in folders]


def _refuse_overlap(infos: Sequence[zipfile.ZipInfo], table_at: int) -> None:
    """Entries that share bytes make gigabytes out of kilobytes."""
    end = 0
    for info in sorted(infos, key=lambda i: i.header_offset):
        if info.header_offset < end:
            raise DatasetError("dataset_bomb", f"entries of the zip overlap at {_shown(info.orig_filename)}")
        end = info.header_offset + LOCAL_HEADER_BYTES + info.compress_size
    if end > table_at:
        raise DatasetError("dataset_not_zip", "the zip is damaged: an entry reaches into its table of contents")


@contextmanager
def _broken_as(name: str | None) -> Iterator[None]:
    """zipfile's many ways to say that bytes make no sense, as one error."""
    try:
        yield
    except BROKEN as error:
        where = f" at {_shown(name)}" if name else ""
        raise DatasetError("dataset_not_zip", f"the file is no zip, or a damaged one{where}: {error}") from error


def _too_many(max_files: int) -> DatasetError:
    return DatasetError("dataset_too_large", f"the zip holds more than {max_files:,} files, the limit here")


def _shown(name: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in name[:120])
