"""Datagrams: each client's address has a tunnel of its own, until it has been quiet for a while."""

import asyncio
import contextlib
from typing import Any, TypeAlias, cast

from lima.adapters.forwarding.connections import Connections
from lima.adapters.forwarding.sockets import Listening
from lima.domain.errors import GuestAgentError
from lima.ports.guest_agent import Tunnel
from lima.ports.port_forwarder import Dial, GuestTarget

IDLE_S = 90.0
QUEUE_SIZE = 512
"""Datagrams of one client that wait for the guest; more are dropped, as a network does."""
MAX_UNSENT = 1 << 20
"""Bytes that wait for the host's own network; datagrams beyond are dropped."""
Address: TypeAlias = tuple[Any, ...]


class DatagramForward(asyncio.DatagramProtocol):
    """A bound socket, and the clients that have spoken to it."""

    def __init__(
        self,
        listening: Listening,
        dial: Dial,
        guest: GuestTarget,
        connections: Connections,
        *,
        idle_s: float = IDLE_S,
    ) -> None:
        self._listening = listening
        self._dial = dial
        self._guest = guest
        self._connections = connections
        self._idle_s = idle_s
        self._transport: asyncio.DatagramTransport | None = None
        self._queues: dict[Address, asyncio.Queue[bytes]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = asyncio.Event()

    async def start(self) -> None:
        """Hear clients."""
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: self, sock=self._listening.socket)

    async def lead(self, guest: GuestTarget) -> None:
        self._guest = guest

    async def close(self) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()
            await self._closed.wait()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def connection_lost(self, _exc: Exception | None) -> None:
        self._transport = None
        self._closed.set()

    def datagram_received(self, data: bytes, addr: Address) -> None:
        queue = self._queues.get(addr)
        if queue is None:
            queue = self._queues[addr] = asyncio.Queue(QUEUE_SIZE)
            task = self._connections.add(self._serve(addr, queue))
            if task is None:
                del self._queues[addr]
                return
            self._tasks.add(task)
            task.add_done_callback(lambda ended: self._ended(ended, addr))
        with contextlib.suppress(asyncio.QueueFull):
            queue.put_nowait(data)

    def error_received(self, exc: Exception) -> None:
        """A client is no longer there: its tunnel ends with its silence."""

    def _ended(self, task: "asyncio.Task[None]", addr: Address) -> None:
        self._tasks.discard(task)
        self._queues.pop(addr, None)

    async def _serve(self, addr: Address, queue: "asyncio.Queue[bytes]") -> None:
        with contextlib.suppress(GuestAgentError, TimeoutError):
            tunnel = await self._dial(self._guest)
            try:
                async with asyncio.timeout(self._idle_s) as idle:
                    back = asyncio.ensure_future(self._answers(tunnel, addr, idle))
                    forth = asyncio.ensure_future(self._questions(tunnel, queue, idle))
                    try:
                        await asyncio.wait((back, forth), return_when=asyncio.FIRST_COMPLETED)
                    finally:
                        back.cancel()
                        forth.cancel()
                        await asyncio.gather(back, forth, return_exceptions=True)
            finally:
                await tunnel.close()

    async def _questions(self, tunnel: Tunnel, queue: "asyncio.Queue[bytes]", idle: asyncio.Timeout) -> None:
        while True:
            await tunnel.send(await queue.get())
            self._heard(idle)

    async def _answers(self, tunnel: Tunnel, addr: Address, idle: asyncio.Timeout) -> None:
        while (data := await tunnel.receive()) is not None:
            self._heard(idle)
            if self._transport is None:
                continue
            if not data:
                # asyncio takes an empty datagram for nothing to send
                with contextlib.suppress(OSError):
                    self._listening.socket.sendto(data, addr)
            elif _unsent(self._transport) < MAX_UNSENT:
                self._transport.sendto(data, addr)

    def _heard(self, idle: asyncio.Timeout) -> None:
        if not idle.expired():
            idle.reschedule(asyncio.get_running_loop().time() + self._idle_s)


def _unsent(transport: asyncio.DatagramTransport) -> int:
    """Bytes that wait in it; typeshed knows this of streams only."""
    return cast("asyncio.WriteTransport", transport).get_write_buffer_size()
