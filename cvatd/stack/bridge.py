"""The containers' bridge on this host, so that neighbours find each other at once.

A Linux bridge takes the lowest hardware address among its ports. With Podman 4.3 it thus changes as containers come
and go, and those that run lose their name server and the host for up to half a minute, until they ask anew who has
the address. One that was set by hand stays.

And a container that starts anew has a new hardware address, on an Internet address that was another's or its own
before: neighbours that remember the old one lose it for as long. They take up what is announced.
"""

import contextlib
import fcntl
import ipaddress
import socket
import struct

from cvatd.core.errors import CvatdError
from cvatd.stack.podman import Podman

SIOCSIFHWADDR = 0x8924
SIOCGIFHWADDR = 0x8927
ETHERNET = 1  # ARPHRD_ETHER
IPV4 = 0x0800
ARP = 0x0806
ASK = 1
EVERYBODY = b"\xff" * 6
REQUEST = struct.Struct("16s24x")
FRAME = struct.Struct("!6s6sHHHBBH6s4s6s4s")


def settle(podman: Podman, network: str, container: str) -> None:
    """After the start of a container. Never fails: it only spares pauses."""
    with contextlib.suppress(CvatdError):
        interface = podman.interface(network)
        keep_address(interface)
        addresses = podman.addresses(container, network)
        if interface and addresses:
            announce(interface, *addresses)


def announce(interface: str, address: str, hardware: str) -> None:
    """Tell all on this bridge who has the address, as the container itself would by a gratuitous ARP (RFC 5227)."""
    with contextlib.suppress(OSError, ValueError), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind((interface, 0))
        own: bytes = wire.getsockname()[4]
        theirs, number = _hardware(hardware), ipaddress.IPv4Address(address).packed
        none = bytes(len(theirs))
        frame = (EVERYBODY, own, ARP, ETHERNET, IPV4, len(theirs), len(number), ASK, theirs, number, none, number)
        wire.send(FRAME.pack(*frame))


def keep_address(interface: str | None) -> None:
    """Give the bridge the address that it has. Never fails."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        # Name, family, address: the answer to the question is the order.
        request = fcntl.ioctl(control, SIOCGIFHWADDR, REQUEST.pack((interface or "").encode()))
        fcntl.ioctl(control, SIOCSIFHWADDR, request)


def _hardware(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))
