"""What has to change so that a host runs what is declared. Pure: from what is there and what should be, the changes."""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from cvatd.core.errors import CvatdError
from cvatd.stack.podman import Found
from cvatd.stack.spec import INIT_CONTAINER, Container, Stack

Action = Literal["create", "replace", "start", "keep", "remove"]
# What Podman is told; the rest of a declaration (needs, health) is ours alone and changes no container.
TOLD = (
    "image",
    "command",
    "environment",
    "secrets",
    "mounts",
    "aliases",
    "publish",
    "init",
    "stop_s",
    "stop_signal",
    "memory_max",
    "dns_options",
    "made_with",
)
SHOWN_CHARACTERS = 60
# Not shown: what is called so, what holds a secret that is known, and what every URL with a password looks like.
HIDDEN = ("PASSWORD", "SECRET", "TOKEN", "KEY")
URL_WITH_PASSWORD = re.compile(r"://[^/@\s]*:[^/@\s]+@")


@dataclass(frozen=True)
class Change:
    """One container's part of the plan; `reasons` are words for people."""

    container: str
    action: Action
    reasons: list[str] = field(default_factory=list)

    @property
    def restarts(self) -> bool:
        """Whether something that runs now is stopped for it."""
        return self.action in {"replace", "remove"}


@dataclass(frozen=True)
class Plan:
    """`pull` are images that are not on this host yet."""

    changes: list[Change]
    pull: list[str]
    make_network: bool

    @property
    def empty(self) -> bool:
        return not self.pull and not self.make_network and all(change.action == "keep" for change in self.changes)

    def action(self, container: str) -> Action:
        for change in self.changes:
            if change.container == container:
                return change.action
        raise KeyError(container)


def make_plan(
    stack: Stack,
    found: Mapping[str, Found],
    image_ids: Mapping[str, str | None],
    has_network: bool,
    secrets: Collection[str] = (),
) -> Plan:
    """The changes in the order of the containers' needs, removals first. Nothing that holds one of `secrets` is shown
    in their reasons.
    """
    removals = [
        Change(name, "remove", ["is declared no more"])
        for name, container in sorted(found.items())
        if container.ours and name not in stack.names and name != INIT_CONTAINER
    ]
    changes = [_change(container, found.get(container.name), image_ids, secrets) for container in stack.containers]
    wanted = dict.fromkeys(container.image for container in stack.containers)
    return Plan(
        changes=removals + changes,
        pull=[image for image in wanted if image_ids.get(image) is None],
        make_network=not has_network,
    )


def refuse_foreign(stack: Stack, found: Mapping[str, Found]) -> None:
    """Raises CvatdError "foreign" when a container of one of our names is somebody else's: it may hold their data."""
    for name in (*stack.names, INIT_CONTAINER):
        other = found.get(name)
        if other is None or other.ours:
            continue
        if other.systemd_unit:
            raise CvatdError(
                "foreign", f"systemd runs {name} on this host ({other.systemd_unit}): systemctl starts and stops it."
            )
        raise CvatdError(
            "foreign",
            f"There is a container {name} that cvatd did not make (image {other.image}). "
            f"Keep it by another name (podman rename {name} {name}-old) or remove it (podman rm {name}).",
        )


def _change(
    container: Container, found: Found | None, image_ids: Mapping[str, str | None], secrets: Collection[str]
) -> Change:
    if found is None:
        return Change(container.name, "create", ["is not there"])
    reasons = differences(found.spec, container, secrets)
    image_id = image_ids.get(container.image)
    if not reasons and image_id is not None and image_id != found.image_id:
        reasons = [f"the image {container.image} is another one now"]
    if reasons:
        return Change(container.name, "replace", reasons)
    if not found.running:
        return Change(container.name, "start", [f"is {found.state} (status {found.exit_code})"])
    return Change(container.name, "keep")


def differences(spec: str | None, container: Container, secrets: Collection[str] = ()) -> list[str]:
    """In words, what Podman would be told otherwise than when the container was made."""
    try:
        old = json.loads(spec or "null")
    except ValueError:
        old = None
    if not isinstance(old, dict):
        return ["was made by another version of cvatd"]
    new = json.loads(container.model_dump_json())
    reasons: list[str] = []
    for key in TOLD:
        reasons += _describe(key, old.get(key), new.get(key), secrets)
    return reasons


def _describe(key: str, old: Any, new: Any, secrets: Collection[str]) -> list[str]:
    if old == new:
        return []
    if key == "made_with" and isinstance(old, dict) and isinstance(new, dict):
        return [f"{name} changed" for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            f"{key}.{name} changed"
            if any(word in name.upper() for word in HIDDEN)
            else _from_to(f"{key}.{name}", old.get(name), new.get(name), secrets)
            for name in sorted(old.keys() | new.keys())
            if old.get(name) != new.get(name)
        ]
    return [_from_to(key, old, new, secrets)]


def _from_to(name: str, old: Any, new: Any, secrets: Collection[str]) -> str:
    return f"{name} changed" if _holds_secret([old, new], secrets) else f"{name}: {_short(old)} → {_short(new)}"


def _holds_secret(value: Any, secrets: Collection[str]) -> bool:
    """Anywhere in it."""
    text = json.dumps(value)
    return bool(URL_WITH_PASSWORD.search(text)) or any(json.dumps(secret)[1:-1] in text for secret in secrets if secret)


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 1]}…"
