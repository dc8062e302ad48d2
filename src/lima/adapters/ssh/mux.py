"""What a control master is asked for over its socket, without starting `ssh -O` each time.

Source: OpenSSH, PROTOCOL.mux (version 4, since OpenSSH 5.1). Packets are a length and that many bytes; numbers are
big-endian, four bytes long.
"""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass

VERSION = 4
ANSWER_S = 30.0
"""A forward that the guest listens for takes a round trip, and a guest under TCG its time."""
MAX_PACKET = 256 << 10
_HELLO, _ALIVE, _TERMINATE, _OPEN_FORWARD, _CLOSE_FORWARD = 1, 0x10000004, 0x10000005, 0x10000006, 0x10000007
_OK, _DENIED, _FAILURE, _IS_ALIVE, _REMOTE_PORT = 0x80000001, 0x80000002, 0x80000003, 0x80000005, 0x80000007
_LOCAL, _REMOTE = 1, 2
_IS_PATH = 0xFFFFFFFE


class MuxRefusedError(Exception):
    """The master says no; the text is its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MuxForward:
    """Addresses are `IP:PORT` or absolute paths. `is_remote`: the guest listens."""

    listen: str
    connect: str
    is_remote: bool = False

    def encode(self) -> bytes:
        """As it stands in a request."""
        kind = _number(_REMOTE if self.is_remote else _LOCAL)
        return kind + _address(self.listen) + _address(self.connect)


class Master:
    """A conversation with one master. Raises: OSError and EOFError where nobody is there (any more), TimeoutError."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._last_id = 0

    async def pid(self) -> int:
        """Its process."""
        kind, answer = await self._ask(_ALIVE)
        return int.from_bytes(answer[:4], "big") if kind == _IS_ALIVE else 0

    async def forward(self, forward: MuxForward) -> None:
        """Return once it listens. Raises: MuxRefusedError."""
        await self._ask(_OPEN_FORWARD, forward.encode())

    async def cancel(self, forward: MuxForward) -> None:
        """It listens no longer; connections that stand go on. Raises: MuxRefusedError where it did not."""
        await self._ask(_CLOSE_FORWARD, forward.encode())

    async def exit(self) -> None:
        """End it with all its connections."""
        await self._ask(_TERMINATE)

    async def greet(self) -> None:
        """Tell each other the version. Raises: MuxRefusedError for another one."""
        self._writer.write(_packet(_number(_HELLO) + _number(VERSION)))
        hello = await self._packet()
        if hello[:8] != _number(_HELLO) + _number(VERSION):
            raise MuxRefusedError("it speaks another version")

    async def _ask(self, request: int, content: bytes = b"") -> tuple[int, bytes]:
        self._last_id += 1
        self._writer.write(_packet(_number(request) + _number(self._last_id) + content))
        await self._writer.drain()
        answer = await self._packet()
        kind, content = int.from_bytes(answer[:4], "big"), answer[8:]
        if kind in (_OK, _IS_ALIVE, _REMOTE_PORT):
            return kind, content
        reason = content[4 : 4 + int.from_bytes(content[:4], "big")] if kind in (_DENIED, _FAILURE) else b""
        raise MuxRefusedError(reason.decode(errors="replace") or f"answer {kind:#x}")

    async def _packet(self) -> bytes:
        async with asyncio.timeout(ANSWER_S):
            size = int.from_bytes(await self._reader.readexactly(4), "big")
            if size > MAX_PACKET:
                raise EOFError("a packet of that size is none")
            return await self._reader.readexactly(size)


@contextlib.asynccontextmanager
async def master_at(path: str) -> AsyncIterator[Master]:
    """The master whose socket this is. Raises: OSError, EOFError, TimeoutError, MuxRefusedError."""
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        master = Master(reader, writer)
        await master.greet()
        yield master
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _number(value: int) -> bytes:
    return struct.pack(">I", value)


def _string(text: str) -> bytes:
    content = text.encode(errors="surrogateescape")
    return _number(len(content)) + content


def _packet(content: bytes) -> bytes:
    return _number(len(content)) + content


def _address(text: str) -> bytes:
    if text.startswith("/"):
        return _string(text) + _number(_IS_PATH)
    host, _, port = text.rpartition(":")
    return _string(host.strip("[]")) + _number(int(port))
