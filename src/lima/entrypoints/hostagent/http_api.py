"""The HTTP API on `ha.sock`. Source: reference, runtime §9.7. Ours: more keys in `/v1/info`, and all paths after it.

GET /v1/info → {"autoStartedIdentifier"?, "sshLocalPort"?, "phase", "waitingFor"?, "errors"?, "guestAgent"?: "running"}
GET /v1/ports → {"ports": [{"protocol", "ip", "port"}]: what listens in the guest, as its agent last said,
                 "forwards": [{"protocol", "guestAddr", "hostAddr", "reverse"?}]: what is forwarded now}
GET /v1/events → JSON lines as in `ha.stdout.log`: how things stand, then every event as it comes, until the guest ends
GET /v1/metrics → counters in Prometheus' text format; bytes and clients are those of the guest agent, not OpenSSH's
"""

import asyncio
import contextlib
import json
import os
from collections.abc import Callable
from typing import Any

import h11

from lima.application.agent_state import AgentState
from lima.domain.events import AgentEvent, encode_event
from lima.domain.forward_plan import Place
from lima.domain.guest_ports import GuestPort
from lima.entrypoints.hostagent import metrics
from lima.entrypoints.hostagent.event_stream import EventStream
from lima.ports.clock import Clock

READ_S = 5.0
"""A client that says nothing for this long is let go."""
MAX_CLIENTS = 64
MAX_LISTENERS = 32
"""Of `/v1/events`, who stay."""
WRITE_S = 30.0
"""A listener that takes nothing for this long is let go."""
PATHS = ("/v1/info", "/v1/ports", "/v1/events", "/v1/metrics", "/v1/screenshot")
JSON = "application/json"
JSON_LINES = "application/x-ndjson"


class HttpApi:
    """Serves one connection a request on a unix socket (0600)."""

    def __init__(self, state: AgentState, events: EventStream, clock: Clock, resident_bytes: Callable[[], int]) -> None:
        self._state = state
        self._events = events
        self._clock = clock
        self._resident_bytes = resident_bytes
        self._clients = asyncio.Semaphore(MAX_CLIENTS)
        self._listeners: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._path = ""

    async def start(self, path: str) -> None:
        """Listen. A socket that an earlier agent left is replaced: the caller holds the instance's lock."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        before = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._serve, path)
        finally:
            os.umask(before)
        self._path = path

    async def close(self) -> None:
        """Stop listening and remove the socket. Those who hear events get what waits for them, shortly."""
        self._events.close()
        if self._listeners:
            _, late = await asyncio.wait(self._listeners, timeout=READ_S)
            for listener in late:
                listener.cancel()
        if self._server is not None:
            self._server.close()
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            connection = h11.Connection(h11.SERVER, max_incomplete_event_size=16384)
            async with self._clients, asyncio.timeout(READ_S):
                request = await _request(connection, reader)
                wants_events = request is not None and _path(request) == "/v1/events" and request.method == b"GET"
                if request is not None and not (wants_events and self._has_room):
                    status, kind, body = self._answer(request)
                    writer.write(_response(connection, status, kind, body))
                    await writer.drain()
                    return
            if wants_events:
                await self._listener(connection, reader, writer)
        except (TimeoutError, OSError, h11.ProtocolError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    @property
    def _has_room(self) -> bool:
        return len(self._listeners) < MAX_LISTENERS

    def _answer(self, request: h11.Request) -> tuple[int, str, bytes]:
        """Status, content type and content."""
        path = _path(request)
        if path not in PATHS:
            return 404, JSON, _json({"message": f"no such path: {path}"})
        if request.method != b"GET":
            return 405, JSON, _json({"message": "only GET is allowed"})
        match path:
            case "/v1/info":
                return 200, JSON, _json(self._info())
            case "/v1/ports":
                return 200, JSON, _json(self._ports())
            case "/v1/metrics":
                page = metrics.render(self._state, resident_bytes=self._resident_bytes())
                return 200, metrics.CONTENT_TYPE, page.encode()
            case "/v1/events":
                return 503, JSON, _json({"message": f"{MAX_LISTENERS} others listen already"})
            case _:
                return 501, JSON, _json({"message": "driver does not support screenshots"})

    def _info(self) -> dict[str, Any]:
        info: dict[str, Any] = {
            "sshLocalPort": self._state.ssh_port,
            "phase": self._state.phase,
            "waitingFor": self._state.waiting_for,
            "errors": self._state.errors,
            "guestAgent": "running" if self._state.agent_running else "",
        }
        return {key: value for key, value in info.items() if value}

    def _ports(self) -> dict[str, Any]:
        forwards = [_forward(place, str(guest)) for place, guest in self._state.forwards.items()]
        reverse = [
            {"protocol": "tcp", "guestAddr": guest, "hostAddr": host, "reverse": True}
            for guest, host in self._state.reverse_forwards.items()
        ]
        forwards.sort(key=lambda each: (each["hostAddr"], each["protocol"]))
        return {"ports": [_port(port) for port in sorted(self._state.ports)], "forwards": forwards + reverse}

    async def _listener(
        self, connection: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Events until there are no more, or nobody to hear them."""
        task = asyncio.ensure_future(self._tell(connection, writer))
        self._listeners.add(task)
        hung_up = asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait((task, hung_up), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._listeners.discard(task)
            for each in (task, hung_up):
                each.cancel()
            await asyncio.gather(task, hung_up, return_exceptions=True)

    async def _tell(self, connection: h11.Connection, writer: asyncio.StreamWriter) -> None:
        headers = [("Content-Type", JSON_LINES), ("Transfer-Encoding", "chunked"), ("Connection", "close")]
        now = encode_event(AgentEvent(time=self._clock.timestamp(), status=self._state.present()))
        with self._events.listening() as lines:
            writer.write(connection.send(h11.Response(status_code=200, headers=headers)) or b"")
            writer.write(connection.send(h11.Data(data=now)) or b"")
            async for line in lines:
                writer.write(connection.send(h11.Data(data=line)) or b"")
                async with asyncio.timeout(WRITE_S):
                    await writer.drain()
        writer.write(connection.send(h11.EndOfMessage()) or b"")
        await writer.drain()


def _path(request: h11.Request) -> str:
    return request.target.decode("ascii", "replace").partition("?")[0]


def _port(port: GuestPort) -> dict[str, str | int]:
    return {"protocol": port.protocol, "ip": port.address, "port": port.port}


def _forward(place: Place, guest: str) -> dict[str, Any]:
    return {"protocol": str(place.protocol), "guestAddr": guest, "hostAddr": str(place.end)}


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode() + b"\n"


async def _request(connection: h11.Connection, reader: asyncio.StreamReader) -> h11.Request | None:
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(4096))
        elif isinstance(event, h11.Request):
            return event
        else:
            return None


def _response(connection: h11.Connection, status: int, kind: str, content: bytes) -> bytes:
    headers = [("Content-Type", kind), ("Content-Length", str(len(content))), ("Connection", "close")]
    parts = (
        connection.send(h11.Response(status_code=status, headers=headers)),
        connection.send(h11.Data(data=content)),
        connection.send(h11.EndOfMessage()),
    )
    return b"".join(part for part in parts if part)
