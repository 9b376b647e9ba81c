"""Who may call."""

import pytest

from cvatd.core import tokens
from cvatd.core.database import Pool
from cvatd.core.errors import CvatdError


def test_a_token_opens_until_it_is_revoked(pool: Pool) -> None:
    with pool.connection() as connection:
        text = tokens.create(connection, "ci")
        caller = tokens.verify(connection, text)
        assert caller is not None
        assert caller.name == "ci"
        cookie = tokens.open_session(connection, caller)
        assert tokens.session(connection, cookie) is not None
        tokens.revoke(connection, caller.id)
        assert tokens.verify(connection, text) is None
        assert tokens.session(connection, cookie) is None, "a session dies with its token"


def test_the_store_keeps_no_secret(pool: Pool) -> None:
    with pool.connection() as connection:
        text = tokens.create(connection, "ci")
        row = connection.execute("SELECT t::text AS row FROM api_tokens t").fetchone()
        assert row is not None
        assert text.rsplit("_", 1)[1] not in row["row"]


@pytest.mark.parametrize("text", ["", "cvatd", "cvatd__", "cvatd_x_y", "other_a_b", "cvatd_" + "x" * 5000, "\x00"])
def test_anything_else_opens_nothing(pool: Pool, text: str) -> None:
    with pool.connection() as connection:
        tokens.create(connection, "ci")
        if "\x00" not in text:
            assert tokens.verify(connection, text) is None


def test_a_right_id_with_a_wrong_secret_opens_nothing(pool: Pool) -> None:
    with pool.connection() as connection:
        text = tokens.create(connection, "ci")
        assert tokens.verify(connection, text[:-1] + ("a" if text[-1] != "a" else "b")) is None


def test_signing_out_ends_the_session(pool: Pool) -> None:
    with pool.connection() as connection:
        caller = tokens.verify(connection, tokens.create(connection, "me"))
        assert caller is not None
        cookie = tokens.open_session(connection, caller)
        tokens.close_session(connection, cookie)
        assert tokens.session(connection, cookie) is None


def test_revoking_what_is_not_there_says_so(pool: Pool) -> None:
    with pool.connection() as connection, pytest.raises(CvatdError, match="no token"):
        tokens.revoke(connection, "nope")
