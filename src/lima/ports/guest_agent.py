"""The agent that runs inside a guest: what it sees there, and what it does there for the host."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from lima.domain.guest_ports import GuestPort, PortsChanged


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockReport:
    """What became of the guest's clock. `drift_ms`: how far it was ahead of the host's. `problem` is empty where it was
    right or could be set."""

    drift_ms: int
    was_set: bool = False
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileTouched:
    """A file of a mount changed on the host. `path` is the guest's."""

    path: str
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class GuestSocket:
    """A unix socket in the guest, by its absolute path there."""

    path: str

    def __str__(self) -> str:
        return self.path


class Tunnel(Protocol):
    """Bytes to and from one address in the guest. For UDP, every piece is one datagram.

    All but `opened` and `close` raise GuestDialError where the guest could not reach the address (a tunnel is open before the guest
    has tried) and GuestAgentError once the agent is gone. Cancelling one of them may end the tunnel.
    """

    async def opened(self) -> None:
        """Return once the guest has reached the address or could not, or the tunnel is over; at once where the agent does
        not tell. Raises nothing, and cancelling it ends nothing."""
        ...

    async def send(self, data: bytes) -> None:
        """Return when the data is on its way; waits while the guest takes no more. Once the far end has closed, the
        data is dropped: `receive` tells the end."""
        ...

    async def end_sending(self) -> None:
        """Nothing more is sent; what the far end still says is received. An agent that cannot pass this on is spared
        it: its far end then sees the end at `close`. Doing it twice is no error."""
        ...

    async def receive(self) -> bytes | None:
        """The next piece, None when the far end has said its last. Whoever does not call this stops the sender."""
        ...

    async def close(self) -> None:
        """End both directions. Doing it twice is no error."""
        ...


class GuestAgent(Protocol):
    """What an agent does. Each call raises GuestAgentError where it is not connected, does not answer in time, or says
    what cannot be; none waits for ever."""

    async def listening(self) -> tuple[GuestPort, ...]:
        """The ports that somebody in the guest listens on now; `guest_ports.MAX_PORTS` at most."""
        ...

    def changes(self) -> AsyncIterator[PortsChanged]:
        """What changes from now on: asked for by this call, not by the first step. May begin with what changed since
        an earlier host went away. Ends by raising when the connection does."""
        ...

    async def set_clock(self, now_ns: int) -> ClockReport:
        """Make the guest's clock show `now_ns` (since the epoch), where it is off by more than 100 ms."""
        ...

    async def touch(self, files: AsyncIterator[FileTouched]) -> None:
        """Give files in the guest the times they have on the host, so that watchers there see them change. Returns when
        `files` ends. Files that are not there are passed over."""
        ...

    async def tunnel(self, target: GuestPort | GuestSocket) -> Tunnel:
        """A new tunnel to `target`."""
        ...


class GuestAgentLink(GuestAgent, Protocol):
    """The one connection to an agent, for whoever keeps it up. All others see a `GuestAgent`."""

    async def connect(self, socket_path: str) -> None:
        """Return once the agent behind this socket of the host has answered. An earlier connection is closed before: a
        serial port has room for one.

        Raises:
            GuestAgentError: nobody answered within the adapter's short limit, or it was no agent.
        """
        ...

    async def close(self) -> None:
        """End the connection and all that runs over it, without waiting for the agent. Twice is no error."""
        ...
