"""The golden exchanges of tests/data/guestagent from the agent's side: what the host says is understood, and what the
agent says are these bytes."""

import asyncio
import json
import os
import time

import pytest
from lima_guestagent import messages
from lima_guestagent.monitor import PortState
from lima_guestagent.pinning import Pinning
from lima_guestagent.rpc import RpcError
from lima_guestagent.service import Service
from lima_guestagent.sockets import Port
from lima_guestagent.tunnel import Tunnels
from lima_guestagent.watch import PortWatch

FOLDER = os.path.join(os.path.dirname(__file__), "..", "..", "..", "data", "guestagent")
NAMES = sorted(name.removesuffix(".json") for name in os.listdir(FOLDER) if name.endswith(".json"))
KINDS = {
    "GetInfo": (messages.Empty, messages.Info),
    "GetEvents": (messages.Empty, messages.Event),
    "PostInotify": (messages.Inotify, messages.Empty),
    "Tunnel": (messages.TunnelMessage, messages.TunnelMessage),
    "SyncTime": (messages.TimeSyncRequest, messages.TimeSyncResponse),
}


def golden(name: str) -> dict:
    with open(os.path.join(FOLDER, name + ".json"), encoding="utf-8") as file:
        return json.load(file)


def said(case: dict, who: str) -> list[bytes]:
    return [bytes.fromhex(step[who]) for step in case["exchange"] if step.get(who, "end") != "end"]


@pytest.mark.parametrize("name", NAMES)
def test_every_message_is_read_and_written_as_these_bytes(name: str) -> None:
    case = golden(name)
    for who, kind in zip(("host", "guest"), KINDS[case["method"]], strict=True):
        for raw in said(case, who):
            assert kind.decode(raw).encode() == raw


class StandInCall:
    """A call whose host says what the case says, and keeps what it hears."""

    def __init__(self, requests: list[bytes], metadata: dict[str, str] | None = None) -> None:
        self.metadata = metadata or {}
        self._requests = list(requests)
        self.heard: list[bytes] = []

    def start(self, *_metadata: tuple[str, str]) -> None:
        pass

    async def receive(self) -> bytes | None:
        return self._requests.pop(0) if self._requests else None

    async def send(self, message: bytes) -> None:
        self.heard.append(message)


class InPlace:
    """A worker without a thread."""

    async def run(self, function, *arguments):
        return function(*arguments)


class FixedPorts(PortWatch):
    """Samples that are given."""

    def __init__(self, loop, *samples: tuple[set[Port], list[str]]) -> None:
        super().__init__(loop, 0.001)
        self._samples = list(samples)

    def sample(self) -> tuple[set[Port], list[str]]:
        return self._samples.pop(0) if len(self._samples) > 1 else self._samples[0]


def service(ports: PortWatch | None = None, folder: str = "/nowhere") -> Service:
    worker = InPlace()
    return Service(ports, PortState(folder), worker, Pinning(asyncio.get_running_loop(), worker, most=9, mounts=list))


def as_ports(found: list[messages.IPPort]) -> set[Port]:
    return {Port(port.protocol, port.ip, port.port) for port in found}


async def test_get_info() -> None:
    case = golden("get-info")
    listed = messages.Info.decode(said(case, "guest")[0]).local_ports
    answer = await service(FixedPorts(asyncio.get_running_loop(), (as_ports(listed), []))).get_info(
        StandInCall(said(case, "host"))
    )
    # the same ports; ours are in order
    assert as_ports(messages.Info.decode(answer).local_ports) == as_ports(listed)


async def test_get_events_tells_differences_and_errors(tmp_path) -> None:
    loop = asyncio.get_running_loop()
    http, dns = Port("tcp", "0.0.0.0", 80), Port("udp", "::", 5353)
    ports = FixedPorts(loop, ({http}, []), ({dns}, []), (set(), ["it broke"]), (set(), ["it broke"]), ({dns}, []))
    call = StandInCall([b""])
    task = loop.create_task(service(ports, str(tmp_path)).get_events(call))
    async with asyncio.timeout(20):
        while len(call.heard) < 3 or len(ports._samples) > 1:
            await asyncio.sleep(0)
    task.cancel()
    events = [messages.Event.decode(raw) for raw in call.heard]
    # a list that failed takes nothing away, and the same complaint comes once
    assert [(as_ports(e.added_local_ports), as_ports(e.removed_local_ports), list(e.errors)) for e in events] == [
        ({http}, set(), []), ({dns}, {http}, []), (set(), set(), ["it broke"]),
    ]  # fmt: skip
    assert PortState(str(tmp_path)).load() == ({dns}, set())


@pytest.mark.parametrize("is_heard", [True, False])
async def test_an_agent_killed_while_it_tells_leaves_no_host_with_a_port_too_many_or_too_few(
    tmp_path, is_heard
) -> None:
    loop, http, dns = asyncio.get_running_loop(), Port("tcp", "0.0.0.0", 80), Port("udp", "::", 5353)

    class Killed(StandInCall):
        async def send(self, message: bytes) -> None:
            if is_heard:
                await super().send(message)
            raise ConnectionResetError

    first, second = Killed([b""]), StandInCall([b""])
    with pytest.raises(ConnectionResetError):
        await service(FixedPorts(loop, ({http, dns}, [])), str(tmp_path)).get_events(first)
    task = loop.create_task(service(FixedPorts(loop, ({dns}, [])), str(tmp_path)).get_events(second))
    async with asyncio.timeout(20):
        while not second.heard:
            await asyncio.sleep(0)
    task.cancel()
    known: set[Port] = set()
    for event in map(messages.Event.decode, [*first.heard, *second.heard]):
        known = (known | as_ports(event.added_local_ports)) - as_ports(event.removed_local_ports)
    assert known == {dns}


@pytest.mark.parametrize("name", ["sync-time", "sync-time-right", "sync-time-failed"])
async def test_sync_time(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = golden(name)
    request = messages.TimeSyncRequest.decode(said(case, "host")[0])
    expected = messages.TimeSyncResponse.decode(said(case, "guest")[0])
    # a float of seconds is good to a few hundred nanoseconds: half a millisecond keeps the truncation where it is
    monkeypatch.setattr(time, "time", lambda: (request.host_time.ns + expected.drift_ms * 10**6 + 500_000) / 1e9)
    clock: list[float] = []

    def set_clock(_clock: int, seconds: float) -> None:
        if expected.error:
            raise PermissionError(1, "Operation not permitted")
        clock.append(seconds)

    monkeypatch.setattr(time, "clock_settime", set_clock)
    answer = await service().sync_time(StandInCall(said(case, "host")))
    assert answer == said(case, "guest")[0]
    assert clock == ([request.host_time.ns / 1e9] if expected.adjusted else [])


async def test_post_inotify(monkeypatch: pytest.MonkeyPatch) -> None:
    case = golden("post-inotify")
    touched = []
    monkeypatch.setattr(os, "utime", lambda path, ns: touched.append((path, ns)))
    await service().post_inotify(StandInCall(said(case, "host")))
    wanted = [messages.Inotify.decode(raw) for raw in said(case, "host")]
    assert touched == [(m.mount_path, (m.time.ns, m.time.ns)) for m in wanted]


async def test_a_tunnel_without_a_first_message_is_refused() -> None:
    with pytest.raises(RpcError, match="before its first message"):
        await Tunnels(asyncio.get_running_loop(), 1)(StandInCall([]))
