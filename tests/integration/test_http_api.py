"""The HTTP API of a host agent, as its clients hear it."""

import asyncio
import json
import os
import tempfile
from typing import Any

import pytest

from lima.application.agent_state import AgentState
from lima.domain.guest_ports import MAX_PORTS, GuestPort, PortProtocol
from lima.entrypoints.hostagent.http_api import HttpApi
from lima.testing import fakes


async def ask(state: AgentState, path: str, method: str = "GET") -> tuple[int, dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="lima-h", dir="/tmp") as folder:
        socket_path = os.path.join(folder, "ha.sock")
        api = HttpApi(state)
        await api.start(socket_path)
        reader, writer = await asyncio.open_unix_connection(socket_path)
        writer.write(f"{method} {path} HTTP/1.1\r\nHost: lima-hostagent\r\n\r\n".encode())
        head, _, body = (await asyncio.wait_for(reader.read(), 10)).partition(b"\r\n\r\n")
        writer.close()
        await api.close()
        return int(head.split()[1]), json.loads(body)


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
            ]
        },
    )
    assert (await ask(state, "/v1/ports", "POST"))[0] == 405
    assert (await ask(state, "/v1/other"))[0] == 404


async def test_a_guest_with_very_many_ports_does_not_make_info_longer(state: AgentState) -> None:
    """`list` reads 64 KiB of it at most."""
    state.agent_answers(tuple(GuestPort(PortProtocol.TCP, "::", number) for number in range(1, 60_000)))
    assert len(json.dumps((await ask(state, "/v1/info"))[1])) < 200
    assert len((await ask(state, "/v1/ports"))[1]["ports"]) == MAX_PORTS
