"""Golden exchanges: the bytes of each call, as the adapter writes them and as it reads them (tests/data/guestagent)."""

import asyncio
import json
import os
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from tests.stand_in_agent import serve

from lima.adapters.guestagent._generated import guestservice_pb2 as wire
from lima.adapters.guestagent.client import GrpcGuestAgent
from lima.domain.errors import GuestAgentError, GuestDialError
from lima.domain.guest_ports import GuestPort, PortProtocol, PortsChanged
from lima.ports.guest_agent import ClockReport, FileTouched, GuestSocket

FOLDER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "data", "guestagent")
CODES = {code.value[0]: code for code in grpc.StatusCode}
WAIT_S = 10


@dataclass
class Case:
    name: str
    method: str
    exchange: list[dict[str, Any]]
    status: int | None = None
    message: str = ""
    host_metadata: dict[str, str] = field(default_factory=dict)
    guest_metadata: dict[str, str] = field(default_factory=dict)
    shows: str = ""

    def said_by(self, who: str) -> list[bytes]:
        return [bytes.fromhex(step[who]) for step in self.exchange if step.get(who, "end") != "end"]


def cases(*methods: str) -> list[Any]:
    found = []
    for file in sorted(os.listdir(FOLDER)):
        if file.endswith(".json"):
            with open(os.path.join(FOLDER, file), encoding="utf-8") as handle:
                case = Case(name=file, **json.load(handle))
            if case.method in methods:
                found.append(pytest.param(case, id=file.removesuffix(".json")))
    return found


class Replay:
    """An agent that says what the case holds, and keeps what it heard."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self.heard: list[bytes | str] = []
        self.metadata: dict[str, str] = {}
        self.played = asyncio.Event()

    async def play(self, requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
        self.metadata = {str(key): str(value) for key, value in context.invocation_metadata() or ()}
        await context.send_initial_metadata(tuple(self._case.guest_metadata.items()))
        incoming = aiter(requests)
        for step in self._case.exchange:
            if "guest" in step:
                yield bytes.fromhex(step["guest"])
            else:
                self.heard.append(await anext(incoming, "end"))
        self.played.set()
        if self._case.status is None:
            await asyncio.Event().wait()
        elif self._case.status:
            await context.abort(CODES[self._case.status], self._case.message)


@pytest.fixture
async def agent(case: Case) -> AsyncIterator[tuple[GrpcGuestAgent, Replay]]:
    replay = Replay(case)

    async def no_ports(_requests: AsyncIterator[bytes], _context: object) -> AsyncIterator[bytes]:
        yield b""

    with tempfile.TemporaryDirectory(prefix="lima-g", dir="/tmp") as folder:
        server = await serve(f"{folder}/ga.sock", {"GetInfo": no_ports, case.method: replay.play})
        subject = GrpcGuestAgent()
        await subject.connect(f"{folder}/ga.sock")
        replay.heard.clear()
        yield subject, replay
        assert replay.heard == [step if step == "end" else bytes.fromhex(step) for step in host_steps(case)]
        for key, value in case.host_metadata.items():
            assert replay.metadata[key] == value
        await subject.close()
        await server.stop(None)


def host_steps(case: Case) -> list[str]:
    return [step["host"] for step in case.exchange if "host" in step]


def port(raw: wire.IPPort) -> GuestPort:
    return GuestPort(PortProtocol(raw.protocol), raw.ip, raw.port)


@pytest.mark.parametrize("case", cases("GetInfo"))
async def test_ports(agent: tuple[GrpcGuestAgent, Replay], case: Case) -> None:
    (answer,) = case.said_by("guest")
    assert await agent[0].listening() == tuple(map(port, wire.Info.FromString(answer).local_ports))


@pytest.mark.parametrize("case", cases("GetEvents"))
async def test_changes(agent: tuple[GrpcGuestAgent, Replay], case: Case) -> None:
    expected = [
        PortsChanged(
            added=tuple(map(port, event.added_local_ports)),
            removed=tuple(map(port, event.removed_local_ports)),
            errors=tuple(event.errors),
        )
        for event in map(wire.Event.FromString, case.said_by("guest"))
    ]
    changes = agent[0].changes()
    assert [await anext(changes) for _ in expected] == expected
    with pytest.raises(GuestAgentError, match="ended the stream"):
        await anext(changes)


@pytest.mark.parametrize("case", cases("SyncTime"))
async def test_clock(agent: tuple[GrpcGuestAgent, Replay], case: Case) -> None:
    (request,), (answer,) = case.said_by("host"), case.said_by("guest")
    report = await agent[0].set_clock(wire.TimeSyncRequest.FromString(request).host_time.ToNanoseconds())
    expected = wire.TimeSyncResponse.FromString(answer)
    assert report == ClockReport(drift_ms=expected.drift_ms, was_set=expected.adjusted, problem=expected.error)


@pytest.mark.parametrize("case", cases("PostInotify"))
async def test_file_times(agent: tuple[GrpcGuestAgent, Replay], case: Case) -> None:
    async def files() -> AsyncIterator[FileTouched]:
        for message in map(wire.Inotify.FromString, case.said_by("host")):
            yield FileTouched(path=message.mount_path, mtime_ns=message.time.ToNanoseconds())

    await agent[0].touch(files())
    await asyncio.wait_for(agent[1].played.wait(), WAIT_S)


@pytest.mark.parametrize("case", cases("Tunnel"))
async def test_tunnel(agent: tuple[GrpcGuestAgent, Replay], case: Case) -> None:
    subject, replay = agent
    first, *_ = map(wire.TunnelMessage.FromString, case.said_by("host"))
    tunnel = await subject.tunnel(target(first))
    for step in case.exchange[1:]:
        if step.get("host") == "end":
            await tunnel.end_sending()
        elif "host" in step:
            await tunnel.send(wire.TunnelMessage.FromString(bytes.fromhex(step["host"])).data)
        else:
            said = wire.TunnelMessage.FromString(bytes.fromhex(step["guest"])).data
            is_end = not said and first.protocol != "udp"
            assert await asyncio.wait_for(tunnel.receive(), WAIT_S) == (None if is_end else said)
    await asyncio.wait_for(replay.played.wait(), WAIT_S)
    if case.status:
        with pytest.raises(GuestDialError, match=case.message):
            await tunnel.receive()
    elif case.status == 0:
        assert await asyncio.wait_for(tunnel.receive(), WAIT_S) is None
    await tunnel.close()


def target(first: wire.TunnelMessage) -> GuestPort | GuestSocket:
    if first.protocol == "unix":
        return GuestSocket(first.guest_addr)
    host, _, number = first.guest_addr.rpartition(":")
    return GuestPort(PortProtocol(first.protocol), host.strip("[]"), int(number))


def test_there_is_a_case_for_each_call() -> None:
    for method in ("GetInfo", "GetEvents", "PostInotify", "Tunnel", "SyncTime"):
        assert cases(method), method
