"""How preparing a data set ends early."""

from collections.abc import Sequence

from cvatd.core.errors import CvatdError

SHOWN = 10  # findings that a message lists before it counts the rest


class DatasetError(CvatdError):
    """The data set cannot be trained on. `code` begins with `dataset_`; the message names file and line."""


class IngestStopped(Exception):
    """`should_stop` said yes. Nothing half-done is left in the run's folder; a download can go on later."""


def listed(findings: Sequence[str]) -> str:
    """The first findings, one a line, and how many more there are."""
    lines = [f"  {finding}" for finding in findings[:SHOWN]]
    if len(findings) > SHOWN:
        lines.append(f"  ... and {len(findings) - SHOWN} more")
    return "\n".join(lines)
