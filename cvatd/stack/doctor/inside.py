"""What can only be seen from inside of a container: names, folders as user 1000, OPA's own word."""

import json
from collections.abc import Mapping
from importlib.resources import files

from cvatd.core.errors import CvatdError
from cvatd.core.settings import StackSettings
from cvatd.stack.doctor.evidence import Inside, Rules
from cvatd.stack.podman import Found, Podman
from cvatd.stack.spec import Stack

SERVER, PROXY, OPA = "cvat-server", "cvat-proxy", "cvat-opa"
TIMEOUT_S = 15.0
HOME = "/home/django"
OPA_URL = "http://opa:8181/health"


def look(podman: Podman, stack: Stack, ours: Mapping[str, Found], settings: StackSettings) -> Inside:
    """Asked in cvat-server. Raises CvatdError when it does not run or takes no command."""
    _require(ours, SERVER)
    running = [c for c in stack.containers if c.name in ours and ours[c.name].running]
    names = [name for container in running for name in (container.name, *container.aliases)]
    question = {
        "names": names,
        "writable": [f"{HOME}/{folder}" for folder in ("data", "logs", "keys")],
        "share": f"{HOME}/share" if settings.share else None,
    }
    program = files("cvatd.stack").joinpath("inside/look.py").read_text()
    asked = podman.execute(SERVER, ["python3", "-c", program, json.dumps(question)], TIMEOUT_S)
    try:
        answer = json.loads(asked.out)
    except ValueError:
        raise CvatdError("exec", (asked.err or asked.out).strip()[-200:] or "cvat-server said nothing") from None
    return Inside(answer["unresolved"], answer["unwritable"], answer["share_fault"])


def look_rules(podman: Podman, ours: Mapping[str, Found]) -> Rules:
    """Asked from cvat-proxy, since OPA's image has no program to ask with. Raises CvatdError when that is not up."""
    _require(ours, PROXY)
    if OPA not in ours or not ours[OPA].running:
        return Rules(answers=False, bundle=False, words=f"{OPA} does not run")
    asked = podman.execute(PROXY, ["wget", "-q", "-T", "5", "-O", "/dev/null", f"{OPA_URL}?bundles"], TIMEOUT_S)
    if asked.status == 0:
        return Rules()
    words = (asked.err or asked.out).strip()[-200:]
    answers = podman.execute(PROXY, ["wget", "-q", "-T", "5", "-O", "/dev/null", OPA_URL], TIMEOUT_S).status == 0
    return Rules(answers=answers, bundle=False, words=words or f"{OPA_URL}?bundles is not 200")


def _require(ours: Mapping[str, Found], name: str) -> None:
    if name not in ours or not ours[name].running:
        raise CvatdError("not_running", f"{name}, from which it is asked, does not run")
