"""The GuestAgent port by grpc.aio, over a unix socket: QEMU's end of a serial port, or a socket that ssh forwards.

Only a host agent imports this. Each connection is a channel of its own; the channel before it is closed first, since
QEMU serves one client at a time and lets the next one wait unheard.
"""

import asyncio
import contextlib
import itertools
import weakref
from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import grpc.aio

from lima.adapters.guestagent.channel import RECONNECT_S, AnyCall, Held, open_channel, translated
from lima.adapters.guestagent.messages import read_event, read_info, read_sync, write_sync, write_touch
from lima.adapters.guestagent.tunnel import HALF_CLOSE, AgentHabits, GrpcTunnel
from lima.domain.errors import GuestAgentError
from lima.domain.guest_ports import GuestPort, PortsChanged
from lima.ports.guest_agent import ClockReport, FileTouched, GuestSocket

ANSWER_S = 10.0
"""A guest under TCG that is busy booting takes seconds to answer."""
LAST_WORDS_S = 2.0
_EMPTY = b""
_Unary: TypeAlias = "grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]"


class _Service:
    """The methods of the agent behind one channel."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        self.habits = AgentHabits()
        self._calls: weakref.WeakSet[Held[Any]] = weakref.WeakSet()
        self.get_info: _Unary = channel.unary_unary("/GuestService/GetInfo")
        self.sync_time: _Unary = channel.unary_unary("/GuestService/SyncTime")
        self.get_events: grpc.aio.UnaryStreamMultiCallable[bytes, bytes]
        self.get_events = channel.unary_stream("/GuestService/GetEvents")
        self.post_inotify: grpc.aio.StreamUnaryMultiCallable[bytes, bytes]
        self.post_inotify = channel.stream_unary("/GuestService/PostInotify")
        self.tunnel: grpc.aio.StreamStreamMultiCallable[bytes, bytes]
        self.tunnel = channel.stream_stream("/GuestService/Tunnel")

    def hold(self, call: AnyCall) -> Held[AnyCall]:
        """A call that ends with the connection."""
        held = Held(call)
        self._calls.add(held)
        return held

    async def close(self) -> None:
        for held in list(self._calls):
            held.drop()
        await self._channel.close()


class GrpcGuestAgent:
    """One agent at a time. The library carries raw bytes; `messages` reads and writes them."""

    def __init__(self) -> None:
        self._service: _Service | None = None
        self._numbers = itertools.count(1)
        self._closed_at = -RECONNECT_S

    async def connect(self, socket_path: str) -> None:
        await self.close()
        # nothing tells when the guest's end of a serial port has seen the last connection end
        await asyncio.sleep(self._closed_at + RECONNECT_S - asyncio.get_running_loop().time())
        self._service = _Service(open_channel(socket_path))
        try:
            await self.listening()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        service, self._service = self._service, None
        if service is not None:
            with contextlib.suppress(GuestAgentError), translated("closing"):
                await service.close()
            self._closed_at = asyncio.get_running_loop().time()

    async def listening(self) -> tuple[GuestPort, ...]:
        with translated("ports of the guest"):
            service = self._connected()
            held = service.hold(service.get_info(_EMPTY, timeout=ANSWER_S))
            answer = await held.call
        return read_info(answer)

    def changes(self) -> AsyncIterator[PortsChanged]:
        with translated("port events"):
            service = self._connected()
            held = service.hold(service.get_events(_EMPTY))
        return _events(held)

    async def set_clock(self, now_ns: int) -> ClockReport:
        with translated("clock of the guest"):
            service = self._connected()
            held = service.hold(service.sync_time(write_sync(now_ns), timeout=ANSWER_S))
            answer = await held.call
        return read_sync(answer)

    async def touch(self, files: AsyncIterator[FileTouched]) -> None:
        with translated("file events"):
            service = self._connected()
            held = service.hold(service.post_inotify())
        try:
            async for file in files:
                with translated("file events"):
                    await held.call.write(write_touch(file))
            with translated("file events"):
                await held.call.done_writing()
                # no answer ever comes: upstream's agent ends the call with an error once it has read everything
                await asyncio.wait((asyncio.ensure_future(held.call.code()),), timeout=LAST_WORDS_S)
        finally:
            held.drop()

    async def tunnel(self, target: GuestPort | GuestSocket) -> GrpcTunnel:
        with translated(f"tunnel to {target}"):
            service = self._connected()
            held = service.hold(service.tunnel(metadata=(HALF_CLOSE,)))
        tunnel = GrpcTunnel(held, next(self._numbers), target, service.habits)
        try:
            await tunnel.open()
        except BaseException:
            await tunnel.close()
            raise
        return tunnel

    def _connected(self) -> _Service:
        if self._service is None:
            raise GuestAgentError("the guest agent is not connected")
        return self._service


async def _events(held: "Held[grpc.aio.UnaryStreamCall[bytes, bytes]]") -> AsyncIterator[PortsChanged]:
    try:
        while True:
            with translated("port events"):
                raw = await held.call.read()
            if not isinstance(raw, bytes):
                raise GuestAgentError("port events: the guest agent ended the stream")
            yield read_event(raw)
    finally:
        held.drop()
