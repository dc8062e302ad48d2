"""Tunnel: one connection of the host's, dialled here. TCP, UDP and unix sockets.

Bytes go straight from socket to stream: what the other side does not take stays in the kernel's buffer here, or in the
stream's window there. Half-closing:

- host to guest, the wire has it: a host that half-closes the stream half-closes the socket, and answers go on;
- guest to host, gRPC has none: the end of the server's side ends the call. A host that asks for it with the metadata
  `lima-half-close: 1` gets the same metadata in answer, a message without data as the end of the socket, and the call
  goes on until the host half-closes too. For any other the call completes, as upstream's does.
"""

import asyncio
import contextlib
import errno
import os
import re
import socket

from . import log
from .messages import TunnelMessage
from .rpc import INVALID_ARGUMENT, UNKNOWN, RpcError
from .wire import WireError

TYPE_CHECKING = False  # the module of that name costs start time
if TYPE_CHECKING:
    from .rpc import Call

STREAM_READ = 1 << 17
DATAGRAM_READ = 1 << 16
DIAL_S = 30.0
HALF_CLOSE = "lima-half-close"
NO_MORE_SOCKETS = (errno.EMFILE, errno.ENFILE)


class Tunnels:
    """The handler of the RPC. There are `most` at once: each takes a descriptor, and the agent needs some for itself."""

    def __init__(self, loop: "asyncio.AbstractEventLoop", most: int) -> None:
        self._loop = loop
        self._most = most
        self._count = 0

    async def __call__(self, call: "Call") -> None:
        first = await _next(call)
        if first is None:
            raise RpcError(INVALID_ARGUMENT, "the tunnel ended before its first message")
        self._count += 1
        try:
            await self._serve(call, first)
        finally:
            self._count -= 1

    async def _serve(self, call: "Call", first: TunnelMessage) -> None:
        sock = await self._dial(first.protocol, first.guest_addr)
        try:
            if _keeps_half_close(call):
                call.start((HALF_CLOSE, "1"))
            call.start()
            await self._carry(call, sock, first)
        finally:
            self._loop.remove_reader(sock.fileno())
            self._loop.remove_writer(sock.fileno())
            sock.close()

    async def _dial(self, protocol: str, address: str) -> socket.socket:
        """A connected socket. Raises: RpcError, worded as upstream words it."""
        try:
            if self._count > self._most:
                raise OSError(errno.EMFILE, "there are %d tunnels" % self._most)
            if protocol == "unix" or address.startswith("/"):
                protocol = "unix"
                return await self._connect(socket.AF_UNIX, socket.SOCK_STREAM, address)
            if protocol not in ("tcp", "udp"):
                raise RpcError(INVALID_ARGUMENT, "dial %s: unknown network %s" % (protocol, protocol))
            return await self._dial_ip(protocol, address)
        except asyncio.TimeoutError:
            reason = "i/o timeout"
        except (OSError, ValueError) as error:
            reason = _reason(error)
        raise RpcError(UNKNOWN, "dial %s %s: %s" % (protocol, address, reason))

    async def _dial_ip(self, protocol: str, address: str) -> socket.socket:
        host, port = split_address(address)
        kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
        failure = OSError(errno.EADDRNOTAVAIL, "no such host")
        for family, target in await self._resolve(host, port, kind):
            try:
                return await self._connect(family, kind, target)
            except OSError as error:
                failure = error
        raise failure

    async def _resolve(self, host: str, port: int, kind: int) -> "list[tuple[int, object]]":
        for family in (socket.AF_INET, socket.AF_INET6):
            try:
                socket.inet_pton(family, host)
            except OSError:
                continue
            return [(family, (host, port))]
        # a name takes a thread
        found = await asyncio.wait_for(self._loop.getaddrinfo(host, port, type=kind), DIAL_S)
        return [(family, target) for family, _, _, _, target in found[:8]]

    async def _connect(self, family: int, kind: int, target: object) -> socket.socket:
        sock = socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            if kind == socket.SOCK_STREAM and family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.wait_for(self._loop.sock_connect(sock, target), DIAL_S)
        except BaseException:
            sock.close()
            raise
        return sock

    async def _carry(self, call: "Call", sock: socket.socket, first: TunnelMessage) -> None:
        is_stream = sock.type & 0xF == socket.SOCK_STREAM
        inward = self._loop.create_task(self._inward(call, sock, first.data, is_stream))
        outward = self._loop.create_task(self._outward(call, sock, first.id, is_stream))
        try:
            await asyncio.wait([inward, outward], return_when=asyncio.FIRST_COMPLETED)
            if is_stream and inward.done():
                await inward
                await outward  # the host said all it had to say, and still listens
            elif outward.done():
                await outward
                if is_stream and _keeps_half_close(call):
                    await inward
            else:
                await inward
        except OSError as error:
            log.debug("tunnel %s: %s" % (first.id, _reason(error)))
        finally:
            for task in (inward, outward):
                task.cancel()
            await asyncio.wait([inward, outward])
            for task in (inward, outward):
                if not task.cancelled():
                    task.exception()  # seen

    async def _inward(self, call: "Call", sock: socket.socket, data: bytes, is_stream: bool) -> None:
        """Host to socket, until the host half-closes."""
        if data:
            await self._write(sock, data, is_stream)
        while True:
            message = await _next(call)
            if message is None:
                break
            if message.data or not is_stream:
                await self._write(sock, message.data, is_stream)
        if is_stream:
            with contextlib.suppress(OSError):  # closed by the peer already
                sock.shutdown(socket.SHUT_WR)

    async def _write(self, sock: socket.socket, data: bytes, is_stream: bool) -> None:
        if is_stream:
            await self._loop.sock_sendall(sock, data)
            return
        try:
            sock.send(data)
        except OSError as error:
            # a datagram may always be lost: full buffers, nobody there, too long
            log.debug("a datagram of %d bytes was not sent: %s" % (len(data), _reason(error)))

    async def _outward(self, call: "Call", sock: socket.socket, identity: str, is_stream: bool) -> None:
        """Socket to host, until the socket ends."""
        while True:
            try:
                data = await self._loop.sock_recv(sock, STREAM_READ if is_stream else DATAGRAM_READ)
            except ConnectionRefusedError:
                if is_stream:
                    raise
                continue  # nobody listens there now; somebody may later
            if not data and is_stream:
                if _keeps_half_close(call):
                    await call.send(TunnelMessage(id=identity).encode())
                return
            await call.send(TunnelMessage(id=identity, data=data).encode())


def _keeps_half_close(call: "Call") -> bool:
    return call.metadata.get(HALF_CLOSE) == "1"


async def _next(call: "Call") -> "TunnelMessage | None":
    raw = await call.receive()
    if raw is None:
        return None
    try:
        return TunnelMessage.decode(raw)
    except WireError as error:
        raise RpcError(INVALID_ARGUMENT, "no tunnel message: %s" % error) from error


def split_address(address: str) -> "tuple[str, int]":
    """`host:port` or `[v6]:port`. Raises: ValueError."""
    host, colon, port = address.rpartition(":")
    if not colon:
        raise ValueError("missing port in address")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError("too many colons in address")
    if not (re.match(r"[0-9]{1,5}\Z", port) and int(port) < 65536):
        raise ValueError("invalid port")
    return host or "localhost", int(port)


def _reason(error: Exception) -> str:
    code = getattr(error, "errno", None)
    if isinstance(error, socket.gaierror):
        return "no such host"
    if code is None:
        return str(error)
    return "%s: %s" % ("socket" if code in NO_MORE_SOCKETS else "connect", os.strerror(code).lower())
