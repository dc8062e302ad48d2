"""The host's end of port forwards."""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeAlias

from lima.domain.forwarding import HostEnd
from lima.domain.guest_ports import GuestPort, PortProtocol
from lima.ports.guest_agent import GuestSocket, Tunnel

GuestTarget: TypeAlias = GuestPort | GuestSocket
Dial: TypeAlias = Callable[[GuestTarget], Awaitable[Tunnel]]
"""A new tunnel for a new client. Raises GuestAgentError where the guest is out of reach."""


class Forward(Protocol):
    """One address of the host that listens."""

    async def lead(self, guest: GuestTarget) -> None:
        """New clients go there from now on. Raises: HostPortError where that costs it its place, which is then lost."""
        ...

    async def close(self) -> None:
        """Listen no longer; a socket's file goes. TCP connections that stand go on, since a program may well close its
        port and go on talking; clients over UDP are forgotten. Doing it twice is no error."""
        ...


class PortForwarder(Protocol):
    """Listens on this host, and carries bytes between each client and an address in the guest."""

    async def open(self, protocol: PortProtocol, end: HostEnd, guest: GuestTarget) -> Forward:
        """Return once `end` listens; where nobody can listen while the guest is out of reach, at the next `renew`. A
        socket that nobody listens on any more is replaced.

        A client is served with both ends of its words kept apart: what one side ends, the other may go on answering. One
        that cannot be served sees its connection refused or reset; over UDP it hears nothing.

        Raises:
            HostPortTakenError: somebody else listens there, or a file that is no socket lies there.
            HostPortRefusedError: this host does not let us, and will not later.
        """
        ...

    async def renew(self) -> frozenset[HostEnd]:
        """The way into the guest is new: forwards that ended with the old one are made again. Returns those whose places
        somebody else has by now; they are closed."""
        ...

    async def close(self) -> None:
        """End every forward and every connection. Doing it twice is no error."""
        ...
