"""Streams: each client of a listener gets a tunnel, and bytes go both ways until both sides have said their last."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Coroutine
from typing import Any

from lima.adapters.forwarding.connections import Connections
from lima.adapters.forwarding.sockets import BACKLOG, Listening
from lima.domain.errors import GuestAgentError
from lima.ports.guest_agent import Tunnel
from lima.ports.port_forwarder import Dial, GuestTarget

PIECE = 64 << 10
KEEPALIVE_S = 60
_RESET = struct.pack("ii", 1, 0)


class StreamForward:
    """A listener. Connections outlive it: they belong to `connections`."""

    def __init__(self, listening: Listening, dial: Dial, guest: GuestTarget, connections: Connections) -> None:
        self._listening = listening
        self._dial = dial
        self._guest = guest
        self._connections = connections
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Accept clients."""
        start = asyncio.start_unix_server if self._listening.socket.family == socket.AF_UNIX else asyncio.start_server
        # it listens once more: with room for 100, unless it is told
        self._server = await start(self._accept, sock=self._listening.socket, limit=PIECE, backlog=BACKLOG)

    async def lead(self, guest: GuestTarget) -> None:
        self._guest = guest

    async def close(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
            self._listening.forget()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._connections.add(_serve(reader, writer, self._dial, self._guest)):
            writer.transport.abort()


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, dial: Dial, guest: GuestTarget) -> None:
    try:
        _keep_alive(writer)
        tunnel = await dial(guest)
        try:
            await _both(_to_guest(reader, tunnel), _to_host(tunnel, writer))
        finally:
            await tunnel.close()
    except (GuestAgentError, OSError):
        _reset(writer)
    except asyncio.CancelledError:
        _reset(writer)
        raise
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _to_guest(reader: asyncio.StreamReader, tunnel: Tunnel) -> None:
    while data := await reader.read(PIECE):
        await tunnel.send(data)
    await tunnel.end_sending()


async def _to_host(tunnel: Tunnel, writer: asyncio.StreamWriter) -> None:
    while (data := await tunnel.receive()) is not None:
        writer.write(data)
        await writer.drain()
    writer.write_eof()


async def _both(*ways: Coroutine[Any, Any, None]) -> None:
    """Return when both are over, raise with the first that fails; the other ends with it."""
    tasks = [asyncio.ensure_future(way) for way in ways]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _keep_alive(writer: asyncio.StreamWriter) -> None:
    """A client whose machine is gone is noticed."""
    peer = writer.get_extra_info("socket")
    if peer.family != socket.AF_UNIX:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_KEEPIDLE"):
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_S)


def _reset(writer: asyncio.StreamWriter) -> None:
    """What was cut short must not look like an end."""
    with contextlib.suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
