"""Images: there, of the release that is declared, and commands that they understand. Pure."""

import json
import re

from cvatd.core.errors import CvatdError
from cvatd.stack import releases
from cvatd.stack.doctor.check import Check, Finding
from cvatd.stack.doctor.evidence import Evidence, known

# What CVAT's entry point and supervisord say of a command of another release.
NO_CONFIG = re.compile(r"could not find config file|unknown (command|option)|invalid choice", re.IGNORECASE)
OF_CVAT = re.compile(r"(^|/)cvat/(server|ui):")


def missing(seen: Evidence) -> Finding | None:
    absent = [image for image, image_id in known(seen.image_ids).items() if image_id is None]
    if not absent:
        return None
    return Finding(
        f"{len(absent)} image{'s are' if len(absent) > 1 else ' is'} not on this host.", "cvatd up (it pulls)", absent
    )


def release(seen: Evidence) -> Finding | None:
    other = []
    for container in seen.stack.containers:
        found = known(seen.found).get(container.name)
        version = releases.version_of_image(found.image) if found and OF_CVAT.search(found.image) else None
        if found and version and version != seen.stack.version:
            other.append(f"{container.name} runs {found.image}")
    if not other:
        return None
    return Finding(
        f"Containers run images of another release than CVAT {seen.stack.version}, which is declared.",
        "cvatd plan, then cvatd up",
        other,
    )


def replaced(seen: Evidence) -> Finding | None:
    image_ids = known(seen.image_ids)
    old = []
    for container in seen.stack.containers:
        found, now = known(seen.found).get(container.name), image_ids.get(container.image)
        if found and now and found.image == container.image and found.image_id != now:
            old.append(f"{container.name} runs {found.image_id[:12]}, {container.image} is {now[:12]} now")
    if not old:
        return None
    return Finding("Images were replaced and containers still run the old ones.", "cvatd up", old, urgent=False)


def command(seen: Evidence) -> Finding | None:
    """A worker's command in the grammar of another release: the image knows no such configuration."""
    evidence = []
    for container in seen.stack.containers:
        found = known(seen.found).get(container.name)
        if found is None or not container.queues:
            continue
        said = [line for line in seen.last_lines(container.name) if NO_CONFIG.search(line)]
        evidence += [f"{container.name}: {line}" for line in said[-2:]]
        grammar = _grammar(found.image)
        asked = _command(found.spec) or container.command
        if grammar and grammar != _grammar_of(asked):
            evidence.append(f"{container.name} is told `{' '.join(asked)}`, which {found.image} does not understand")
    if not evidence:
        return None
    return Finding(
        "A worker's command and its image are of different releases.",
        "let stack.version and stack.images.server name one release, then cvatd up",
        evidence,
    )


def _grammar(image: str) -> str | None:
    version = releases.version_of_image(image)
    try:
        return releases.find(version).grammar if version else None
    except CvatdError:
        return None


def _grammar_of(command: list[str]) -> str:
    return "many" if command[:2] == ["run", "worker"] else "one"


def _command(spec: str | None) -> list[str] | None:
    try:
        asked = json.loads(spec or "")["command"]
    except (ValueError, KeyError, TypeError):
        return None
    return [str(word) for word in asked] if isinstance(asked, list) else None


CHECKS = [
    Check("images", "an image is not on this host", "`cvatd up` pulls it", missing),
    Check("release", "a container runs an image of another release", "`cvatd up`", release),
    Check("replaced", "an image was replaced and a container runs the old one", "`cvatd up`", replaced),
    Check(
        "command",
        "a worker's command is of another release than its image",
        "one release for `stack.version` and image",
        command,
    ),
]
