"""The service as the terminal speaks to it: HTTP with a token, answers and refusals as Python values."""

import json
import os
import time
from collections.abc import Iterator
from typing import Any

import httpx

from cvatd.core.errors import CvatdError
from cvatd.core.settings import load_settings

TIMEOUT = httpx.Timeout(30, connect=5)
QUIET_S = 40.0  # the service says something at least every 15 s
RECONNECT_PAUSE_S = 1.0
JSON = "application/json"
EVENTS = "text/event-stream"


class Client:
    """`CVATD_URL` names the service (else the settings do), `CVATD_TOKEN` opens it."""

    def __init__(self) -> None:
        self._url = os.environ.get("CVATD_URL", "").rstrip("/") or load_settings().base_url
        token = os.environ.get("CVATD_TOKEN")
        headers = {"authorization": f"Bearer {token}"} if token else {}
        try:
            self._http = httpx.Client(base_url=self._url, headers=headers, timeout=TIMEOUT)
        except httpx.InvalidURL as error:
            raise CvatdError("usage", f"CVATD_URL is {self._url}, and that is no URL: {error}") from None

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        return self._call("GET", path, params={key: value for key, value in query.items() if value is not None})

    def post(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        return self._call("POST", path, json=body)

    def _call(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        try:
            answer = self._http.request(method, path, **options)
        except httpx.HTTPError as error:
            raise CvatdError(
                "unreachable", f"{self._url} does not answer: {error}. Is `cvatd dev` or the service up?"
            ) from None
        if answer.is_error:
            raise refusal(answer)
        if not answer.headers.get("content-type", "").startswith(JSON):
            raise self._another_service()
        found: dict[str, Any] = answer.json()
        return found

    def _another_service(self) -> CvatdError:
        return CvatdError("unreachable", f"What answers at {self._url} is not cvatd. Is CVATD_URL right?")

    def follow(self, run_id: int) -> Iterator[tuple[str, dict[str, Any]]]:
        """The run's events as they come, over lost connections, to its end."""
        last = "0"
        while True:
            try:
                headers = {"last-event-id": last, "accept": EVENTS}
                timeout = httpx.Timeout(QUIET_S, connect=5)
                with self._http.stream("GET", f"/runs/{run_id}/events", headers=headers, timeout=timeout) as answer:
                    if answer.is_error:
                        answer.read()
                        raise refusal(answer)
                    if not answer.headers.get("content-type", "").startswith(EVENTS):
                        raise self._another_service()
                    for kind, number, data in parse_events(answer.iter_lines()):
                        last = number or last
                        yield kind, data
                        if kind == "end":
                            return
            except httpx.HTTPError:
                yield "reconnecting", {}
            time.sleep(RECONNECT_PAUSE_S)


def parse_events(lines: Iterator[str]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Server-sent events as (type, id, data)."""
    kind, number, data = "message", "", ""
    for line in lines:
        name, _, value = line.partition(": ")
        match name:
            case "event":
                kind = value
            case "id":
                number = value
            case "data":
                data += value
            case "" if data:
                yield kind, number, json.loads(data)
                kind, number, data = "message", "", ""


def refusal(answer: httpx.Response) -> CvatdError:
    """The service's problem details as an error of ours."""
    try:
        problem = answer.json()
        code, words = problem["code"], problem["detail"]
    except (ValueError, KeyError, TypeError):
        code, words = "http", f"{answer.url} answered {answer.status_code}."
    fields = (
        "".join(f"\n  {fault['field']}: {fault['message']}" for fault in problem.get("errors", []))
        if code == "config"
        else ""
    )
    return CvatdError(code, words + fields)
