"""When a callback is tried again: Standard Webhooks' own figures."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from cvatd.core.webhook import (
    JITTER,
    LONGEST_PAUSE_S,
    PAUSES_S,
    Delivered,
    GiveUp,
    Retry,
    judge,
    parse_retry_after,
    signed_headers,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_only_2xx_is_success(status: int) -> None:
    assert judge(1, status, "", None, NOW) == Delivered()


@given(st.integers(1, 9), st.integers(300, 599).filter(lambda status: status != 410))
def test_anything_else_is_tried_again_after_the_pause(attempt: int, status: int) -> None:
    verdict = judge(attempt, status, "", None, NOW)
    assert isinstance(verdict, Retry)
    assert PAUSES_S[attempt - 1] <= verdict.after_s <= PAUSES_S[attempt - 1] * (1 + JITTER)
    assert str(status) in verdict.error


def test_ten_attempts_over_75_hours_then_it_is_given_up() -> None:
    assert len(PAUSES_S) == 9
    assert sum(PAUSES_S) == pytest.approx(timedelta(hours=75, minutes=35).total_seconds(), abs=10)
    verdict = judge(10, None, "connection refused", None, NOW)
    assert isinstance(verdict, GiveUp)
    assert "connection refused" in verdict.error


def test_410_ends_it_at_once() -> None:
    assert isinstance(judge(1, 410, "", None, NOW), GiveUp)


def test_redirects_are_told_in_words() -> None:
    verdict = judge(1, 302, "", None, NOW)
    assert isinstance(verdict, Retry)
    assert "Redirects are not followed" in verdict.error


def test_retry_after_stretches_the_pause_and_never_shortens_it() -> None:
    verdict = judge(1, 503, "", "600", NOW)
    assert isinstance(verdict, Retry)
    assert 600 <= verdict.after_s <= 600 * (1 + JITTER)
    assert parse_retry_after("Fri, 02 Jan 2026 03:05:05 GMT", NOW) == 60


@given(st.text() | st.integers().map(str))
def test_no_retry_after_breaks_the_sender(value: str) -> None:
    assert 0 <= parse_retry_after(value, NOW) <= LONGEST_PAUSE_S


def test_a_receiver_can_verify_the_signature() -> None:
    now = datetime.now(UTC)
    headers = signed_headers(KEY, "msg_1", '{"a": 1}', now)
    assert Webhook(KEY).verify('{"a": 1}', dict(headers)) == {"a": 1}
    with pytest.raises(Exception, match="signature"):
        Webhook(KEY).verify('{"a": 2}', dict(headers))
