"""What the monitor says, as events of a guest."""

import asyncio
from typing import Any

import pytest
from qemu.qmp import Message

from lima.adapters.qemu.qmp import QUEUE_SIZE, QmpMonitor, _translate
from lima.ports.hypervisor import GuestEvent


@pytest.mark.parametrize(
    ("message", "event"),
    [
        ({"event": "RESUME"}, GuestEvent.RESUMED),
        ({"event": "BLOCK_IO_ERROR", "data": {"nospace": True}}, GuestEvent.DISK_FULL),
        ({"event": "BLOCK_IO_ERROR", "data": {"nospace": False}}, None),
        ({"event": "VSERPORT_CHANGE", "data": {"id": "guest-agent", "open": True}}, GuestEvent.AGENT_PORT_OPENED),
        ({"event": "VSERPORT_CHANGE", "data": {"id": "guest-agent", "open": False}}, GuestEvent.AGENT_PORT_CLOSED),
        ({"event": "VSERPORT_CHANGE", "data": {"id": "console0", "open": True}}, None),
        ({"event": "VSERPORT_CHANGE"}, None),
        ({"event": "BALLOON_CHANGE", "data": {}}, None),
        ({}, None),
    ],
)
def test_events(message: dict[str, Any], event: GuestEvent | None) -> None:
    assert _translate(Message(message)) == event


@pytest.mark.parametrize(
    ("chardevs", "expected"),
    [
        ([{"label": "qga0", "frontend-open": True}], [GuestEvent.AGENT_PORT_OPENED]),
        ([{"label": "qga0", "frontend-open": False}], []),
        ([{"label": "char-qmp", "frontend-open": True}], []),
        ([], []),
    ],
)
async def test_an_agents_port_that_is_open_already_is_told(
    monkeypatch: pytest.MonkeyPatch, chardevs: list[dict[str, Any]], expected: list[GuestEvent]
) -> None:
    monitor = QmpMonitor("x")

    async def execute(command: str) -> list[dict[str, Any]]:
        assert command == "query-chardev"
        return chardevs

    monkeypatch.setattr(monitor, "execute", execute)
    await monitor.tell_agent_port()
    assert [monitor.events.get_nowait() for _ in range(monitor.events.qsize())] == expected


def test_the_oldest_events_go_when_nobody_reads() -> None:
    monitor = QmpMonitor("x")
    monitor._queue(GuestEvent.RESET)
    for _ in range(QUEUE_SIZE):
        monitor._queue(GuestEvent.PAUSED)
    assert monitor.events.qsize() == QUEUE_SIZE
    assert monitor.events.get_nowait() is GuestEvent.PAUSED
    assert isinstance(monitor.events, asyncio.Queue)
