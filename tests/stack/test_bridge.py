"""The bridge's address stays its own as ports come and go, and neighbours take up what is announced: on a real bridge
in a network of the test's own.
"""

import os
import shutil
import subprocess
import sys

import pytest

from cvatd.stack.bridge import announce, keep_address

TIMEOUT_S = 60
PROGRAM = """
import subprocess, sys
from pathlib import Path
from cvatd.stack.bridge import keep_address

def ip(*arguments):
    subprocess.run(["ip", "link", *arguments], check=True, timeout=10, capture_output=True)

def address(name):
    return Path(f"/sys/class/net/{name}/address").read_text().strip()

def join(name, low):
    ip("add", name, "address", low, "type", "veth", "peer", "name", f"{name}p")
    ip("set", name, "master", "podman7")

subprocess.run(["mount", "-t", "sysfs", "none", "/sys"], check=True, timeout=10)
ip("add", "podman7", "type", "bridge")
join("first", "0e:00:00:00:00:99")
print("of its first port", address("podman7"))
if sys.argv[1] == "kept":
    keep_address("podman7")
    keep_address("podman7")
join("lower", "02:00:00:00:00:01")
print("with a lower port", address("podman7"))
ip("del", "first")
print("without its first port", address("podman7"))
"""
NEIGHBOUR = """
import subprocess, time
from cvatd.stack.bridge import announce

def ip(*arguments):
    return subprocess.run(["ip", *arguments], check=True, timeout=10, capture_output=True, text=True).stdout

other = subprocess.Popen(["unshare", "--net", "sh", "-c", "echo up; exec sleep 30"], stdout=subprocess.PIPE)
other.stdout.readline()
inside = ["nsenter", "--net", "--target", str(other.pid), "ip"]
def there(*arguments):
    return subprocess.run([*inside, *arguments], check=True, timeout=10, capture_output=True, text=True).stdout

try:
    ip("link", "add", "podman7", "type", "bridge")
    ip("link", "add", "port", "type", "veth", "peer", "name", "eth0")
    ip("link", "set", "port", "master", "podman7", "up")
    ip("link", "set", "podman7", "up")
    ip("link", "set", "eth0", "netns", str(other.pid))
    there("address", "add", "10.9.0.2/24", "dev", "eth0")
    there("link", "set", "eth0", "up")
    there("neigh", "replace", "10.9.0.3", "lladdr", "02:00:00:00:00:01", "dev", "eth0", "nud", "reachable")
    deadline = time.monotonic() + 30
    remembered = ""
    # The kernel opens the new port when it comes to it; a container that runs has long had its own.
    while remembered != "02:00:00:00:00:02" and time.monotonic() < deadline:
        announce("podman7", "10.9.0.3", "02:00:00:00:00:02")
        time.sleep(0.05)
        remembered = there("neigh", "show", "10.9.0.3").split("lladdr ")[1].split()[0]
    print("remembered", remembered)
finally:
    other.kill()
    other.wait(10)
"""


def test_without_a_bridge_nothing_is_kept_or_told() -> None:
    for name in (None, "", "no-such-bridge", "../../proc", "x" * 200):
        keep_address(name)
        announce(name or "", "10.9.0.3", "02:00:00:00:00:02")
    announce("lo", "nonsense", "02")


def in_an_own_network(program: str, mode: str = "") -> dict[str, str]:
    """What the program prints in namespaces of its own, by its words."""
    command = ["unshare", "--net", "--mount", sys.executable, "-c", program, mode]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stderr
    return {line.rpartition(" ")[0]: line.rpartition(" ")[2] for line in done.stdout.splitlines()}


def _can_make_bridges() -> bool:
    if os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("ip"):
        return False
    command = ["unshare", "--net", "--mount", "sh", "-c", "mount -t sysfs none /sys && ip link add podman7 type bridge"]
    return subprocess.run(command, capture_output=True, timeout=TIMEOUT_S, check=False).returncode == 0


@pytest.fixture(scope="module")
def bridges() -> None:
    if not _can_make_bridges():
        pytest.skip("takes root, unshare and ip, and a kernel with bridges")


@pytest.mark.usefixtures("bridges")
def test_a_bridge_left_alone_changes_its_address_with_its_ports() -> None:
    """What the mend is for: where this fails, it is needed no more."""
    seen = in_an_own_network(PROGRAM, "left")
    assert seen["of its first port"] != seen["with a lower port"] == "02:00:00:00:00:01"


@pytest.mark.usefixtures("bridges")
def test_a_bridge_that_was_told_its_address_keeps_it() -> None:
    seen = in_an_own_network(PROGRAM, "kept")
    first = seen["of its first port"]
    assert (seen["with a lower port"], seen["without its first port"]) == (first, first)


@pytest.mark.usefixtures("bridges")
def test_a_neighbour_takes_up_a_new_hardware_address() -> None:
    assert in_an_own_network(NEIGHBOUR)["remembered"] == "02:00:00:00:00:02"
