"""What `up` is about to do, in words and as JSON. Pure."""

from typing import Any

from cvatd.core.plain import plain_line
from cvatd.stack.plan import Change, Plan

WORDS = {
    "remove": "remove",
    "replace": "make anew",
    "create": "make",
    "start": "start",
}
NAME_WIDTH = 20
ACTION_WIDTH = 10


def plan_lines(plan: Plan) -> list[str]:
    """One line a change, the same changes together; empty when there is nothing to do."""
    lines = [_line("pull", image, "is not on this host") for image in plan.pull]
    if plan.make_network:
        lines.append(_line("make", "the network", "is not there"))
    for action, words in WORDS.items():
        changes = [change for change in plan.changes if change.action == action]
        if action == "create" and len(changes) > 1 and len({tuple(change.reasons) for change in changes}) == 1:
            lines += _together(words, changes)
        else:
            lines += [line for change in changes for line in _change_lines(words, change)]
    kept = sum(change.action == "keep" for change in plan.changes)
    if lines and kept:
        lines.append(_line("keep", f"{kept} container{'s' * (kept != 1)}", "run as declared"))
    return lines


def summary(plan: Plan) -> str:
    """What stops for it, for people who have users at work."""
    stopped = [change.container for change in plan.changes if change.restarts]
    if not stopped:
        return ""
    return f"Stopped for it: {', '.join(stopped)}."


def plan_json(plan: Plan) -> dict[str, Any]:
    return {
        "empty": plan.empty,
        "pull": plan.pull,
        "make_network": plan.make_network,
        "changes": [
            {"container": change.container, "action": change.action, "reasons": change.reasons}
            for change in plan.changes
        ],
    }


def _line(action: str, what: str, why: str = "") -> str:
    return f"  {action:<{ACTION_WIDTH}} {what:<{NAME_WIDTH}} {why}".rstrip()


def _together(words: str, changes: list[Change]) -> list[str]:
    lines: list[str] = []
    names = [change.container for change in changes]
    for first in range(0, len(names), 4):
        lines.append(f"  {words if not lines else '':<{ACTION_WIDTH}} {', '.join(names[first : first + 4])}")
    return lines


def _change_lines(words: str, change: Change) -> list[str]:
    reasons = [plain_line(reason) for reason in change.reasons] or [""]
    return [_line(words, change.container, reasons[0]), *(_line("", "", reason) for reason in reasons[1:])]
