"""Every check is broken for real in tests/e2e, so that none is added that sees its fault only on paper."""

import re
from pathlib import Path

from cvatd.stack.doctor.registry import CHECKS

E2E = Path(__file__).resolve().parents[2] / "e2e"
# A finding taken out of what doctor said, as in wrong["disk"] or answer["wrong"]["disk"].
TAKEN = re.compile(r'\bwrong(?:"\])?\["([a-z-]+)"\]')


def test_every_check_is_broken_for_real_and_its_finding_looked_at() -> None:
    taken = {name for file in E2E.rglob("*.py") for name in TAKEN.findall(file.read_text())}
    assert taken == {check.name for check in CHECKS}
