"""Who may call: API tokens, and the browser sessions opened with them."""

import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime

from cvatd.core.database import Connection
from cvatd.core.errors import CvatdError
from cvatd.core.queries import queries
from cvatd.core.secrets import hash_secret, new_token, parse_token

SESSION_LASTS_S = 14 * 24 * 3600.0


@dataclass(frozen=True)
class ApiToken:
    id: str
    name: str
    created_at: datetime
    used_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True)
class Caller:
    """Whose token was shown."""

    id: str
    name: str


@dataclass(frozen=True)
class Session:
    """A signed-in browser: whose token opened it, and the word that each of its writes must repeat."""

    name: str
    csrf: str


def create(connection: Connection, name: str) -> str:
    """Make a token and return it whole: it is shown this once and cannot be read again."""
    token = new_token()
    values = {"id": token.id, "name": name, "hash": hash_secret(token.secret)}
    connection.execute(_sql("create"), values)
    return str(token)


def list_tokens(connection: Connection) -> list[ApiToken]:
    return [ApiToken(**row) for row in connection.execute(_sql("list"))]


def revoke(connection: Connection, token_id: str) -> None:
    """The token opens nothing from now on, nor do sessions made with it. Raises CvatdError."""
    if connection.execute(_sql("revoke"), {"id": token_id}).fetchone() is None:
        raise CvatdError("token_unknown", f"There is no token {token_id!r}. `cvatd token list` shows those there are.")


def verify(connection: Connection, text: str) -> Caller | None:
    """Who calls with this token; None when it opens nothing."""
    token = parse_token(text)
    row = connection.execute(_sql("find"), {"id": token.id}).fetchone() if token else None
    # An unknown id costs the same comparison as a known one.
    stored = row["hash"] if row else hash_secret("")
    if not hmac.compare_digest(hash_secret(token.secret if token else "-"), stored) or row is None:
        return None
    connection.execute(_sql("touch"), {"id": row["id"]})
    return Caller(row["id"], row["name"])


def open_session(connection: Connection, token: Caller) -> str:
    """The value of the cookie."""
    cookie = secrets.token_urlsafe(32)
    values = {
        "hash": hash_secret(cookie),
        "token": token.id,
        "csrf": secrets.token_urlsafe(32),
        "lasts_s": SESSION_LASTS_S,
    }
    connection.execute(_sql("open_session"), values)
    return cookie


def session(connection: Connection, cookie: str) -> Session | None:
    row = connection.execute(_sql("session"), {"hash": hash_secret(cookie)}).fetchone()
    return Session(**row) if row else None


def close_session(connection: Connection, cookie: str) -> None:
    connection.execute(_sql("close_session"), {"hash": hash_secret(cookie)})


def _sql(name: str) -> str:
    return queries(__package__, "tokens.sql")[name]
