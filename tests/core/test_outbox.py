"""Callbacks to a real receiver: in order, signed, again when it was down."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from standardwebhooks import Webhook

from cvatd.core import outbox
from cvatd.core.database import Connection, Pool
from cvatd.core.errors import CvatdError
from cvatd.core.urlguard import UrlGuard
from cvatd.training import store
from cvatd.training.jobs import NewRun
from tests.serving import running

KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Receiver:
    def __init__(self) -> None:
        self.seen: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[int] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.seen.append(({k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(receiver.answers.pop(0) if receiver.answers else 200)
                self.send_header("location", "http://169.254.169.254/")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    with running(made.server):
        yield made


@pytest.fixture
def sender(pool: Pool, receiver: Receiver) -> Iterator[outbox.Sender]:
    def render(_: Connection, row: dict[str, Any]) -> outbox.Message:
        return outbox.Message(receiver.url, "their-token", json.dumps(row["data"]))

    made = outbox.Sender(pool, UrlGuard(["127.0.0.0/8"]), KEY, render)
    yield made
    made.close()


@pytest.fixture
def job(pool: Pool) -> int:
    return add_job(pool, "a")


def add_job(pool: Pool, name: str) -> int:
    with pool.connection() as connection:
        run = store.insert(connection, NewRun(name, "x", "u", "https://e/", None, "m", None, {}, {}, 1))
    assert run is not None
    return run.id


def put(pool: Pool, job: int, number: int) -> None:
    with pool.connection() as connection:
        outbox.put(connection, job, "t", {"n": number})


def make_due(pool: Pool) -> None:
    with pool.connection() as connection:
        connection.execute("UPDATE deliveries SET next_at = now()")


def numbers(receiver: Receiver) -> list[int]:
    return [json.loads(body)["n"] for _, body in receiver.seen]


def test_in_order_with_token_and_signature(pool: Pool, sender: outbox.Sender, receiver: Receiver, job: int) -> None:
    for number in range(3):
        put(pool, job, number)
    while sender.send_one():
        pass
    assert numbers(receiver) == [0, 1, 2]
    headers, body = receiver.seen[0]
    assert headers["authorization"] == "Bearer their-token"
    assert Webhook(KEY).verify(body.decode(), headers) == {"n": 0}


def test_a_receiver_that_is_down_holds_back_its_own_run_alone(
    pool: Pool, sender: outbox.Sender, receiver: Receiver, job: int
) -> None:
    receiver.answers = [503]
    put(pool, job, 1)
    put(pool, job, 2)
    other = add_job(pool, "b")
    assert sender.send_one()
    assert not sender.send_one(), "the second message waits for the first"
    put(pool, other, 9)
    assert sender.send_one()
    make_due(pool)
    while sender.send_one():
        pass
    assert numbers(receiver) == [1, 9, 1, 2]
    first, again = receiver.seen[0][0], receiver.seen[2][0]
    assert first["webhook-id"] == again["webhook-id"], "the id is the same at each try"


def test_redirects_are_not_followed(pool: Pool, sender: outbox.Sender, receiver: Receiver, job: int) -> None:
    receiver.answers = [307]
    put(pool, job, 1)
    sender.send_one()
    with pool.connection() as connection:
        (delivery,) = outbox.list_deliveries(connection, job)
    assert delivery.state == "pending"
    assert "Redirects" in (delivery.last_error or "")
    assert len(receiver.seen) == 1


def test_given_up_is_visible_and_can_be_replayed(
    pool: Pool, sender: outbox.Sender, receiver: Receiver, job: int
) -> None:
    receiver.answers = [410]
    put(pool, job, 1)
    put(pool, job, 2)
    sender.send_one()
    with pool.connection() as connection:
        (failed,) = outbox.list_deliveries(connection, job, state="failed")
        outbox.replay(connection, failed.id)
    while sender.send_one():
        pass
    assert numbers(receiver) == [1, 1, 2]
    with pool.connection() as connection:
        assert {d.state for d in outbox.list_deliveries(connection, job)} == {"delivered"}


def test_a_sender_that_died_leaves_its_message_to_the_next(
    pool: Pool, sender: outbox.Sender, receiver: Receiver, job: int
) -> None:
    put(pool, job, 1)
    with pool.connection() as connection:
        connection.execute("UPDATE deliveries SET claimed_until = now() + interval '1 minute', attempts = 1")
    assert not sender.send_one()
    with pool.connection() as connection:
        connection.execute("UPDATE deliveries SET claimed_until = now() - interval '1 second'")
    assert sender.send_one()
    assert numbers(receiver) == [1]


def test_a_receiver_inside_is_never_reached(pool: Pool, receiver: Receiver, job: int) -> None:
    put(pool, job, 1)
    strict = outbox.Sender(pool, UrlGuard([]), KEY, lambda _c, _r: outbox.Message(receiver.url, None, "{}"))
    strict.send_one()
    strict.close()
    assert receiver.seen == []
    with pool.connection() as connection:
        assert "127.0.0.1" in (outbox.list_deliveries(connection, job)[0].last_error or "")


def test_replaying_what_is_pending_or_unknown_says_so(pool: Pool, job: int) -> None:
    from uuid import uuid4

    put(pool, job, 1)
    with pool.connection() as connection:
        (delivery,) = outbox.list_deliveries(connection, job)
        with pytest.raises(CvatdError, match="pending"):
            outbox.replay(connection, delivery.id)
        with pytest.raises(CvatdError, match="no delivery"):
            outbox.replay(connection, uuid4())
