"""Brings the zip of a data set here: over http(s), bounded and resumable, or from an allowed folder.

Beside the cache stands what a URL gave last time (its ETag, its date, the hash of its zip), so that an unchanged
URL costs one question. A part of an interrupted download stays for the next try.
"""

import hashlib
import json
import os
import re
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

import httpx

from cvatd.core.urlguard import UrlGuard, guarded_client
from cvatd.training.datasets.cache import write_synced
from cvatd.training.datasets.errors import DatasetError
from cvatd.training.datasets.limits import MIB, DatasetLimits
from cvatd.training.datasets.progress import Progress

TRIES = 4  # in a row that bring less than a mebibyte
FIRST_PAUSE_S = 0.5  # before the second try; doubles
KEEP_PART_S = 7 * 86400.0
ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06")
TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}
Facts = dict[str, str]


@dataclass(frozen=True)
class Fetched:
    sha256: str
    zip: Path | None  # None: unchanged since last time, nothing was brought


class _Interrupted(Exception):
    """Worth another try; in words."""


class Fetcher:
    def __init__(self, folder: Path, limits: DatasetLimits, guard: UrlGuard, progress: Progress) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._limits, self._guard, self._progress = folder, limits, guard, progress

    def last_sha256(self, url: str) -> str | None:
        """The hash of the zip that this URL gave last time."""
        return _read_facts(self._memory(url)).get("sha256")

    def fetch(self, url: str, known: bool) -> Fetched:
        """Bring the zip. `known` says that the zip of last time is still at hand, so an unchanged one may stay away.

        Raises DatasetError, UrlRefused, IngestStopped.
        """
        self._sweep()
        bring = self._copy if url.startswith("file:") else self._download
        try:
            return bring(url, known)
        except DatasetError as error:
            if error.code != "dataset_download":  # what came is wrong: no use going on with it
                self.forget_zip(url)
            raise

    def remember(self, url: str, sha256: str) -> None:
        """The zip was good and is at hand from now on: next time ask only whether it changed."""
        part_facts = self._facts(url)
        write_synced(self._memory(url), json.dumps({**_read_facts(part_facts), "sha256": sha256}).encode())

    def forget_zip(self, url: str) -> None:
        for path in (self._part(url), self._facts(url)):
            path.unlink(missing_ok=True)

    # -- over http(s)

    def _download(self, url: str, known: bool) -> Fetched:
        deadline = time.monotonic() + self._limits.download_timeout_s
        timeout = httpx.Timeout(self._limits.stall_timeout_s)
        with guarded_client(self._guard, timeout, follow_redirects=True) as client:
            tries = 0
            while True:
                before = _size(self._part(url))
                try:
                    return self._try(client, url, known, deadline)
                except (_Interrupted, httpx.HTTPError) as error:
                    tries = 1 if _size(self._part(url)) - before >= MIB else tries + 1
                    if isinstance(error, httpx.TooManyRedirects) or tries >= TRIES:
                        raise _failed(_words(error, self._limits)) from error
                self._wait(FIRST_PAUSE_S * 2 ** (tries - 1), deadline)

    def _try(self, client: httpx.Client, url: str, known: bool, deadline: float) -> Fetched:
        part, memory, facts = self._part(url), _read_facts(self._memory(url)), _read_facts(self._facts(url))
        headers = {"Accept-Encoding": "identity"}
        if known:
            headers |= _pairs({"If-None-Match": memory.get("etag"), "If-Modified-Since": memory.get("modified")})
        elif (have := _size(part)) and (validator := _strong(facts)):
            headers |= {"Range": f"bytes={have}-", "If-Range": validator}
        with client.stream("GET", url, headers=headers) as answer:
            if answer.status_code == HTTPStatus.NOT_MODIFIED and known:
                write_synced(self._facts(url), json.dumps(memory).encode())
                return Fetched(memory["sha256"], None)
            start = self._start_of(answer, url)
            self._receive(answer, part, start, deadline)
        return Fetched(_sha256(part, self._progress), part)

    def _start_of(self, answer: httpx.Response, url: str) -> int:
        """The byte at which this answer's body begins."""
        status = answer.status_code
        if status == HTTPStatus.PARTIAL_CONTENT:
            found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("content-range", ""))
            if found and int(found[1]) == _size(self._part(url)):
                return int(found[1])
        if status in (HTTPStatus.PARTIAL_CONTENT, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE):
            self.forget_zip(url)
            raise _Interrupted("the server sent another part of the file than was asked for")
        if status in TRY_AGAIN:
            raise _Interrupted(f"the server answered {_status(status)}")
        if status != HTTPStatus.OK:
            raise _failed(f"the server answered {_status(status)}. {_advice(status)}")
        if answer.headers.get("content-encoding", "identity") != "identity":
            raise _failed("the server packs the zip once more (Content-Encoding); turn that off for it")
        facts = _pairs({"etag": answer.headers.get("etag"), "modified": answer.headers.get("last-modified")})
        self._part(url).unlink(missing_ok=True)
        write_synced(self._facts(url), json.dumps(facts).encode())
        return 0

    def _receive(self, answer: httpx.Response, part: Path, start: int, deadline: float) -> None:
        length = answer.headers.get("content-length", "")
        total = start + int(length) if length.isdecimal() and len(length) < 20 else None
        self._check_size(total or 0)
        done = start
        with part.open("ab") as out:
            self._progress.at("download", done, total, "bytes")
            for chunk in answer.iter_raw():
                if done < len(ZIP_STARTS[0]):
                    _check_start(_head(part, out) + chunk)
                done += len(chunk)
                self._check_size(done)
                out.write(chunk)
                self._progress.at("download", done, total, "bytes")
                if time.monotonic() > deadline:
                    raise self._too_slow()
        if total is not None and done < total:
            raise _Interrupted("the server closed the connection too early")

    # -- from a folder

    def _copy(self, url: str, known: bool) -> Fetched:
        """A copy, because a file that changes between its hash and its unpacking would poison the cache."""
        with self._open_local(url) as source:
            info = os.fstat(source.fileno())
            state = f"{info.st_dev}-{info.st_ino}-{info.st_size}-{info.st_mtime_ns}-{info.st_ctime_ns}"
            memory = _read_facts(self._memory(url))
            write_synced(self._facts(url), json.dumps({"file": state}).encode())
            if known and memory.get("file") == state:
                return Fetched(memory["sha256"], None)
            self._check_size(info.st_size)
            done = 0
            with self._part(url).open("wb") as out:
                while chunk := source.read(MIB):
                    if not done:
                        _check_start(chunk)
                    done += len(chunk)
                    self._check_size(done)
                    out.write(chunk)
                    self._progress.at("download", done, info.st_size, "bytes")
        if not done:
            raise DatasetError("dataset_not_zip", "the file is empty")
        return Fetched(_sha256(self._part(url), self._progress), self._part(url))

    def _open_local(self, url: str) -> BinaryIO:
        parts = urlsplit(url)
        if parts.netloc not in ("", "localhost") or not parts.path.startswith("/") or "%00" in parts.path:
            raise _failed("a file URL looks like file:///folder/data.zip")
        roots = [root.resolve() for root in self._limits.file_roots]
        path = Path(unquote(parts.path))
        refused = DatasetError(
            "dataset_file_refused",
            f"{path} is not a file below a folder that file:// data sets may lie in"
            + (f" ({', '.join(map(str, roots))})" if roots else "; none is allowed on this service"),
        )
        try:
            real = path.resolve(strict=True)
            if not any(real.is_relative_to(root) for root in roots):
                raise refused
            file = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except (OSError, RuntimeError, ValueError) as error:
            raise refused from error
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise refused
        return os.fdopen(file, "rb")

    # -- shared

    def _check_size(self, size: int) -> None:
        if size > self._limits.max_download_bytes:
            raise DatasetError(
                "dataset_too_large",
                f"the zip has more than {self._limits.max_download_bytes:,} bytes, the limit here",
            )

    def _wait(self, pause_s: float, deadline: float) -> None:
        until = time.monotonic() + pause_s
        while (now := time.monotonic()) < until:
            if now > deadline:
                raise self._too_slow()
            self._progress.pause_point()
            time.sleep(min(0.1, until - now))

    def _too_slow(self) -> DatasetError:
        return _failed(f"it was not complete after {self._limits.download_timeout_s:g} s, the limit here")

    def _sweep(self) -> None:
        for path in self._folder.glob("*.part*"):
            try:
                if path.stat().st_mtime < time.time() - KEEP_PART_S:
                    path.unlink()
            except FileNotFoundError:
                continue

    def _memory(self, url: str) -> Path:
        return self._folder / f"{url_key(url)}.json"

    def _part(self, url: str) -> Path:
        return self._folder / f"{url_key(url)}.part"

    def _facts(self, url: str) -> Path:
        return self._folder / f"{url_key(url)}.part.json"


def url_key(url: str) -> str:
    """A file name for a URL, which may hold secrets in its query and is written nowhere."""
    return hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()


def _check_start(head: bytes) -> None:
    if not any(start.startswith(head[:4]) for start in ZIP_STARTS):
        begins = head[:8].decode("ascii", "backslashreplace").encode("unicode_escape").decode()
        looks = (
            "it is a web page (is a sign-in in the way?)" if head.lstrip()[:1] == b"<" else f"it begins with {begins!r}"
        )
        raise DatasetError(
            "dataset_not_zip", f"what dataset_url leads to is no zip: {looks}. Pack the data set as a zip."
        )


def _head(part: Path, out: BinaryIO) -> bytes:
    out.flush()
    with part.open("rb") as file:
        return file.read(4)


def _strong(facts: Facts) -> str | None:
    """What If-Range may compare: a weak ETag proves nothing about bytes."""
    etag = facts.get("etag", "")
    return etag if etag and not etag.startswith("W/") else facts.get("modified")


def _pairs(given: dict[str, str | None]) -> Facts:
    return {key: value for key, value in given.items() if value}


def _read_facts(path: Path) -> Facts:
    try:
        facts = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _sha256(path: Path, progress: Progress) -> str:
    digest = hashlib.sha256()
    for chunk in _chunks(path):
        progress.pause_point()
        digest.update(chunk)
    return digest.hexdigest()


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(MIB):
            yield chunk


def _failed(words: str) -> DatasetError:
    return DatasetError("dataset_download", f"the data set could not be downloaded: {words}")


def _words(error: Exception, limits: DatasetLimits) -> str:
    match error:
        case httpx.ConnectError() | httpx.ConnectTimeout():
            return f"no connection to the server ({error})"
        case httpx.TimeoutException():
            return f"the server sent nothing for {limits.stall_timeout_s:g} s, {TRIES} times in a row"
        case httpx.TooManyRedirects():
            return "the server redirects in a circle, or too often"
        case _:
            return str(error) or type(error).__name__


def _status(code: int) -> str:
    try:
        return f"{code} {HTTPStatus(code).phrase}"
    except ValueError:
        return str(code)


def _advice(code: int) -> str:
    match code:
        case 404 | 410:
            return "There is nothing at dataset_url; check it."
        case 401 | 403:
            return "It wants a permission; perhaps the link has expired."
        case _:
            return "Check dataset_url."
