"""The HTTP API of a host agent, as its clients hear it."""

import asyncio
import contextlib
import json
import os
import tempfile
from collections.abc import AsyncIterator
from typing import Any

import pytest

from lima.application.agent_state import AgentState
from lima.domain.events import AgentEvent, AgentStatus, encode_event
from lima.domain.forward_plan import Place
from lima.domain.forwarding import HostPort, HostSocket
from lima.domain.guest_ports import MAX_PORTS, GuestPort, PortProtocol
from lima.entrypoints.hostagent.event_stream import QUEUE_SIZE, EventStream
from lima.entrypoints.hostagent.http_api import MAX_LISTENERS, HttpApi
from lima.testing import fakes


class Api:
    """A host agent's socket, and its clients."""

    def __init__(self, state: AgentState, folder: str) -> None:
        self.state = state
        self.stream = EventStream()
        self.path = os.path.join(folder, "ha.sock")
        self.api = HttpApi(state, self.stream, fakes.FakeClock(), lambda: 5 << 20)

    async def connect(self, path: str, method: str = "GET") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_unix_connection(self.path)
        writer.write(f"{method} {path} HTTP/1.1\r\nHost: lima-hostagent\r\n\r\n".encode())
        return reader, writer

    async def ask(self, path: str, method: str = "GET") -> tuple[int, str]:
        reader, writer = await self.connect(path, method)
        head, _, body = (await asyncio.wait_for(reader.read(), 10)).partition(b"\r\n\r\n")
        writer.close()
        return int(head.split()[1]), body.decode()

    def happen(self, status: AgentStatus) -> None:
        self.stream.feed(encode_event(AgentEvent(time="2026-01-01T00:00:00Z", status=status)))


@contextlib.asynccontextmanager
async def serving(state: AgentState) -> AsyncIterator[Api]:
    with tempfile.TemporaryDirectory(prefix="lima-h", dir="/tmp") as folder:
        api = Api(state, folder)
        await api.api.start(api.path)
        yield api
        await api.api.close()


async def ask(state: AgentState, path: str, method: str = "GET") -> tuple[int, dict[str, Any]]:
    async with serving(state) as api:
        status, body = await api.ask(path, method)
        return status, json.loads(body)


@pytest.fixture
def state() -> AgentState:
    return AgentState(events=fakes.FakeAgentEventLog())


async def test_info_says_whether_the_guest_agent_is_there(state: AgentState) -> None:
    assert await ask(state, "/v1/info") == (200, {"phase": "starting"})
    state.agent_answers(())
    assert await ask(state, "/v1/info") == (200, {"phase": "starting", "guestAgent": "running"})
    state.agent_left()
    assert "guestAgent" not in (await ask(state, "/v1/info"))[1]


async def test_ports_of_the_guest(state: AgentState) -> None:
    state.agent_answers((GuestPort(PortProtocol.UDP, "::", 53), GuestPort(PortProtocol.TCP, "127.0.0.1", 80)))
    assert await ask(state, "/v1/ports") == (
        200,
        {
            "ports": [
                {"protocol": "tcp", "ip": "127.0.0.1", "port": 80},
                {"protocol": "udp", "ip": "::", "port": 53},
            ],
            "forwards": [],
        },
    )
    assert (await ask(state, "/v1/ports", "POST"))[0] == 405
    assert (await ask(state, "/v1/other"))[0] == 404


async def test_a_guest_with_very_many_ports_does_not_make_info_longer(state: AgentState) -> None:
    """`list` reads 64 KiB of it at most."""
    state.agent_answers(tuple(GuestPort(PortProtocol.TCP, "::", number) for number in range(1, 60_000)))
    assert len(json.dumps((await ask(state, "/v1/info"))[1])) < 200
    assert len((await ask(state, "/v1/ports"))[1]["ports"]) == MAX_PORTS


WEB = Place(PortProtocol.TCP, HostPort(ip="127.0.0.1", port=8080))
DOCKER = Place(PortProtocol.TCP, HostSocket(path="/h/docker.sock"))


async def test_what_is_forwarded_stands_beside_the_ports(state: AgentState) -> None:
    state.forwards[WEB] = GuestPort(PortProtocol.TCP, "127.0.0.1", 80)
    state.forwards[DOCKER] = "/run/docker.sock"
    state.reverse_forwards["/run/host.sock"] = "/h/host.sock"
    assert (await ask(state, "/v1/ports"))[1]["forwards"] == [
        {"protocol": "tcp", "guestAddr": "/run/docker.sock", "hostAddr": "/h/docker.sock"},
        {"protocol": "tcp", "guestAddr": "127.0.0.1:80", "hostAddr": "127.0.0.1:8080"},
        {"protocol": "tcp", "guestAddr": "/run/host.sock", "hostAddr": "/h/host.sock", "reverse": True},
    ]


async def test_metrics_are_in_prometheus_text_format(state: AgentState) -> None:
    state.forwards[WEB] = GuestPort(PortProtocol.TCP, "127.0.0.1", 80)
    state.agent_answers(())
    state.meter.bytes_to_guest = 7
    async with serving(state) as api:
        status, page = await api.ask("/v1/metrics")
        assert "latency" not in page
        state.meter.agent_latency_s = 0.25
        later = (await api.ask("/v1/metrics"))[1]
    assert status == 200
    assert {
        "lima_host_agent_resident_bytes 5242880", 'lima_forwards{protocol="tcp"} 1', 'lima_forwards{protocol="udp"} 0',
        "lima_guest_agent_connections_total 1", 'lima_forward_bytes_total{direction="to_guest"} 7',
    } <= set(page.splitlines())  # fmt: skip
    assert "lima_guest_agent_latency_seconds 0.25" in later.splitlines()
    for line in page.splitlines():
        name = line.split()[2] if line.startswith("#") else line.partition("{")[0].split()[0]
        assert name.startswith("lima_")
        assert f"# TYPE {name} " in page


async def next_event(reader: asyncio.StreamReader) -> dict[str, Any] | None:
    """One chunk of the answer; None at its end."""
    size = int(await asyncio.wait_for(reader.readline(), 10), 16)
    content = await asyncio.wait_for(reader.readexactly(size + 2), 10)
    return json.loads(content) if size else None


async def listen(api: Api) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await api.connect("/v1/events")
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    assert b"200" in head.splitlines()[0]
    return reader, writer


async def test_events_begin_with_how_things_stand_and_end_with_the_agent(state: AgentState) -> None:
    state.ssh_port = 60022
    async with serving(state) as api:
        reader, writer = await listen(api)
        first = await next_event(reader)
        assert first is not None
        assert first["status"] == {"sshLocalPort": 60022}
        api.happen(AgentStatus(running=True))
        assert (await next_event(reader) or {})["status"] == {"running": True}
        api.happen(AgentStatus(exiting=True))
        await api.api.close()
        assert (await next_event(reader) or {})["status"] == {"exiting": True}
        assert await next_event(reader) is None
        writer.close()


async def test_a_listener_that_takes_nothing_is_let_go_and_others_hear_all(state: AgentState) -> None:
    async with serving(state) as api:
        lazy, lazy_writer = await listen(api)
        eager, eager_writer = await listen(api)
        await next_event(eager)
        long = AgentStatus(errors=("x" * 10_000,))
        for _ in range(3 * QUEUE_SIZE):
            api.happen(long)
            assert await next_event(eager) is not None
        async with asyncio.timeout(10):
            heard = len(await lazy.read())
        assert heard < 3 * QUEUE_SIZE * 10_000
        lazy_writer.close()
        eager_writer.close()


async def test_listeners_beyond_the_limit_are_told_so_and_who_leaves_makes_room(state: AgentState) -> None:
    async with serving(state) as api:
        listeners = [await listen(api) for _ in range(MAX_LISTENERS)]
        assert (await api.ask("/v1/events"))[0] == 503
        for _, writer in listeners:
            writer.close()
        async with asyncio.timeout(10):
            while (await api.ask("/v1/info"))[0] != 200 or api.api._listeners:
                await asyncio.sleep(0.01)
        reader, writer = await listen(api)
        assert await next_event(reader) is not None
        writer.close()
