"""The PortForwarder port on asyncio: this process listens, and each client gets a tunnel."""

from lima.adapters.forwarding.connections import Connections
from lima.adapters.forwarding.datagrams import DatagramForward
from lima.adapters.forwarding.sockets import listen
from lima.adapters.forwarding.streams import StreamForward
from lima.domain.forwarding import HostEnd
from lima.domain.guest_ports import PortProtocol
from lima.ports.port_forwarder import Dial


class TunnelPortForwarder:
    """All forwards of one instance share one limit of connections."""

    def __init__(self, connections: Connections | None = None) -> None:
        self._connections = Connections() if connections is None else connections
        self._forwards: list[StreamForward | DatagramForward] = []

    async def open(self, protocol: PortProtocol, end: HostEnd, dial: Dial) -> StreamForward | DatagramForward:
        kind = StreamForward if protocol is PortProtocol.TCP else DatagramForward
        forward = kind(listen(protocol, end), dial, self._connections)
        await forward.start()
        self._forwards = [*(one for one in self._forwards if not one.is_closed), forward]
        return forward

    async def close(self) -> None:
        forwards, self._forwards = self._forwards, []
        for forward in forwards:
            await forward.close()
        await self._connections.end()
