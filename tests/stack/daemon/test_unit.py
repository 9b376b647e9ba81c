"""The unit for hosts without NixOS: systemd itself reads it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cvatd.core.settings import StackSettings
from cvatd.stack.layout import ROOT_ONLY
from tests.podman_host import ROOT

UNIT = ROOT / "docs" / "daemon.service"


def value(key: str) -> str:
    found = re.search(rf"^{key}=(.*)$", UNIT.read_text(), re.MULTILINE)
    assert found, key
    return found[1]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze")
def test_systemd_finds_nothing_wrong_with_it(tmp_path: Path) -> None:
    # The program must be there for systemd to be content.
    text = UNIT.read_text().replace("/usr/local/bin/cvatd", sys.executable)
    unit = tmp_path / "cvatd.service"
    unit.write_text(text.replace("Wants=podman.socket\n", ""))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(unit)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_it_agrees_with_the_settings() -> None:
    settings = StackSettings()
    assert value("RuntimeDirectory") == settings.socket.parent.name
    assert f"-{settings.data_dir}" in value("ReadWritePaths").split()
    # What is not there when it starts stays read-only to it.
    assert Path("/var/lib", value("StateDirectory")) == settings.data_dir
    assert int(value("StateDirectoryMode"), 8) == ROOT_ONLY
    assert value("Type") == "notify"


def test_it_may_do_what_the_bridge_needs() -> None:
    """`bridge` never fails: what it may not do would be missed by nobody."""
    assert {"CAP_NET_ADMIN", "CAP_NET_RAW"} <= set(value("CapabilityBoundingSet").split())
    assert {"AF_INET", "AF_PACKET"} <= set(value("RestrictAddressFamilies").split())
