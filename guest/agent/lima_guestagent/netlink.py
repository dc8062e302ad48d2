"""Wakes when the kernel says over netlink that a UDP socket is gone, or that packet filter rules changed.

Binding a UDP socket is no such event (tracefs.py has it), and a TCP listener that ends is told by tracefs, too: here
every closed connection would be a message.
"""

import contextlib
import socket
import struct

from . import log
from .sockets import NETLINK_SOCK_DIAG, RECEIVE

TYPE_CHECKING = False  # the module of that name costs start time
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator

NETLINK_NETFILTER = 12
UDP_DESTROYED = 1 << 1 | 1 << 3  # groups SKNLGRP_INET_UDP_DESTROY, SKNLGRP_INET6_UDP_DESTROY
RULES_CHANGED = 1 << 6  # group NFNLGRP_NFTABLES; iptables-nft writes there, too
READS = 64


class NetlinkWakes:
    """Messages of one netlink protocol. `concerns` says of a batch of them whether to wake."""

    def __init__(
        self, loop: "asyncio.AbstractEventLoop", protocol: int, groups: int, concerns: "Callable[[bytes], bool]"
    ) -> None:
        self._loop = loop
        self._protocol = protocol
        self._groups = groups
        self._concerns = concerns
        self._socket = None
        self._wake = None

    def start(self, wake: "Callable[[], None]") -> None:
        """Begin; a kernel that does not know the group is left to the timer."""
        self._wake = wake
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        try:
            self._socket = socket.socket(socket.AF_NETLINK, kind, self._protocol)
            self._socket.bind((0, self._groups))
        except OSError as error:
            log.debug("no netlink events of protocol %d: %s" % (self._protocol, error))
            self.stop()
            return
        self._loop.add_reader(self._socket.fileno(), self._receive)

    @property
    def is_complete(self) -> bool:
        """Whether the kernel tells us."""
        return self._socket is not None

    def _receive(self) -> None:
        matters = False
        try:
            for _ in range(READS):
                data = self._socket.recv(RECEIVE)
                matters = matters or self._concerns(data)
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            matters = True  # messages were lost (ENOBUFS): anything may have happened
        if matters:
            self._wake()

    def stop(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError, ValueError):
                self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None


def destroyed_ports(data: bytes) -> "Iterator[int]":
    """Local ports in a batch of inet_diag messages."""
    at = 0
    while at + 16 <= len(data):
        (length,) = struct.unpack_from("=I", data, at)
        if length < 22 or at + length > len(data):
            return
        yield struct.unpack_from("!H", data, at + 20)[0]
        at += (length + 3) & ~3


def udp_ends(loop: "asyncio.AbstractEventLoop", known: "Callable[[], set[int]]") -> NetlinkWakes:
    """Wakes when a socket is gone whose port is one of `known()`: not for each client that asked a name server."""

    def concerns(data: bytes) -> bool:
        ports = known()
        return any(port in ports for port in destroyed_ports(data))

    return NetlinkWakes(loop, NETLINK_SOCK_DIAG, UDP_DESTROYED, concerns)


def rule_changes(loop: "asyncio.AbstractEventLoop", note: "Callable[[], None]") -> NetlinkWakes:
    """Calls `note` and wakes when rules of the packet filter changed."""

    def concerns(_data: bytes) -> bool:
        note()
        return True

    return NetlinkWakes(loop, NETLINK_NETFILTER, RULES_CHANGED, concerns)
