"""What a host agent hears from its guest, and what it tells the world."""

from collections.abc import AsyncIterator
from typing import Protocol

from lima.domain.events import AgentStatus
from lima.domain.guest_progress import GuestProgress


class GuestProgressSource(Protocol):
    """The host end of the guest's progress port."""

    def lines(self, socket_path: str) -> AsyncIterator[GuestProgress]:
        """What the guest says, as it comes; connects again when the guest reboots. Junk is dropped, and at most
        `guest_progress.MAX_LINES` are taken from one connection. Ends only by being cancelled or closed."""
        ...


class AgentEventLog(Protocol):
    """The event lines of the host agent."""

    def publish(self, status: AgentStatus) -> None:
        """Append one event with the present time; on disk when it returns, as far as the disk has room."""
        ...


class PortAllocator(Protocol):
    """Free loopback ports of the host."""

    def free_tcp_port(self) -> int:
        """A TCP port on 127.0.0.1 that nothing listens on right now."""
        ...
