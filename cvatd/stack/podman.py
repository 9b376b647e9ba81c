"""Podman over its API socket: the few verbs that the stack needs, with a bound on every wait.

What podman-py lacks or does otherwise than its name says is in `podman_gaps`, one function each with the reason.
"""

import contextlib
import os
import re
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import podman
import requests
from podman import errors

from cvatd.core.errors import CvatdError
from cvatd.stack import podman_gaps
from cvatd.stack.podman_gaps import ExecResult
from cvatd.stack.spec import SECRETS_TARGET, SPEC_LABEL, STACK_LABEL, Container

CONNECT_TIMEOUT_S = 60.0
OLDEST = (4, 3)
NO_IMAGE_WORDS = ("image not known", "no such image")


@dataclass(frozen=True)
class Host:
    """What Podman says of itself and its host."""

    version: str
    cgroup_manager: str
    cgroup_version: str
    rootless: bool
    graph_root: Path

    @property
    def systemd(self) -> bool:
        """Whether systemd makes the cgroups, so that parents are slices."""
        return self.cgroup_manager == "systemd"


@dataclass(frozen=True)
class Found:
    """A container as Podman has it. Times are Unix seconds; `spec` is the declaration that it was made from."""

    id: str
    name: str
    state: str
    image: str
    image_id: str
    pid: int
    exit_code: int
    started_at: float
    exited_at: float
    spec: str | None
    ours: bool
    systemd_unit: str | None

    @property
    def running(self) -> bool:
        return self.state == "running"


class Unreachable(CvatdError):
    """It is not there, or says nothing; unlike one that answers and refuses."""

    def __init__(self, url: str, error: Exception) -> None:
        super().__init__("podman", explain_unreachable(url, error))


class Podman:
    """Raises CvatdError "podman" with what to do when the service cannot be reached or is too old."""

    def __init__(self, url: str | None = None, timeout_s: float = CONNECT_TIMEOUT_S) -> None:
        self.url = url or usual_url()
        self._client = podman.PodmanClient(base_url=self.url, timeout=timeout_s)
        self._api = self._client.api

    def close(self) -> None:
        self._client.close()  # type: ignore[no-untyped-call]

    def __enter__(self) -> "Podman":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def host(self) -> Host:
        """Raises CvatdError "podman" for one older than 4.3."""
        try:
            info = self._client.info()  # type: ignore[no-untyped-call]
        except (requests.RequestException, errors.APIError, OSError) as error:
            raise Unreachable(self.url, error) from None
        version = str(info["version"]["Version"])
        if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < OLDEST:
            raise CvatdError("podman", f"Podman {version} is too old: 4.3 or newer is needed.")
        return Host(
            version=version,
            cgroup_manager=info["host"]["cgroupManager"],
            cgroup_version=info["host"]["cgroupVersion"],
            rootless=bool(info["host"]["security"]["rootless"]),
            graph_root=Path(info["store"]["graphRoot"]),
        )

    def containers(self) -> dict[str, Found]:
        """All containers by name, those of others too."""
        answer = self._get("/containers/json", {"all": "true"})
        return {found.name: found for found in map(_found, answer)}

    def inspect(self, name: str) -> dict[str, Any]:
        details: dict[str, Any] = self._get(f"/containers/{name}/json", {})
        return details

    def image_id(self, reference: str) -> str | None:
        """None where the image is not on this host."""
        response = self._call("get", f"/images/{reference}/json", {}, accept=(200, 404))
        return str(response.json()["Id"]) if response.status_code == 200 else None

    def pull(self, reference: str, say: Callable[[str], None], timeout_s: float) -> None:
        """Raises CvatdError "image" with the registry's own words, or that it hung."""
        podman_gaps.pull(self._api, reference, say, timeout_s)

    def ensure_network(self, name: str) -> bool:
        """True when it was made now."""
        if self.has_network(name):
            return False
        try:
            self._client.networks.create(name, dns_enabled=True, labels={STACK_LABEL: name})
        except errors.APIError as error:
            if self.has_network(name):  # somebody else was faster; raises where Podman does not answer
                return False
            raise CvatdError("podman", f"The network {name} cannot be made: {explain(error)}") from None
        return True

    def interface(self, network: str) -> str | None:
        """The bridge of this network on the host."""
        response = self._call("get", f"/networks/{network}/json", {}, accept=(200, 404))
        return response.json().get("network_interface") if response.status_code == 200 else None

    def addresses(self, name: str, network: str) -> tuple[str, str] | None:
        """Of a container in this network: Internet and hardware; None for one that does not run."""
        response = self._call("get", f"/containers/{name}/json", {}, accept=(200, 404))
        if response.status_code != 200:
            return None
        joined = response.json()["NetworkSettings"].get("Networks", {}).get(network, {})
        address, hardware = joined.get("IPAddress"), joined.get("MacAddress")
        return (address, hardware) if address and hardware else None

    def has_network(self, name: str) -> bool:
        return self._call("get", f"/networks/{name}/exists", {}, accept=(204, 404)).status_code == 204

    def remove_network(self, name: str) -> None:
        self._call("delete", f"/networks/{name}", {}, accept=(200, 404))

    def create(self, container: Container, network: str, parent: str | None, secrets_dir: Path) -> None:
        """Make it, not start it. Raises CvatdError "container"."""
        arguments: dict[str, Any] = {
            "name": container.name,
            "command": container.command,
            "environment": container.environment,
            "labels": {STACK_LABEL: network, SPEC_LABEL: container.model_dump_json()},
            "mounts": [
                {"type": "bind", "source": mount.source, "target": mount.target, "read_only": mount.read_only}
                for mount in container.mounts
            ]
            + [
                {
                    "type": "bind",
                    "source": str(secrets_dir / secret),
                    "target": f"{SECRETS_TARGET}/{secret}",
                    "read_only": True,
                }
                for secret in container.secrets
            ],
            "networks": {network: {"aliases": container.aliases}},
            "hostname": container.name,
            "init": container.init,
            "ports": {f"{p.port}/tcp": (p.host, p.host_port) for p in container.publish},
            "stop_timeout": int(container.stop_s),
            "dns_opt": container.dns_options,
            # Journald does not run everywhere, and logs must be readable on each host alike.
            "log_config": {"Type": "k8s-file", "Config": {"size": podman_gaps.LOG_BYTES}},
        }
        if container.stop_signal:
            arguments["stop_signal"] = int(signal.Signals[container.stop_signal])  # its name is refused
        if parent:
            arguments["cgroup_parent"] = parent
        if container.memory_max:
            # Without a limit of their own, memory and swap together may be twice the limit.
            arguments |= {"mem_limit": container.memory_max, "memswap_limit": container.memory_max}
        try:
            self._client.containers.create(container.image, **arguments)
        except (errors.APIError, errors.ImageNotFound) as error:
            if error.response is None:
                raise Unreachable(self.url, error) from None
            words = explain(error)
            if any(known in words for known in NO_IMAGE_WORDS):
                raise CvatdError(
                    "image", f"The image {container.image} of {container.name} is not on this host."
                ) from None
            raise CvatdError("container", f"{container.name} cannot be made: {words}") from None

    def start(self, name: str) -> None:
        """Also one that is paused. Raises CvatdError "container"."""
        self._thaw(name)
        response = self._call("post", f"/containers/{name}/start", {}, accept=(204, 304, 404, 500))
        if response.status_code >= 400:
            raise CvatdError("container", f"{name} cannot be started: {podman_gaps.message(response)}")

    def stop(self, name: str, grace_s: float) -> None:
        """Ends at once for one that does not run or is not there."""
        self._thaw(name)
        self._call(
            "post",
            f"/containers/{name}/stop",
            {"timeout": int(grace_s)},
            accept=(204, 304, 404),
            timeout_s=grace_s + CONNECT_TIMEOUT_S,
        )

    def _thaw(self, name: str) -> None:
        """A paused container can neither be started nor hear that it shall end; to any other this does nothing."""
        self._call("post", f"/containers/{name}/unpause", {}, accept=(204, 404, 409, 500))

    def remove(self, name: str) -> None:
        """With its anonymous volumes; forced."""
        self._call(
            "delete", f"/containers/{name}", {"force": "true", "v": "true", "timeout": 0}, accept=(200, 204, 404)
        )

    def execute(self, name: str, argv: list[str], timeout_s: float = 30.0) -> ExecResult:
        """Run a command inside. Raises CvatdError "exec" when it does not end in time or the container is not up."""
        with self._answering():
            return podman_gaps.execute(self._api, name, argv, timeout_s)

    def wait(self, name: str, timeout_s: float) -> int:
        """The exit status of a container once it has ended. Raises CvatdError "timeout"."""
        with self._answering():
            return podman_gaps.wait(self._api, name, timeout_s)

    def logs(self, name: str, tail: int) -> str:
        """The last lines, both streams, in order."""
        with self._answering():
            return podman_gaps.logs(self._api, name, tail)

    def log_stream(self, name: str, params: dict[str, str], quiet_s: float) -> Iterator[bytes]:
        """Frames of its log with times; ends with the container's end or a silence of `quiet_s`."""
        yield from podman_gaps.log_stream(self._api, name, params, quiet_s)

    def events(
        self, since: float, actions: Sequence[str], silent_s: float, follow: bool = True
    ) -> Iterator[dict[str, Any]]:
        """The events of containers from `since` (Unix seconds) until now, or on as they happen: for a thread alone.

        Ends when Podman goes away, and after `silent_s` without any. Raises CvatdError "podman" when it tells none.
        """
        with self._answering():
            return podman_gaps.events(self._api, since, actions, silent_s, follow)

    @contextlib.contextmanager
    def _answering(self) -> Iterator[None]:
        """A service that goes away in the midst is told of in words."""
        try:
            yield
        except requests.RequestException as error:
            raise Unreachable(self.url, error) from None

    def _get(self, path: str, params: dict[str, Any]) -> Any:
        with self._answering():
            return self._call("get", path, params).json()

    def _call(
        self,
        method: str,
        path: str,
        params: dict[str, Any],
        accept: tuple[int, ...] = (200,),
        timeout_s: float | None = None,
    ) -> requests.Response:
        with self._answering():
            response: requests.Response = getattr(self._api, method)(path, params=params, timeout=timeout_s)
        if response.status_code not in accept:
            raise CvatdError("podman", f"Podman refused {method} {path}: {podman_gaps.message(response)}")
        return response


def usual_url() -> str:
    """Where this user's Podman listens: CONTAINER_HOST as Podman itself honours it, else the unit's socket."""
    named = os.environ.get("CONTAINER_HOST")
    if named:
        return named
    if os.geteuid() == 0:
        return "unix:///run/podman/podman.sock"
    runtime = os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.geteuid()}")
    return f"unix://{runtime}/podman/podman.sock"


def explain_unreachable(url: str, error: Exception) -> str:
    """Which of the usual reasons it is, and what to do."""
    path = Path(url.removeprefix("unix://"))
    if not url.startswith("unix://"):
        return f"Podman at {url} does not answer: {error}"
    if not path.exists():
        return (
            f"There is no Podman socket at {path}. Start it: systemctl enable --now podman.socket, or without "
            f"systemd: podman system service --time=0 {url}"
        )
    if not os.access(path, os.R_OK | os.W_OK):
        return f"No permission on Podman's socket {path}: run this as root (sudo), or as the user that owns it."
    return f"Podman's socket {path} is there and nobody answers: systemctl restart podman.service ({error})"


def explain(error: Exception) -> str:
    """The server's own sentence, without the client's frame around it."""
    text = getattr(error, "explanation", None) or str(error)
    return str(text).strip()


def _found(item: dict[str, Any]) -> Found:
    labels = item.get("Labels") or {}
    return Found(
        id=item["Id"],
        name=item["Names"][0],
        state=item["State"],
        image=item["Image"],
        image_id=item["ImageID"],
        pid=item["Pid"],
        exit_code=item["ExitCode"],
        started_at=float(item.get("StartedAt") or 0),
        exited_at=float(item.get("ExitedAt") or 0),
        spec=labels.get(SPEC_LABEL),
        ours=STACK_LABEL in labels,
        systemd_unit=labels.get("PODMAN_SYSTEMD_UNIT"),
    )
