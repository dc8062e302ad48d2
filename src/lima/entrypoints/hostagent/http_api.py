"""The HTTP API on `ha.sock`. Source: reference, runtime §9.7. Ours: more keys in `/v1/info`, and `/v1/ports`.

GET /v1/info → {"autoStartedIdentifier"?, "sshLocalPort"?, "phase", "waitingFor"?, "errors"?, "guestAgent"?: "running"}
GET /v1/ports → {"ports": [{"protocol", "ip", "port"}]}: what listens in the guest, as its agent last said
"""

import asyncio
import contextlib
import json
import os
from typing import Any

import h11

from lima.application.agent_state import AgentState
from lima.domain.guest_ports import GuestPort

READ_S = 5.0
"""A client that says nothing for this long is let go."""
MAX_CLIENTS = 64


class HttpApi:
    """Serves one connection a request on a unix socket (0600)."""

    def __init__(self, state: AgentState) -> None:
        self._state = state
        self._clients = asyncio.Semaphore(MAX_CLIENTS)
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
        """Stop listening and remove the socket."""
        if self._server is not None:
            self._server.close()
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with self._clients, asyncio.timeout(READ_S):
                connection = h11.Connection(h11.SERVER, max_incomplete_event_size=16384)
                request = await _request(connection, reader)
                if request is not None:
                    status, body = self._answer(request)
                    writer.write(_response(connection, status, body))
                    await writer.drain()
        except (TimeoutError, OSError, h11.ProtocolError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def _answer(self, request: h11.Request) -> tuple[int, dict[str, Any]]:
        path = request.target.decode("ascii", "replace").partition("?")[0]
        if path not in ("/v1/info", "/v1/ports", "/v1/screenshot"):
            return 404, {"message": f"no such path: {path}"}
        if request.method != b"GET":
            return 405, {"message": "only GET is allowed"}
        if path == "/v1/screenshot":
            return 501, {"message": "driver does not support screenshots"}
        if path == "/v1/ports":
            return 200, {"ports": [_port(port) for port in sorted(self._state.ports)]}
        info: dict[str, Any] = {
            "sshLocalPort": self._state.ssh_port,
            "phase": self._state.phase,
            "waitingFor": self._state.waiting_for,
            "errors": self._state.errors,
            "guestAgent": "running" if self._state.agent_running else "",
        }
        return 200, {key: value for key, value in info.items() if value}


def _port(port: GuestPort) -> dict[str, str | int]:
    return {"protocol": port.protocol, "ip": port.address, "port": port.port}


async def _request(connection: h11.Connection, reader: asyncio.StreamReader) -> h11.Request | None:
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(4096))
        elif isinstance(event, h11.Request):
            return event
        else:
            return None


def _response(connection: h11.Connection, status: int, body: dict[str, Any]) -> bytes:
    content = json.dumps(body).encode() + b"\n"
    headers = [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(content))),
        ("Connection", "close"),
    ]
    parts = (
        connection.send(h11.Response(status_code=status, headers=headers)),
        connection.send(h11.Data(data=content)),
        connection.send(h11.EndOfMessage()),
    )
    return b"".join(part for part in parts if part)
