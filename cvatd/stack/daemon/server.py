"""Answers GET on a Unix socket. Whoever may open it is let in, and may neither stop nor fill up the daemon:
few at a time, each with a bound on its request's size and on the time that it takes.
"""

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cvatd.core import log
from cvatd.core.errors import CvatdError

MOST_CALLERS = 16
QUEUE = 128
MOST_REQUEST_BYTES = 8 << 10
REQUEST_S = 5.0
ANSWER_S = 10.0
SOCKET_MODE = 0o660
JSON = "application/json"
REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    413: "Content Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}

logger = log.get("cvatd.daemon")


@dataclass(frozen=True)
class Page:
    body: bytes
    type: str = JSON
    status: int = 200


def json_page(value: object, status: int = 200) -> Page:
    return Page(json.dumps(value, ensure_ascii=False).encode() + b"\n", JSON, status)


def fault(status: int, code: str, message: str) -> Page:
    return json_page({"code": code, "message": message}, status)


class Server:
    """`pages` maps a path to what makes its answer; a CvatdError of it is a 503 with its words."""

    def __init__(self, file: Path, pages: Mapping[str, Callable[[], Page]]) -> None:
        self._file = file
        self._pages = pages
        self._places = threading.BoundedSemaphore(MOST_CALLERS)
        self._listener = _listen(file)
        self._ours = os.stat(file)

    def start(self) -> None:
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Also takes the socket's file away, unless it is another's by now."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.stat(self._file), self._ours):
                self._file.unlink()

    def _accept(self) -> None:
        while True:
            try:
                caller, _ = self._listener.accept()
            except OSError:
                if self._listener.fileno() < 0:
                    return
                time.sleep(0.1)  # out of file descriptors, it may get better
                continue
            if self._places.acquire(blocking=False):
                threading.Thread(target=self._serve, args=(caller,), daemon=True).start()
            else:
                caller.setblocking(False)
                _send(caller, fault(503, "busy", f"{MOST_CALLERS} others are asking the daemon. Try again."), True)
                caller.close()

    def _serve(self, caller: socket.socket) -> None:
        try:
            with caller:
                head_only, page = self._answer(caller)
                caller.settimeout(ANSWER_S)
                _send(caller, page, not head_only)
        except OSError:
            pass  # it went away
        finally:
            self._places.release()

    def _answer(self, caller: socket.socket) -> tuple[bool, Page]:
        try:
            method, path = read_request(caller)
        except TimeoutError:
            return False, fault(408, "slow", f"The request did not come within {REQUEST_S:g} s.")
        except ValueError as error:
            return False, fault(413 if "large" in str(error) else 400, "invalid", str(error))
        if method not in {"GET", "HEAD"}:
            return False, fault(405, "invalid", "The daemon answers GET alone.")
        make = self._pages.get(path)
        if make is None:
            return False, fault(404, "unknown", f"There is {', '.join(sorted(self._pages))}.")
        try:
            return method == "HEAD", make()
        except CvatdError as error:
            return False, fault(503, error.code, error.message)
        except Exception:
            logger.exception("an answer failed", path=path)
            return False, fault(500, "internal", "The daemon failed at this answer; its log says how.")


def read_request(caller: socket.socket) -> tuple[str, str]:
    """Method and path (without its query) of a request. Raises ValueError, TimeoutError, OSError."""
    deadline = time.monotonic() + REQUEST_S
    received = bytearray()
    while b"\r\n\r\n" not in received:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        caller.settimeout(left_s)
        chunk = caller.recv(MOST_REQUEST_BYTES)
        received += chunk
        if len(received) > MOST_REQUEST_BYTES:
            raise ValueError(f"The request is too large: {MOST_REQUEST_BYTES} bytes are taken.")
        if not chunk:
            raise ValueError("The request ends before its end.")
    parts = bytes(received.split(b"\r\n", 1)[0]).split(b" ")
    if len(parts) != 3 or not parts[2].startswith(b"HTTP/1.") or not parts[1].startswith(b"/"):
        raise ValueError("This is no HTTP request.")
    return parts[0].decode("latin-1"), parts[1].split(b"?")[0].decode("latin-1")


def _send(caller: socket.socket, page: Page, with_body: bool) -> None:
    head = (
        f"HTTP/1.1 {page.status} {REASONS[page.status]}\r\nContent-Type: {page.type}\r\n"
        f"Content-Length: {len(page.body)}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    with contextlib.suppress(OSError):
        caller.sendall(head.encode() + (page.body if with_body else b""))


def _listen(file: Path) -> socket.socket:
    """Raises CvatdError "busy" when a living daemon answers there, "socket" when it cannot be made.

    Made under another name and renamed: a file that a killed daemon left is replaced, and the mode is right at once.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    fresh = file.with_name(f"{file.name}.new")
    try:
        file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        _check_free(file)
        fresh.unlink(missing_ok=True)
        listener.bind(str(fresh))
        fresh.chmod(SOCKET_MODE)
        listener.listen(QUEUE)
        fresh.rename(file)
    except OSError as error:
        listener.close()
        raise CvatdError("socket", f"The socket {file} cannot be made: {error}. Is stack.socket right?") from None
    except CvatdError:
        listener.close()
        raise
    return listener


def _check_free(file: Path) -> None:
    if _somebody_answers(file):
        raise CvatdError("busy", f"Another daemon answers at {file}. Stop it, or set stack.socket to another path.")
    if file.exists() and not file.is_socket():
        raise CvatdError("socket", f"{file} is there and is no socket. Move it away, or set stack.socket.")


def _somebody_answers(file: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        caller.settimeout(1)
        try:
            caller.connect(str(file))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except (BlockingIOError, TimeoutError):
            return True  # its queue is full: it lives
        return True
