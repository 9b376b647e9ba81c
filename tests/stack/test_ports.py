"""Who holds a port: asked of real sockets, and read out of the kernel's table."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from cvatd.core.errors import CvatdError
from cvatd.core.settings import StackSettings
from cvatd.stack.plan import Action, Change, Plan
from cvatd.stack.ports import check, listening, why_not
from cvatd.stack.render import render
from cvatd.stack.spec import Stack

# Two that listen on 8093 (one for all addresses), a connection from 8093, one to 8093, and others.
TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F9D 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 21001 1 0000000000000000 100
   1: 00000000:1F9D 00000000:0000 0A 00000000:00000000 00:00000000 00000000   999        0 21002 1 0000000000000000 100
   2: 0100007F:1F9D 0100007F:C350 01 00000000:00000000 02:000006D6 00000000     0        0 21003 2 0000000000000000 20
   3: 0100007F:C350 0100007F:1F9D 01 00000000:00000000 02:000006D6 00000000     0        0 21004 2 0000000000000000 20
   4: 0100007F:1F9D 0100007F:C351 06 00000000:00000000 03:000006D6 00000000     0        0 0 3 0000000000000000
   5: 0100007F:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 21005 1 0000000000000000 100
"""
TABLE6 = """\
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when re
   0: 00000000000000000000000000000000:1F9D 00000000000000000000000000000000:0000 0A 00000000:00000000 0:0 0 0 0 31001
"""
LISTEN = """
import socket, sys, time
server = socket.create_server((sys.argv[1], 0))
print(server.getsockname()[1], flush=True)
time.sleep(60)
"""


def test_only_those_that_listen_on_the_port_count() -> None:
    assert listening(TABLE, "127.0.0.1", 8093) == ["21001", "21002"]
    assert listening(TABLE6, "::1", 8093) == ["31001"]
    assert listening(TABLE, "127.0.0.1", 22) == ["21005"]
    assert listening(TABLE, "127.0.0.1", 0xC350) == []
    assert listening("", "127.0.0.1", 8093) == []


def test_who_listens_at_another_address_is_in_nobodys_way() -> None:
    assert listening(TABLE, "192.0.2.1", 8093) == ["21002"]
    assert listening(TABLE, "192.0.2.1", 22) == []
    assert listening(TABLE, "0.0.0.0", 22) == ["21005"]
    assert listening(TABLE6, "127.0.0.1", 8093) == ["31001"]
    mapped = TABLE6.replace("0" * 32 + ":1F9D", "0000000000000000FFFF00000100007F:1F9D")
    assert listening(mapped, "127.0.0.1", 8093) == ["31001"]
    assert listening(mapped, "192.0.2.1", 8093) == []


@pytest.fixture
def listener() -> Iterator[tuple[int, int]]:
    """A process that listens on a port of 127.0.0.1: (process, port)."""
    process = subprocess.Popen([sys.executable, "-c", LISTEN, "127.0.0.1"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.pid, int(process.stdout.readline())
    finally:
        process.kill()
        process.wait(10)


def test_a_real_listener_is_found_in_the_kernels_own_table() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        inodes = listening(Path("/proc/net/tcp").read_text(), "127.0.0.1", server.getsockname()[1])
        assert f"socket:[{inodes[0]}]" == os.readlink(f"/proc/self/fd/{server.fileno()}")


def test_a_free_port_is_free_and_is_left_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert why_not("127.0.0.1", port) == "it is taken"
        assert why_not("0.0.0.0", port) == "it is taken"
    assert why_not("127.0.0.1", port) is None
    assert why_not("127.0.0.1", port) is None


@pytest.mark.skipif(not Path("/proc/net/tcp6").exists(), reason="a host without IPv6")
def test_ports_of_ipv6_are_asked_alike() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        port = server.getsockname()[1]
        assert why_not("::1", port) == "it is taken"
        assert listening(Path("/proc/net/tcp6").read_text(), "::1", port)
    assert why_not("::1", port) is None


def test_an_address_of_another_host_is_named_so() -> None:
    assert why_not("192.0.2.1", 8093) == "this host has no such address"


def stack_at(port: int) -> Stack:
    return render(StackSettings(port=port))


def plan_of(stack: Stack, proxy: Action) -> Plan:
    changes = [Change(name, proxy if name == "cvat-proxy" else "keep") for name in stack.names]
    return Plan(changes=changes, pull=[], make_network=False)


@pytest.mark.parametrize("action", ["create", "replace", "start"])
def test_a_taken_port_is_refused_with_the_process_that_has_it(
    listener: tuple[int, int], action: Literal["create", "replace", "start"]
) -> None:
    process, port = listener
    stack = stack_at(port)
    with pytest.raises(CvatdError) as refused:
        check(stack, plan_of(stack, action))
    assert refused.value.code == "port"
    assert f"cvat-proxy cannot have 127.0.0.1:{port}: it is taken" in refused.value.message
    assert f"(process {process})" in refused.value.message
    assert "stack.port" in refused.value.message


def test_a_container_that_stays_is_not_asked_for_its_port(listener: tuple[int, int]) -> None:
    stack = stack_at(listener[1])
    check(stack, plan_of(stack, "keep"))


@pytest.fixture
def conmon(tmp_path: Path) -> Iterator[int]:
    """A process called conmon that watches over the container cvat-proxy and holds its port, as Podman's does."""
    program = tmp_path / "conmon"
    program.symlink_to(sys.executable)
    arguments = [str(program), "-c", LISTEN, "127.0.0.1", "-n", "cvat-proxy", "--exit-dir", "/x"]
    process = subprocess.Popen(
        arguments, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONHOME": sys.base_prefix}
    )
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait(10)


def test_the_container_that_is_to_be_replaced_may_hold_its_own_port(conmon: int) -> None:
    stack = stack_at(conmon)
    check(stack, plan_of(stack, "replace"))


def test_another_container_is_called_by_its_name(conmon: int) -> None:
    stack = stack_at(conmon)
    proxy = stack.container("cvat-proxy").model_copy(update={"name": "cvat-other"})
    renamed = stack.model_copy(update={"containers": [proxy]})
    with pytest.raises(CvatdError, match="by the container cvat-proxy"):
        check(renamed, Plan([Change("cvat-other", "create")], [], False))


def test_a_free_port_is_no_reason_to_stop() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    stack = stack_at(port)
    check(stack, plan_of(stack, "create"))
