"""The address of the containers' bridge, kept still.

A Linux bridge takes the lowest hardware address among its ports. With Podman 4.3 it thus changes as containers come
and go, and those that run lose their name server and the host for up to half a minute, until they ask anew who has
the address. One that was set by hand stays.
"""

import contextlib
import fcntl
import socket
import struct
from pathlib import Path

INTERFACES = Path("/sys/class/net")
SET_BY_HAND = "3"  # NET_ADDR_SET of the kernel's netdevice.h
SIOCSIFHWADDR = 0x8924
ETHERNET = 1  # ARPHRD_ETHER
REQUEST = struct.Struct("16sH6s16x")


def keep_address(interface: str | None) -> bool:
    """Give the bridge the address that it has. True when that was needed; never fails, for it only spares a pause."""
    with contextlib.suppress(OSError, ValueError):
        folder = INTERFACES / (interface or "-")
        if (folder / "addr_assign_type").read_text().strip() == SET_BY_HAND:
            return False
        address = bytes.fromhex((folder / "address").read_text().strip().replace(":", ""))
        if not any(address):
            return False
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            fcntl.ioctl(control, SIOCSIFHWADDR, REQUEST.pack(folder.name.encode(), ETHERNET, address))
        return True
    return False
