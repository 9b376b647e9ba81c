"""The outbox: messages are rows written with the facts they tell, and sent by a loop of its own.

At-least-once, in order per run, with an id that stays the same at each try.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
from psycopg.types.json import Jsonb

from cvatd.core import log, webhook
from cvatd.core.database import Connection, Pool
from cvatd.core.errors import CvatdError
from cvatd.core.queries import queries
from cvatd.core.urlguard import UrlGuard, guarded_client

CONNECT_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 30.0
# Longer than any try can take: connecting, sending a model over a slow line, waiting for the answer.
CLAIM_LEASE_S = 300.0

logger = log.get(__name__)


@dataclass(frozen=True)
class Message:
    """What is sent: where to, the bearer token of the receiver, and the body as text."""

    url: str
    token: str | None
    body: str


@dataclass(frozen=True)
class Delivery:
    id: UUID
    seq: int
    job: int
    type: str
    state: str
    attempts: int
    next_at: datetime
    last_error: str | None
    created_at: datetime
    delivered_at: datetime | None


# Builds the message of a claimed row (id, job, type, data, created_at); None when nobody is to be told any more.
Render = Callable[[Connection, dict[str, Any]], Message | None]


def put(connection: Connection, job: int, kind: str, data: dict[str, Any], replaces: bool = False) -> None:
    """Write a message in the caller's transaction; with `replaces`, older ones of its kind that were tried and
    not received are dropped."""
    if replaces:
        connection.execute(queries(__package__, "outbox.sql")["supersede"], {"job": job, "type": kind})
    connection.execute(queries(__package__, "outbox.sql")["put"], {"job": job, "type": kind, "data": Jsonb(data)})


def list_deliveries(
    connection: Connection,
    job: int | None = None,
    state: str | None = None,
    before: int | None = None,
    limit: int = 100,
) -> list[Delivery]:
    """Newest first."""
    values = {"job": job, "state": state, "before": before, "limit": limit}
    return [Delivery(**row) for row in connection.execute(queries(__package__, "outbox.sql")["list"], values)]


def replay(connection: Connection, delivery: UUID) -> None:
    """Send a message again, from the first attempt on. Raises CvatdError."""
    statements = queries(__package__, "outbox.sql")
    if connection.execute(statements["replay"], {"id": delivery}).fetchone() is None:
        row = connection.execute(statements["exists"], {"id": delivery}).fetchone()
        if row is None:
            raise CvatdError("delivery_unknown", f"There is no delivery {delivery}.")
        raise CvatdError("delivery_state", f"The delivery is {row['state']}: only sent or failed ones go out again.")


class Sender:
    """Sends what is due, one message at a time; several may run side by side."""

    def __init__(self, pool: Pool, guard: UrlGuard, key: str, render: Render) -> None:
        self._pool = pool
        self._key = key
        self._render = render
        self._client = guarded_client(
            guard, timeout=httpx.Timeout(ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S), follow_redirects=False
        )

    def close(self) -> None:
        self._client.close()

    def send_one(self) -> bool:
        """Send the next message that is due; False when there is none."""
        with self._pool.connection() as connection:
            row = connection.execute(queries(__package__, "outbox.sql")["claim"], {"lease_s": CLAIM_LEASE_S}).fetchone()
            message = self._render(connection, row) if row else None
        if row is None:
            return False
        verdict = self._try(row, message) if message else webhook.GiveUp("The run no longer names a receiver.")
        self._record(row, verdict)
        return True

    def _try(self, row: dict[str, Any], message: Message) -> webhook.Verdict:
        now = datetime.now(UTC)
        headers = {
            "content-type": "application/json",
            **webhook.signed_headers(self._key, str(row["id"]), message.body, now),
            **({"authorization": f"Bearer {message.token}"} if message.token else {}),
        }
        try:
            # The answer's body is of no use, and may be endless: only its head is read.
            with self._client.stream("POST", message.url, content=message.body.encode(), headers=headers) as answer:
                status, retry_after = answer.status_code, answer.headers.get("retry-after")
            return webhook.judge(row["attempts"], status, "", retry_after, now)
        except CvatdError as error:
            return webhook.judge(row["attempts"], None, error.message, None, now)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            words = f"The receiver was not reached: {type(error).__name__}: {error}"
            return webhook.judge(row["attempts"], None, words, None, now)

    def _record(self, row: dict[str, Any], verdict: webhook.Verdict) -> None:
        statements = queries(__package__, "outbox.sql")
        values: dict[str, Any] = {"id": row["id"], "attempts": row["attempts"]}
        match verdict:
            case webhook.Delivered():
                name = "delivered"
            case webhook.Retry(after_s, error):
                name, values = "retry", {**values, "after_s": after_s, "error": error}
            case webhook.GiveUp(error):
                name, values = "give_up", {**values, "error": error}
        with self._pool.connection() as connection:
            connection.execute(statements[name], values)
        if name != "delivered":
            logger.warning("callback not delivered", run=row["job"], type=row["type"], outcome=name, error=error)
