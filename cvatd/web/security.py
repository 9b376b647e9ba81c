"""Who calls, and whether the call comes from our own page: by token, by session, or by a signed link to one file."""

import hmac
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

import psycopg
from fastapi import Form, Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cvatd.core import tokens
from cvatd.core.database import Pool
from cvatd.core.errors import CvatdError
from cvatd.core.secrets import check_signed_path
from cvatd.web.problems import STORE_AWAY, problem, wants_page

COOKIE = "cvatd_session"
FORM_PATHS = ("/training/", "/signin", "/signout")  # each checks the CSRF word of its form
MAX_BODY_BYTES = 1 << 20  # images do not travel in a request: it names where they are
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]", "::1", "testserver"})
DEV_CSRF = "dev"
HEADERS = {
    "content-security-policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'self'; object-src 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "x-frame-options": "DENY",
}


class Sessions:
    """Browser sessions, as the sign-in page uses them."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def sign_in(self, token: str) -> str | None:
        """The cookie's value for a right token; None for a wrong one."""
        with self._pool.connection() as connection:
            caller = tokens.verify(connection, token.strip())
            return tokens.open_session(connection, caller) if caller else None

    def sign_out(self, cookie: str) -> None:
        with self._pool.connection() as connection:
            tokens.close_session(connection, cookie)


@dataclass(frozen=True)
class Guard:
    """What decides about a request. `key` signs links; with `auth` off only loopback names are served."""

    pool: Pool
    key: str
    auth: bool

    def admit(self, request: Request) -> None:
        """Set `request.state.account` and `.csrf`. Raises CvatdError "unauthorized", "csrf", "origin"."""
        request.state.account, request.state.csrf = None, ""
        if not self.auth:
            self._admit_dev(request)
            return
        path = request.url.path
        if path == "/health" or path.startswith("/static/"):
            return
        if self._by_token(request) or self._by_session(request) or self._by_link(request):
            return
        if path == "/signin":
            refuse_foreign_origin(request)
        else:
            raise CvatdError(
                "unauthorized",
                "This needs a token: `Authorization: Bearer cvatd_...`. `cvatd token create NAME` makes one.",
            )

    def _admit_dev(self, request: Request) -> None:
        """Without sign-in, a page of another site must not be able to act through the browser on this machine."""
        request.state.account, request.state.csrf = "dev", DEV_CSRF
        if request.url.hostname not in LOOPBACK_NAMES:
            raise CvatdError("origin", "cvatd dev answers to localhost alone. Sign-in is off here.")
        refuse_foreign_origin(request)

    def _by_token(self, request: Request) -> bool:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return False
        with self.pool.connection() as connection:
            caller = tokens.verify(connection, token.strip())
        if caller is None:
            raise CvatdError("unauthorized", "This token opens nothing: it is unknown or was revoked.")
        request.state.account = caller.name
        return True

    def _by_session(self, request: Request) -> bool:
        cookie = request.cookies.get(COOKIE)
        if not cookie:
            return False
        with self.pool.connection() as connection:
            session = tokens.session(connection, cookie)
        if session is None:
            return False
        request.state.account, request.state.csrf = session.name, session.csrf
        if request.method not in SAFE_METHODS:
            refuse_foreign_origin(request)
            # The forms of pages repeat the word in a field, which is checked where the form is read.
            if not request.url.path.startswith(FORM_PATHS) and not hmac.compare_digest(
                request.headers.get("x-csrf-token", "").encode(), session.csrf.encode()
            ):
                raise CvatdError("csrf", "A write from a browser session needs the header X-CSRF-Token of its page.")
        return True

    def _by_link(self, request: Request) -> bool:
        query = request.query_params
        return request.method in {"GET", "HEAD"} and check_signed_path(
            self.key,
            request.scope["raw_path"].decode("ascii", "replace"),
            query.get("expires", ""),
            query.get("signature", ""),
        )


def refuse_foreign_origin(request: Request) -> None:
    """Browsers say where a write comes from; programs do not."""
    if request.method in SAFE_METHODS:
        return
    origin = request.headers.get("origin")
    site = request.headers.get("sec-fetch-site", "same-origin")
    if (origin and urlsplit(origin).netloc != request.headers.get("host")) or site not in {"same-origin", "none"}:
        raise CvatdError("origin", "This write comes from a page of another site and is refused.")


def check_csrf(request: Request, csrf_token: Annotated[str, Form(max_length=200)] = "") -> None:
    """For the forms of pages. Raises CvatdError "csrf"."""
    known: str = request.state.csrf
    if not known or not hmac.compare_digest(csrf_token.encode(), known.encode()):
        raise CvatdError("csrf", "The page is too old for this. Load it again, then repeat what you did.")


class BodyTooLarge(Exception):
    """Ends the reading of a body."""


class GuardMiddleware:
    """Admits or answers, and sets the headers of every answer."""

    def __init__(self, app: ASGIApp, guard: Guard) -> None:
        self._app = app
        self._guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await run_in_threadpool(self._guard.admit, request)
        except psycopg.OperationalError:
            await problem(503, "store_away", STORE_AWAY)(scope, receive, send_with_headers)
            return
        except CvatdError as error:
            await self._refuse(request, error)(scope, receive, send_with_headers)
            return
        await self._serve_bounded(request, receive, send_with_headers)

    async def _serve_bounded(self, request: Request, receive: Receive, send: Send) -> None:
        """Serve a request whose body is counted while it comes in; one that is too large is answered by us."""
        declared = request.headers.get("content-length", "")
        seen = int(declared) if declared.isdecimal() else 0
        too_large = seen > MAX_BODY_BYTES

        async def counted() -> Message:
            nonlocal seen, too_large
            message = await receive()
            seen += 0 if declared else len(message.get("body", b""))
            if seen > MAX_BODY_BYTES:
                too_large = True
                raise BodyTooLarge
            return message

        async def unless_too_large(message: Message) -> None:
            if not too_large:
                await send(message)

        if not too_large:
            try:
                await self._app(request.scope, counted, unless_too_large)
            except Exception:
                if not too_large:
                    raise
        if too_large:
            words = f"A request may have {MAX_BODY_BYTES >> 20} MB. Images do not travel in it: name a dataset_url."
            await problem(413, "too_large", words)(request.scope, receive, send)

    def _refuse(self, request: Request, error: CvatdError) -> ASGIApp:
        from starlette.responses import PlainTextResponse, RedirectResponse

        if not wants_page(request):
            return problem(401 if error.code == "unauthorized" else 403, error.code, error.message)
        if error.code == "unauthorized":
            return RedirectResponse("/signin", 303)
        return PlainTextResponse(error.message, 403)
