"""A guest agent in this process, served by grpcio: for contracts, golden bytes and hostile answers. Real sockets."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable
from typing import Self

import grpc.aio

from lima.adapters.guestagent._generated import guestservice_pb2 as wire
from lima.domain.guest_ports import GuestPort, PortProtocol
from lima.ports.guest_agent import GuestSocket

HALF_CLOSE = ("lima-half-close", "1")
PIECE = 32 << 10
Handler = Callable[[AsyncIterator[bytes], grpc.aio.ServicerContext], AsyncIterator[bytes]]
METHODS = ("GetInfo", "GetEvents", "PostInotify", "Tunnel", "SyncTime")


async def serve(socket_path: str, handlers: dict[str, Handler]) -> grpc.aio.Server:
    """A server of raw bytes: whatever `handlers` yields goes over the wire as it is."""
    server = grpc.aio.server(options=(("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)))
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler(
                "GuestService",
                {name: grpc.stream_stream_rpc_method_handler(handler) for name, handler in handlers.items()},
            ),
        )
    )
    server.add_insecure_port(f"unix:{socket_path}")
    await server.start()
    return server


class EchoPrograms:
    """Programs on loopback that say back what they are told."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._running: dict[object, Callable[[], None]] = {}
        self._writers: list[asyncio.StreamWriter] = []
        self.ports: set[GuestPort] = set()

    async def listen(self, protocol: PortProtocol) -> GuestPort:
        if protocol is PortProtocol.TCP:
            server = await asyncio.start_server(self._echo, "127.0.0.1", 0)
            port = GuestPort(protocol, "127.0.0.1", server.sockets[0].getsockname()[1])
            self._running[port] = server.close
        else:
            loop = asyncio.get_running_loop()
            transport, _ = await loop.create_datagram_endpoint(EchoDatagrams, local_addr=("127.0.0.1", 0))
            port = GuestPort(protocol, "127.0.0.1", transport.get_extra_info("sockname")[1])
            self._running[port] = transport.close
        self.ports.add(port)
        return port

    async def listen_on_socket(self) -> GuestSocket:
        path = f"{self._folder}/echo-{len(self._running)}"
        server = await asyncio.start_unix_server(self._echo, path)
        self._running[path] = server.close
        return GuestSocket(path)

    def stop(self, port: GuestPort) -> None:
        self._running.pop(port)()
        self.ports.discard(port)

    async def close(self) -> None:
        for close in self._running.values():
            close()
        # a client that was accepted in this moment has its writer some turns later, and transports close at the next
        for _ in range(20):
            for writer in self._writers:
                writer.transport.abort()
            await asyncio.sleep(0)

    async def _echo(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        self._writers.remove(writer)


class EchoDatagrams(asyncio.DatagramProtocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.transport.sendto(data, addr)


class StandInWorld:
    """A GuestWorld whose agent is the one below. `knows_half_close` false: it behaves as upstream's."""

    def __init__(self, folder: str, *, knows_half_close: bool = True) -> None:
        self.socket_path = f"{folder}/ga.sock"
        self._folder = folder
        self._knows_half_close = knows_half_close
        self._programs = EchoPrograms(folder)
        self._server: grpc.aio.Server | None = None
        self._events: set[asyncio.Queue[bytes]] = set()
        self._ends: list[End | DatagramEnd] = []

    async def listen(self, protocol: PortProtocol) -> GuestPort:
        port = await self._programs.listen(protocol)
        self._tell(wire.Event(added_local_ports=[on_wire(port)]))
        return port

    async def stop_listening(self, port: GuestPort) -> None:
        self._programs.stop(port)
        self._tell(wire.Event(removed_local_ports=[on_wire(port)]))

    async def listen_on_socket(self) -> GuestSocket:
        return await self._programs.listen_on_socket()

    async def new_file(self) -> str:
        path = f"{self._folder}/file"
        with open(path, "w", encoding="ascii"):
            return path

    async def mtime_ns(self, path: str) -> int:
        return os.stat(path).st_mtime_ns

    async def kill_agent(self) -> None:
        if self._server is not None:
            await self._server.stop(None)
            self._server = None
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.socket_path)

    async def start_agent(self) -> None:
        self._server = await serve(self.socket_path, {name: getattr(self, f"_{name.lower()}") for name in METHODS})

    async def close(self) -> None:
        await self.kill_agent()
        for end in self._ends:
            end.close()
        await self._programs.close()

    # --- the service -------------------------------------------------------------------------------------------------

    async def _getinfo(self, _requests: AsyncIterator[bytes], _context: object) -> AsyncIterator[bytes]:
        yield wire.Info(local_ports=[on_wire(port) for port in sorted(self._programs.ports)]).SerializeToString()

    async def _getevents(self, _requests: AsyncIterator[bytes], _context: object) -> AsyncIterator[bytes]:
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        self._events.add(queue)
        try:
            # one that forgets what an earlier host was told
            yield wire.Event(added_local_ports=map(on_wire, self._programs.ports)).SerializeToString()
            while True:
                yield await queue.get()
        finally:
            self._events.discard(queue)

    async def _synctime(self, requests: AsyncIterator[bytes], _context: object) -> AsyncIterator[bytes]:
        async for raw in requests:
            host = wire.TimeSyncRequest.FromString(raw).host_time.ToNanoseconds()
            drift = (time.time_ns() - host) // 1_000_000
            yield wire.TimeSyncResponse(drift_ms=drift, adjusted=abs(drift) > 100).SerializeToString()

    async def _postinotify(
        self, requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[bytes]:
        async for raw in requests:
            message = wire.Inotify.FromString(raw)
            when = message.time.ToNanoseconds()
            with contextlib.suppress(FileNotFoundError):
                os.utime(message.mount_path, ns=(when, when))
        await context.abort(grpc.StatusCode.UNKNOWN, "EOF")
        yield b""

    async def _tunnel(self, requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
        agreed = self._knows_half_close and HALF_CLOSE in tuple(context.invocation_metadata() or ())
        first = wire.TunnelMessage.FromString(await anext(aiter(requests)))
        try:
            end = await dial(first.protocol, first.guest_addr)
        except OSError as error:
            await context.abort(grpc.StatusCode.UNKNOWN, f"dial {first.protocol} {first.guest_addr}: {error.strerror}")
        self._ends.append(end)
        if agreed:
            await context.send_initial_metadata((HALF_CLOSE,))
        writing = asyncio.ensure_future(self._pass_on(requests, end, agreed=agreed))
        try:
            while data := await end.read():
                yield wire.TunnelMessage(id=first.id, data=data).SerializeToString()
            if agreed:
                yield wire.TunnelMessage(id=first.id).SerializeToString()
                await writing
        finally:
            writing.cancel()
            end.close()

    async def _pass_on(self, requests: AsyncIterator[bytes], end: "End", *, agreed: bool) -> None:
        async for raw in requests:
            await end.write(wire.TunnelMessage.FromString(raw).data)
        if agreed:
            end.end_writing()
        else:
            end.close()

    def _tell(self, event: wire.Event) -> None:
        event.time.GetCurrentTime()
        for queue in self._events:
            queue.put_nowait(event.SerializeToString())


class End:
    """The guest's end of what a tunnel leads to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def read(self) -> bytes:
        return await self._reader.read(PIECE)

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    def end_writing(self) -> None:
        self._writer.write_eof()

    def close(self) -> None:
        self._writer.transport.abort()


class DatagramEnd(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self._received: asyncio.Queue[bytes] = asyncio.Queue()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: object) -> None:
        self._received.put_nowait(data)

    async def read(self) -> bytes:
        return await self._received.get()

    async def write(self, data: bytes) -> None:
        self._transport.sendto(data)

    def end_writing(self) -> None:
        pass

    def close(self) -> None:
        self._transport.close()


async def dial(protocol: str, address: str) -> "End | DatagramEnd":
    if protocol == "unix":
        return End(*await asyncio.open_unix_connection(address))
    host, _, port = address.rpartition(":")
    if protocol == "tcp":
        return End(*await asyncio.open_connection(host.strip("[]"), int(port)))
    loop = asyncio.get_running_loop()
    _, end = await loop.create_datagram_endpoint(DatagramEnd, remote_addr=(host.strip("[]"), int(port)))
    return end


def on_wire(port: GuestPort) -> wire.IPPort:
    return wire.IPPort(protocol=port.protocol, ip=port.address, port=port.port)


class Counted:
    """A relay in front of an agent that counts connections."""

    def __init__(self, socket_path: str, agent: str) -> None:
        self.socket_path = socket_path
        self._agent = agent
        self.open = self.total = self.most = 0
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_unix_server(self._relay, self.socket_path)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await asyncio.wait(self._tasks, timeout=2)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self.total += 1
        self.most = max(self.most, self.open)
        there, here = await asyncio.open_unix_connection(self._agent)
        self._tasks.append(asyncio.create_task(self._copy(there, writer)))
        await self._copy(reader, here)
        self.open -= 1

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
