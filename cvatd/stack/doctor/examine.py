"""Runs the checks on the evidence, mends what may be mended, and looks again."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from cvatd.core.errors import CvatdError
from cvatd.stack.doctor.by_systemd import by_systemd
from cvatd.stack.doctor.check import Check, Finding, Unknown
from cvatd.stack.doctor.evidence import Evidence


@dataclass(frozen=True)
class Report:
    """`wrong` worst first; `unknown` maps checks to why they could not be made."""

    wrong: list[tuple[Check, Finding]] = field(default_factory=list)
    unknown: dict[str, str] = field(default_factory=dict)
    good: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Mended:
    """What `--fix` did about one check; `fault` says why it did not succeed."""

    check: str
    words: str
    fault: str = ""


def examine(checks: list[Check], seen: Evidence) -> Report:
    """Pure. A check that breaks is told as such, and the others go on."""
    wrong, unknown, good = [], {}, []
    for check in checks:
        try:
            finding = check.judge(seen)
        except Unknown as reason:
            unknown[check.name] = str(reason)
        except Exception as error:  # a fault of ours must not hide what the others find
            unknown[check.name] = f"the check itself broke: {type(error).__name__}: {error}"
        else:
            if finding is None:
                good.append(check.name)
            else:
                systemd = seen.settings.manager == "systemd"
                wrong.append((check, replace(finding, command=by_systemd(finding.command)) if systemd else finding))
    return Report(sorted(wrong, key=lambda one: not one[1].urgent), unknown, good)


def mend(report: Report, fix: Callable[[Check], None]) -> list[Mended]:
    """Mends what was found and may be mended; one failure does not keep from the next."""
    mended = []
    for check, finding in report.wrong:
        if check.fix is None:
            continue
        try:
            fix(check)
        except CvatdError as error:
            mended.append(Mended(check.name, finding.words, error.message))
        except Exception as error:
            mended.append(Mended(check.name, finding.words, f"{type(error).__name__}: {error}"))
        else:
            mended.append(Mended(check.name, finding.words))
    return mended
