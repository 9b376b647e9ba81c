"""docs/doctor.md has one row for each check, in the registry's words."""

from pathlib import Path

from cvatd.stack.doctor.registry import CHECKS

PAGE = Path(__file__).resolve().parents[3] / "docs" / "doctor.md"


def test_the_table_is_the_registry() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    assert rows == [
        f"| `{check.name}` | {check.sees} | {check.mends} | {'yes' if check.fix else 'no'} |" for check in CHECKS
    ]
