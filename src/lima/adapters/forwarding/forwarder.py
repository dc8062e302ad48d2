"""The PortForwarder port on asyncio: this process listens, and each client gets a tunnel."""

import contextlib
import os
import weakref

from lima.adapters.forwarding.connections import Connections
from lima.adapters.forwarding.datagrams import DatagramForward
from lima.adapters.forwarding.sockets import listen
from lima.adapters.forwarding.streams import StreamForward
from lima.domain.forwarding import HostEnd
from lima.domain.guest_ports import PortProtocol
from lima.ports.port_forwarder import Dial, GuestTarget


class TunnelPortForwarder:
    """`dial` makes tunnels. All forwards of one instance share one limit of connections."""

    def __init__(self, dial: Dial, connections: Connections | None = None) -> None:
        self._dial = dial
        self._connections = Connections() if connections is None else connections
        self._forwards: weakref.WeakSet[StreamForward | DatagramForward] = weakref.WeakSet()
        """Those that listen: asyncio holds them, and lets go of what is closed."""
        self._made: set[str] = set()

    async def open(self, protocol: PortProtocol, end: HostEnd, guest: GuestTarget) -> StreamForward | DatagramForward:
        kind = StreamForward if protocol is PortProtocol.TCP else DatagramForward
        listening = listen(protocol, end)
        self._made.update({listening.made} - {""})
        forward = kind(listening, self._dial, guest, self._connections)
        await forward.start()
        self._forwards.add(forward)
        return forward

    async def renew(self) -> frozenset[HostEnd]:
        return frozenset()  # this process listens, whatever becomes of the guest

    async def close(self) -> None:
        for forward in list(self._forwards):
            await forward.close()
        await self._connections.end()
        while self._made:
            # it stays where somebody else has put something
            with contextlib.suppress(OSError):
                os.rmdir(self._made.pop())
