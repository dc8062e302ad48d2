"""A fake port forwarder: a host whose addresses are names in a dictionary."""

import asyncio
from typing import TypeAlias

from lima.domain.errors import GuestAgentError, HostPortTakenError
from lima.domain.forwarding import HostEnd
from lima.domain.guest_ports import PortProtocol
from lima.ports.guest_agent import Tunnel
from lima.ports.port_forwarder import Dial, GuestTarget
from lima.testing.fakes.failing import Failing

Key: TypeAlias = tuple[PortProtocol, HostEnd]


class FakeForward:
    """Listens until it is closed."""

    def __init__(self, forwarder: "FakePortForwarder", key: Key) -> None:
        self._forwarder = forwarder
        self._key = key

    async def lead(self, guest: GuestTarget) -> None:
        self._forwarder._maybe_fail()
        self._forwarder.listening[self._key] = guest

    async def close(self) -> None:
        self._forwarder.listening.pop(self._key, None)


class FakePortForwarder(Failing):
    """PortForwarder of a host where `taken` belongs to others."""

    def __init__(self, dial: Dial) -> None:
        super().__init__()
        self.listening: dict[Key, GuestTarget] = {}
        self.taken: set[Key] = set()
        self.attempts = 0
        self.renewals = 0
        self._dial = dial
        self._tunnels: list[Tunnel] = []

    async def open(self, protocol: PortProtocol, end: HostEnd, guest: GuestTarget) -> FakeForward:
        self.attempts += 1
        self._maybe_fail()
        key = (protocol, end)
        if key in self.taken or key in self.listening:
            raise HostPortTakenError(f"cannot listen on {end}: Address already in use")
        self.listening[key] = guest
        return FakeForward(self, key)

    async def renew(self) -> frozenset[HostEnd]:
        self.renewals += 1
        lost = [key for key in self.listening if key in self.taken]
        for key in lost:
            del self.listening[key]
        return frozenset(end for _, end in lost)

    async def close(self) -> None:
        self.listening.clear()
        for tunnel in self._tunnels:
            await tunnel.close()

    async def say(self, protocol: PortProtocol, end: HostEnd, *data: bytes) -> list[bytes]:
        """A client connects, says all this, and tells what it hears. Raises: ConnectionError."""
        guest = self.listening.get((protocol, end))
        if guest is None:
            raise ConnectionRefusedError(str(end))
        try:
            tunnel = await self._dial(guest)
            self._tunnels.append(tunnel)
            if protocol is PortProtocol.UDP:
                return [await _exchange(tunnel, piece) for piece in data]
            _, heard = await asyncio.gather(_say_all(tunnel, data), _hear_all(tunnel))
        except GuestAgentError as error:
            raise ConnectionResetError(error.message) from error
        await tunnel.close()
        return heard


async def _exchange(tunnel: Tunnel, piece: bytes) -> bytes:
    await tunnel.send(piece)
    return await tunnel.receive() or b""


async def _say_all(tunnel: Tunnel, data: tuple[bytes, ...]) -> None:
    for piece in data:
        await tunnel.send(piece)
    await tunnel.end_sending()


async def _hear_all(tunnel: Tunnel) -> list[bytes]:
    heard = []
    while (piece := await tunnel.receive()) is not None:
        heard.append(piece)
    return heard
