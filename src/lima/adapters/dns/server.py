"""The NameServer port: UDP and TCP on loopback."""

import asyncio
import contextlib
import os
import struct

from lima.adapters.dns.answers import Answers
from lima.domain.errors import NetworkError
from lima.domain.hostnames import NameServerPorts

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
        self._hearer = _Datagrams(self)
        self._under_way: set[asyncio.Task[None]] = set()
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self, ports: NameServerPorts | None = None) -> NameServerPorts:
        udp, tcp = (ports.udp, ports.tcp) if ports else (0, 0)
        loop = asyncio.get_running_loop()
        try:
            self._hearer = _Datagrams(self)
            self._datagrams, _ = await loop.create_datagram_endpoint(lambda: self._hearer, local_addr=(ADDRESS, udp))
            self._streams = await asyncio.start_server(self._converse, ADDRESS, tcp)
        except OSError as error:
            await self.stop()
            where = f"{ADDRESS} (udp {udp}, tcp {tcp})" if ports else ADDRESS
            raise NetworkError(
                f"the guest's name server cannot listen on {where}: {os.strerror(error.errno or 0)}"
            ) from error
        return NameServerPorts(
            udp=self._datagrams.get_extra_info("sockname")[1], tcp=self._streams.sockets[0].getsockname()[1]
        )

    async def stop(self) -> None:
        datagrams, streams = self._datagrams, self._streams
        self._datagrams = self._streams = None
        if datagrams is not None:
            datagrams.close()
            await self._hearer.gone.wait()
        if streams is not None:
            streams.close()
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
        self.gone = asyncio.Event()

    def connection_lost(self, _error: Exception | None) -> None:
        """The port is free from here on, which it is not yet when `close` returns."""
        self.gone.set()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._server.hear(data, addr)
