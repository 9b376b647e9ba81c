"""What to do about a callback: how it is signed, when it is tried again, when it is given up. Pure.

The schedule and the meaning of answers are those of Standard Webhooks 1.0.0.
"""

import email.utils
import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from standardwebhooks import Webhook

MINUTE_S = 60.0
HOUR_S = 60 * MINUTE_S
# Ten attempts over 75 h 35 min: the pauses after the first to the ninth.
PAUSES_S = (5.0, 5 * MINUTE_S, 30 * MINUTE_S, *(h * HOUR_S for h in (2, 5, 10, 14, 20, 24)))
JITTER = 0.2  # a pause is stretched by up to this share, so that receivers are not hit in step
LONGEST_PAUSE_S = 24 * HOUR_S
GONE = 410


@dataclass(frozen=True)
class Delivered:
    pass


@dataclass(frozen=True)
class Retry:
    after_s: float
    error: str


@dataclass(frozen=True)
class GiveUp:
    error: str


Verdict = Delivered | Retry | GiveUp


def judge(attempt: int, status: int | None, error: str, retry_after: str | None, now: datetime) -> Verdict:
    """What follows from the answer to the given attempt (counted from 1); `status` is None where there was none."""
    if status is not None and 200 <= status < 300:
        return Delivered()
    if status == GONE:
        return GiveUp("The receiver answered 410: it wants no more callbacks.")
    words = error if status is None else f"The receiver answered {status}."
    if status is not None and 300 <= status < 400:
        words += " Redirects are not followed: give the address it points to."
    if attempt > len(PAUSES_S):
        return GiveUp(f"{words} Given up after {attempt} attempts; `cvatd deliveries replay` sends it again.")
    pause_s = max(PAUSES_S[attempt - 1], parse_retry_after(retry_after, now))
    return Retry(pause_s * random.uniform(1, 1 + JITTER), words)  # noqa: S311 - spreads load, guards nothing


def parse_retry_after(value: str | None, now: datetime) -> float:
    """Seconds that a Retry-After header asks for (a number or a date); 0 without one, a day at the most."""
    if not value:
        return 0.0
    try:
        asked_s = float(value) if value.strip().isdecimal() else _seconds_until(value, now)
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return min(max(asked_s, 0.0), LONGEST_PAUSE_S)


def _seconds_until(date: str, now: datetime) -> float:
    moment = email.utils.parsedate_to_datetime(date)
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now).total_seconds()


def signed_headers(key: str, message_id: str, body: str, now: datetime) -> Mapping[str, str]:
    """The three headers of Standard Webhooks; `key` is `whsec_` and base64."""
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(key).sign(message_id, now, body),
    }
