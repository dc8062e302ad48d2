"""The NameServer port: UDP and TCP on loopback."""

import asyncio
import contextlib
import struct

from lima.adapters.dns.answers import Answers
from lima.domain.errors import NetworkError
from lima.ports.name_server import NameServerPorts

ADDRESS = "127.0.0.1"
MAX_QUESTIONS = 256
MAX_CONNECTIONS = 64
IDLE_S = 10.0
"""How long a TCP connection may be silent."""


class LoopbackNameServer:
    """What is asked beyond MAX_QUESTIONS at once is dropped, as a network would: the guest asks again.

    Args:
        answers: what to say.
    """

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._datagrams: asyncio.DatagramTransport | None = None
        self._streams: asyncio.Server | None = None
        self._under_way: set[asyncio.Task[None]] = set()
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> NameServerPorts:
        loop = asyncio.get_running_loop()
        try:
            self._datagrams, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), local_addr=(ADDRESS, 0))
            self._streams = await asyncio.start_server(self._converse, ADDRESS, 0)
        except OSError as error:
            await self.stop()
            raise NetworkError(f"the name server for the guest cannot listen on {ADDRESS}: {error.strerror}") from error
        return NameServerPorts(
            udp=self._datagrams.get_extra_info("sockname")[1], tcp=self._streams.sockets[0].getsockname()[1]
        )

    async def stop(self) -> None:
        if self._datagrams is not None:
            self._datagrams.close()
        if self._streams is not None:
            self._streams.close()
        self._datagrams = self._streams = None
        tasks = [*self._under_way, *self._connections]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def hear(self, packet: bytes, sender: tuple[str, int]) -> None:
        """One datagram."""
        if len(self._under_way) < MAX_QUESTIONS:
            task = asyncio.ensure_future(self._reply(packet, sender))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _reply(self, packet: bytes, sender: tuple[str, int]) -> None:
        answer = await self._answers.to(packet, stream=False)
        if answer is not None and self._datagrams is not None:
            self._datagrams.sendto(answer, sender)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._connections) >= MAX_CONNECTIONS:
            writer.close()
            return
        self._connections.add(task)
        try:
            while True:
                async with asyncio.timeout(IDLE_S):
                    (length,) = struct.unpack("!H", await reader.readexactly(2))
                    packet = await reader.readexactly(length)
                answer = await self._answers.to(packet, stream=True)
                if answer is None:
                    return
                writer.write(struct.pack("!H", len(answer)) + answer)
                await writer.drain()
        except (OSError, EOFError, TimeoutError):
            pass
        finally:
            self._connections.discard(task)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: LoopbackNameServer) -> None:
        self._server = server

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._server.hear(data, addr)
