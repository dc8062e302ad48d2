"""The PortForwarder port by OpenSSH: its control master listens, and no byte passes through this process.

A place is asked for here first, which is how it is known why it cannot be had: the master only says no.
"""

import contextlib
import os

from lima.adapters.forwarding.sockets import check, remove_stale
from lima.domain.errors import (
    HostPortError,
    HostPortRefusedError,
    HostPortTakenError,
    RemoteCommandError,
    TransportError,
)
from lima.domain.forwarding import HostEnd, HostSocket
from lima.domain.guest_ports import PortProtocol
from lima.ports.port_forwarder import GuestTarget
from lima.ports.transport import Transport


class SshForward:
    """What the master is asked for, again whenever there is a new one. `known` holds those that are open."""

    def __init__(
        self, transport: Transport, end: HostEnd, guest: GuestTarget, known: dict[HostEnd, "SshForward"]
    ) -> None:
        self.made = ""
        self._transport = transport
        self._end = end
        self._guest = guest
        self._known = known

    async def establish(self) -> None:
        """Let the master listen; nothing where there is none. Raises: HostPortError."""
        self.made = check(PortProtocol.TCP, self._end) or self.made
        try:
            await self._transport.forward(str(self._end), str(self._guest))
        except RemoteCommandError as error:
            raise HostPortTakenError(f"cannot listen on {self._end}: {error.message}") from error
        except TransportError:
            return  # the next login makes it
        if isinstance(self._end, HostSocket):
            # the master's own mask may let others in
            with contextlib.suppress(OSError):
                os.chmod(self._end.path, 0o600)

    async def lead(self, guest: GuestTarget) -> None:
        if guest == self._guest:
            return
        await self.cancel()
        self._guest = guest
        try:
            await self.establish()
        except HostPortError:
            self._known.pop(self._end, None)
            raise

    async def close(self) -> None:
        if self._known.get(self._end) is self:
            del self._known[self._end]
            await self.cancel()
            if isinstance(self._end, HostSocket):
                # a master that is gone leaves it
                with contextlib.suppress(OSError):
                    remove_stale(self._end.path)

    async def cancel(self) -> None:
        """Let the master listen no longer."""
        await self._transport.cancel(str(self._end), str(self._guest))


class SshPortForwarder:
    """TCP only."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._forwards: dict[HostEnd, SshForward] = {}
        self._made: set[str] = set()

    async def open(self, protocol: PortProtocol, end: HostEnd, guest: GuestTarget) -> SshForward:
        if protocol is not PortProtocol.TCP:
            raise HostPortRefusedError(f"cannot listen on {end}: OpenSSH forwards no UDP")
        forward = SshForward(self._transport, end, guest, self._forwards)
        await forward.establish()
        self._made.update({forward.made} - {""})
        self._forwards[end] = forward
        return forward

    async def renew(self) -> frozenset[HostEnd]:
        lost = set()
        for end, forward in list(self._forwards.items()):
            await forward.cancel()
            try:
                await forward.establish()
            except HostPortError:
                lost.add(end)
                self._forwards.pop(end, None)
        return frozenset(lost)

    async def close(self) -> None:
        for forward in list(self._forwards.values()):
            await forward.close()
        while self._made:
            # it stays where somebody else has put something
            with contextlib.suppress(OSError):
                os.rmdir(self._made.pop())
