"""The UpstreamServers port: raw packets to the servers of resolv.conf."""

import asyncio
import contextlib
import os
import re
import secrets
import socket
import struct
from collections.abc import Callable, Coroutine, Sequence

Server = tuple[str, int]
RESOLV_CONF = "/etc/resolv.conf"
PUBLIC_SERVERS: tuple[Server, ...] = (("8.8.8.8", 53), ("1.1.1.1", 53))
"""Where no resolv.conf can be read, as upstream."""
UDP_WAIT_S = 1.5
TCP_WAIT_S = 2.0
MAX_SERVERS = 8
_HEADER = 12
_TRUNCATED = 0x02
_RESPONSE = 0x80


def servers_of(resolv_conf: str) -> tuple[Server, ...]:
    """The name servers that a resolv.conf names, in order: `ADDRESS`, or `[ADDRESS]:PORT` as in OpenBSD's."""
    words = (line.split() for line in resolv_conf.splitlines())
    named = (line[1] for line in words if len(line) > 1 and line[0] == "nameserver")
    return tuple(_server(word) for word in named)[:MAX_SERVERS]


def _server(word: str) -> Server:
    bracketed = re.fullmatch(r"\[(.+)\]:([0-9]{1,5})", word)
    return (bracketed[1], int(bracketed[2])) if bracketed else (word, 53)


def configured_servers(path: str = RESOLV_CONF) -> tuple[Server, ...]:
    """Those of the file as it is now: networks come and go."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return servers_of(file.read(64 * 1024))
    except OSError:
        return PUBLIC_SERVERS


class DirectUpstreams:
    """Asks every server over UDP, then every server over TCP; the first answer counts.

    Each question goes out under an id and from a port of its own, so that nobody can answer blindly in a server's name.

    Args:
        servers: those to ask, asked anew for each question.
    """

    def __init__(self, servers: Callable[[], Sequence[Server]] = configured_servers) -> None:
        self._servers = servers

    async def ask(self, query: bytes, *, stream: bool) -> bytes | None:
        servers = tuple(self._servers())
        own = secrets.token_bytes(2) + query[2:]
        answer = await _first([_by_udp(server, own) for server in servers], UDP_WAIT_S)
        if answer is None or (stream and answer[2] & _TRUNCATED):
            answer = await _first([_by_tcp(server, own) for server in servers], TCP_WAIT_S) or answer
        return None if answer is None else query[:2] + answer[2:]


async def _first(questions: Sequence[Coroutine[None, None, bytes]], seconds: float) -> bytes | None:
    tasks = [asyncio.ensure_future(question) for question in questions]
    if not tasks:
        return None
    try:
        async with asyncio.timeout(seconds):
            for next_one in asyncio.as_completed(tasks):
                with contextlib.suppress(OSError, EOFError, ValueError):
                    return await next_one
    except TimeoutError:
        pass
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return None


def _is_answer(packet: bytes, query: bytes) -> bool:
    return len(packet) >= _HEADER and packet[:2] == query[:2] and bool(packet[2] & _RESPONSE)


async def _by_udp(server: Server, query: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in server[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as own:
        own.setblocking(False)
        # connected: packets of anybody else do not arrive, and a closed port is an error at once
        own.connect(server)
        await loop.sock_sendall(own, query)
        while not _is_answer(packet := await loop.sock_recv(own, 65535), query):
            pass
        return packet


async def _by_tcp(server: Server, query: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(*server)
    try:
        writer.write(struct.pack("!H", len(query)) + query)
        await writer.drain()
        (length,) = struct.unpack("!H", await reader.readexactly(2))
        packet = await reader.readexactly(length)
    finally:
        writer.close()
    if not _is_answer(packet, query):
        raise ValueError(f"{os.fspath(server[0])} answered something else")
    return packet
