"""Where podman-py 5.8 lacks something or answers with nothing: one function each, with the reason."""

import json
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import requests
from podman.api.client import APIClient

from cvatd.core.errors import CvatdError

LOG_BYTES = 20 << 20
POLL_S = 0.05
LONGEST_POLL_S = 1.0
ANSWER_TIMEOUT_S = 60.0
LOG_TIMEOUT_S = 20.0
EXEC_OUTPUT_BYTES = 16 << 20
FRAME = struct.Struct(">BxxxL")
STDERR = 2
ATTEMPTS = 3
ATTEMPT_PAUSE_S = 2.0


@dataclass(frozen=True)
class ExecResult:
    status: int
    out: str
    err: str


def _raw(answer: Any) -> requests.Response:
    """podman-py's wrapper of an answer is no context manager; what it wraps is."""
    response: requests.Response = answer._response
    return response


def _timed_out(error: Exception) -> bool:
    """podman-py wraps a silence before the answer; one in the middle of it is a lost connection to requests."""
    return any(isinstance(each, requests.Timeout) or "Read timed out" in str(each) for each in (error, error.__cause__))


def message(response: requests.Response) -> str:
    """What Podman says in an answer that is a refusal."""
    try:
        body = response.json()
    except ValueError:
        return response.text.strip()
    return str(body.get("message") or body.get("cause") or body) if isinstance(body, dict) else str(body)


def pull(api: APIClient, reference: str, say: Callable[[str], None], timeout_s: float) -> None:
    """`images.pull` of an image that is not to be had returns an image without a name and no error; this reads the
    stream itself, tries again after a fault of the network, and bounds each attempt, since a registry can hang.
    """
    fault = ""
    for attempt in range(1, ATTEMPTS + 1):
        if attempt > 1:
            say(f"attempt {attempt} of {ATTEMPTS}: {fault}")
            time.sleep(ATTEMPT_PAUSE_S)
        fault = _pull_once(api, reference, say, timeout_s)
        if not fault:
            return
        if any(words in fault for words in ("manifest unknown", "denied", "unauthorized", "no space left")):
            break  # trying again changes nothing
    if "no space left" in fault:
        raise CvatdError("image", f"The disk is full: {reference} could not be pulled. Free space and try again.")
    raise CvatdError("image", f"The image {reference} could not be pulled: {fault}")


def _pull_once(api: APIClient, reference: str, say: Callable[[str], None], timeout_s: float) -> str:
    """The fault; empty when the image is there."""
    deadline = time.monotonic() + timeout_s
    try:
        answer = api.post("/images/pull", params={"reference": reference}, stream=True, timeout=timeout_s)
        with _raw(answer) as response:
            if response.status_code != 200:
                return message(response)
            for line in response.iter_lines():
                news = json.loads(line)
                if news.get("error"):
                    return str(news["error"])
                if news.get("stream"):
                    say(news["stream"].strip())
                if time.monotonic() > deadline:
                    return f"not done within {timeout_s:.0f} s"
    except (requests.RequestException, ValueError) as error:
        return f"the registry said nothing for {timeout_s:.0f} s" if _timed_out(error) else str(error)
    return ""


def execute(api: APIClient, name: str, argv: list[str], timeout_s: float) -> ExecResult:
    """`exec_run` mixes its frames into the output, loses the exit status of a stream and has no time-out; this
    asks the three questions one by one. Nothing can be sent to it: podman-py has no standard input.
    """
    body = {"AttachStdout": True, "AttachStderr": True, "Cmd": argv}
    created = api.post(f"/containers/{name}/exec", data=json.dumps(body), timeout=timeout_s)
    if created.status_code != 201:
        raise CvatdError("exec", f"{name} does not take commands: {message(_raw(created))}")
    session = created.json()["Id"]
    deadline = time.monotonic() + timeout_s
    try:
        started = api.post(
            f"/exec/{session}/start", data=json.dumps({"Detach": False, "Tty": False}), stream=True, timeout=timeout_s
        )
        with _raw(started) as response:
            if response.status_code != 200:
                raise CvatdError("exec", f"{argv[0]} in {name} cannot be started: {message(response)}")
            out, err = _demultiplex(response, deadline)
    except requests.RequestException:
        if time.monotonic() < deadline:
            raise  # Podman itself went away
        raise CvatdError("exec", f"{argv[0]} in {name} did not end within {timeout_s:.0f} s.") from None
    ended = api.get(f"/exec/{session}/json", timeout=timeout_s)
    if ended.status_code != 200:  # Podman forgets it exit_command_delay seconds after its end
        raise CvatdError("exec", f"How {argv[0]} in {name} ended was asked too late: {ended.text.strip()}")
    return ExecResult(int(ended.json()["ExitCode"]), out, err)


def _demultiplex(response: requests.Response, deadline: float) -> tuple[str, str]:
    buffer = bytearray()
    for chunk in response.iter_content(chunk_size=None):
        buffer += chunk
        if len(buffer) > EXEC_OUTPUT_BYTES:
            raise CvatdError("exec", f"A command said more than {EXEC_OUTPUT_BYTES >> 20} MB.")
        if time.monotonic() > deadline:
            raise requests.Timeout
    streams = (bytearray(), bytearray())
    position = 0
    while position + FRAME.size <= len(buffer):
        kind, length = FRAME.unpack_from(buffer, position)
        position += FRAME.size
        streams[kind == STDERR].extend(buffer[position : position + length])
        position += length
    return streams[0].decode(errors="replace"), streams[1].decode(errors="replace")


def wait(api: APIClient, name: str, timeout_s: float) -> int:
    """Podman's own wait hangs for ever when a clean-up failed and the state stays `stopped`; this looks."""
    began = time.monotonic()
    deadline = began + timeout_s
    while True:
        response = api.get(f"/containers/{name}/json", timeout=min(timeout_s, ANSWER_TIMEOUT_S))
        if response.status_code == 404:
            raise CvatdError("container", f"{name} was removed while it was waited for.")
        # While somebody removes it, Podman answers with a fault of its own for a moment.
        state = response.json()["State"] if response.status_code == 200 else {"Status": "unknown"}
        if state["Status"] in {"exited", "stopped"}:
            return int(state["ExitCode"])
        if time.monotonic() > deadline:
            raise CvatdError("timeout", f"{name} did not end within {timeout_s:.0f} s.")
        # Of a migration of an hour the end is not worth twenty questions a second.
        time.sleep(min(LONGEST_POLL_S, max(POLL_S, (time.monotonic() - began) / 50)))


def logs(api: APIClient, name: str, tail: int) -> str:
    """The last lines of both streams; empty where there is no such container.

    podman-py's own yields lines of one stream or the other without order for old servers; one call, both streams.
    """
    params = {"stdout": "true", "stderr": "true", "tail": str(tail), "follow": "false"}
    response = api.get(f"/containers/{name}/logs", params=params, timeout=LOG_TIMEOUT_S)
    if response.status_code != 200:
        return ""
    data, position, lines = response.content, 0, []
    while position + FRAME.size <= len(data):
        _, length = FRAME.unpack_from(data, position)
        position += FRAME.size
        lines.append(data[position : position + length].decode(errors="replace"))
        position += length
    return "".join(line if line.endswith("\n") else line + "\n" for line in lines)


def log_stream(api: APIClient, name: str, params: dict[str, str], quiet_s: float) -> Iterator[bytes]:
    """`logs(stream=True)` leaves its connection open and waits for ever on a container whose conmon has gone."""
    both = {"stdout": "true", "stderr": "true", "timestamps": "true", **params}
    try:
        answer = api.get(f"/containers/{name}/logs", params=both, stream=True, timeout=quiet_s)
        with _raw(answer) as response:
            if response.status_code == 200:
                yield from response.iter_content(chunk_size=None)
    except requests.RequestException:
        return


def events(
    api: APIClient, since: float, actions: Sequence[str], silent_s: float, follow: bool
) -> Iterator[dict[str, Any]]:
    """`client.events` is a function that never returns and takes no bound; what this one returns ends with Podman and
    in silence, and where it does not `follow`, after what there is.

    Podman takes whole seconds alone for `since`.
    """
    params = {
        "stream": "true" if follow else "false",
        "since": str(int(since)),
        "filters": json.dumps({"type": ["container"], "event": list(actions)}),
    }
    response = _raw(api.get("/events", params=params, stream=True, timeout=silent_s))
    if response.status_code != 200:
        with response:
            raise CvatdError("podman", f"Podman tells no events: {message(response)}")
    return _lines(response)


def _lines(response: requests.Response) -> Iterator[dict[str, Any]]:
    try:
        with response:
            for line in response.iter_lines(chunk_size=1):
                if line:
                    yield json.loads(line)
    except (requests.RequestException, ValueError):
        return
