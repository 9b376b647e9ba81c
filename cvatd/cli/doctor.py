"""`cvatd doctor`: what is wrong, how it shows, and what mends it."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import typer

if TYPE_CHECKING:
    from cvatd.core.settings import StackSettings
    from cvatd.stack.doctor.check import Check
    from cvatd.stack.doctor.examine import Mended, Report
    from cvatd.stack.podman import Podman

WRONG = 1
SHOWN_EVIDENCE = 12
NAMED = 6
QUIET_S = 1.0
Work = TypeVar("Work")


def doctor(
    checks: list[str] = typer.Argument(None, help="Names of checks, such as disk; all when none is named."),
    fix: bool = typer.Option(False, "--fix", help="Mend what can be mended without stopping or losing anything."),
    verbose: bool = typer.Option(False, "--verbose", "-v", help="Name the checks that are good, too."),
    json_: bool = typer.Option(False, "--json", help="JSON instead of words."),
) -> None:
    """Look for everything that is known to go wrong. Exit status 1 when something is."""
    from cvatd.core.settings import load_settings
    from cvatd.stack import layout
    from cvatd.stack.doctor.examine import examine, mend
    from cvatd.stack.doctor.look import look
    from cvatd.stack.doctor.registry import choose
    from cvatd.stack.podman import Podman

    chosen = choose(checks or [])
    settings = load_settings().stack
    layout.require_access(settings)
    mended: list[Mended] = []
    with Podman(settings.podman_url, timeout_s=20) as podman:
        report = _patiently(lambda: examine(chosen, look(podman, settings)))
        if fix and any(check.fix for check, _ in report.wrong):
            mended = _patiently(lambda: mend(report, lambda check: _mend_one(podman, settings, check)))
            report = _patiently(lambda: examine(chosen, look(podman, settings)))
    if json_:
        from cvatd.cli import output

        output.emit(_json(report, mended), True)
    else:
        for line in lines(report, mended, verbose):
            typer.echo(line)
        if fix and report.wrong and not mended:
            typer.echo("None of this can be mended without you: the commands stand above.")
    if report.wrong:
        raise typer.Exit(WRONG)


def lines(report: "Report", mended: "list[Mended]", verbose: bool = False) -> Iterator[str]:
    """Worst first, each with its evidence and the command; then how many are good."""
    from cvatd.core.plain import plain_line

    for one in mended:
        yield plain_line(f"not mended  {one.check}: {one.fault}" if one.fault else f"mended  {one.check}: {one.words}")
    if mended:
        yield ""
    for check, finding in report.wrong:
        yield plain_line(f"{'wrong' if finding.urgent else 'look '}  {check.name}: {finding.words}")
        shown = finding.evidence[:SHOWN_EVIDENCE]
        yield from (f"         {plain_line(evidence)}" for evidence in shown)
        if len(finding.evidence) > len(shown):
            yield f"         and {len(finding.evidence) - len(shown)} more"
        yield plain_line(f"       → {finding.command}")
        yield ""
    for why, names in _by_reason(report.unknown).items():
        told = ", ".join(names) if verbose or len(names) <= NAMED else f"{len(names)} checks (--verbose names them)"
        yield plain_line(f"unknown  {told}: {why}")
    if verbose:
        yield from (f"good  {name}" for name in report.good)
    count = len(report.good)
    if count or not report.wrong:
        yield f"{count} check{' is' if count == 1 else 's are'} good."


def _by_reason(unknown: dict[str, str]) -> dict[str, list[str]]:
    reasons: dict[str, list[str]] = {}
    for name, why in unknown.items():
        reasons.setdefault(why, []).append(name)
    return reasons


def _json(report: "Report", mended: "list[Mended]") -> dict[str, Any]:
    return {
        "wrong": [
            {
                "check": check.name,
                "urgent": finding.urgent,
                "words": finding.words,
                "evidence": finding.evidence,
                "command": finding.command,
                "fixable": check.fix is not None,
            }
            for check, finding in report.wrong
        ],
        "unknown": report.unknown,
        "good": report.good,
        "mended": [{"check": one.check, "words": one.words, "fault": one.fault} for one in mended],
    }


def _mend_one(podman: "Podman", settings: "StackSettings", check: "Check") -> None:
    from cvatd.stack.runner import Runner

    assert check.fix is not None
    runner = Runner(podman, settings)
    with runner.exclusive():
        check.fix(runner)


def _patiently(work: Callable[[], Work]) -> Work:
    """With a sign of life on a terminal for work that takes longer than a second."""
    import threading

    if not sys.stderr.isatty():
        return work()
    done = threading.Event()
    sign = threading.Thread(target=_sign, args=(done,), daemon=True)
    sign.start()
    try:
        return work()
    finally:
        done.set()
        sign.join(QUIET_S)


def _sign(done: Any) -> None:
    if done.wait(QUIET_S):
        return
    with _line():
        seconds = 1
        while not done.wait(1.0):
            seconds += 1
            print(f"\rlooking … {seconds} s", end="", file=sys.stderr, flush=True)


@contextmanager
def _line() -> Iterator[None]:
    print("looking …", end="", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
