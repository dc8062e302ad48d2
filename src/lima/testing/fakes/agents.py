"""Fakes of the host agent and of what it hears and says."""

import asyncio
from collections.abc import AsyncIterator

from lima.domain.events import AgentEvent, AgentStatus
from lima.domain.guest_progress import GuestProgress
from lima.domain.process import ProcessIdentity
from lima.domain.progress import Note
from lima.domain.status import AgentAnswer
from lima.ports.instance_store import InstanceLock
from lima.testing.fakes.failing import Failing
from lima.testing.fakes.hosts import FakeProcessTable
from lima.testing.fakes.instances import FakeInstanceStore


class FakeHostAgentLauncher(Failing):
    """Agents that say what `script` holds, then wait for ever, or end where `ends` is true."""

    def __init__(self, store: FakeInstanceStore, processes: FakeProcessTable) -> None:
        super().__init__()
        self._store = store
        self._processes = processes
        self.launched: list[str] = []
        self.script: list[AgentStatus] = [AgentStatus(ssh_local_port=50001)]
        self.ends = False
        self.notes: list[Note] = []

    async def launch(self, name: str, *, lock: InstanceLock, debug: bool, progress: bool) -> ProcessIdentity:
        self._maybe_fail()
        self.launched.append(name)
        agent = self._processes.add(4000 + len(self.launched))
        self._store.agents[name] = agent
        self._store.drivers[name] = self._processes.add(5000 + len(self.launched))
        return agent

    async def follow(self, name: str, *, agent: ProcessIdentity) -> AsyncIterator[AgentEvent]:
        for status in self.script:
            yield AgentEvent(time="2026-01-01T00:00:00Z", status=status)
            await asyncio.sleep(0)
        while not self.ends and self._processes.is_alive(agent):
            await asyncio.sleep(0.001)

    async def records(self, name: str, *, agent: ProcessIdentity) -> AsyncIterator[Note]:
        for note in self.notes:
            yield note


class FakeHostAgentClient:
    """Answers from a dictionary; who is not in it does not answer."""

    def __init__(self) -> None:
        self.answers: dict[str, AgentAnswer] = {}
        self.asked: list[str] = []

    def ask(self, sockets: dict[str, str], *, deadline_s: float = 1.0) -> dict[str, AgentAnswer]:
        self.asked += sockets
        return {name: self.answers.get(name, AgentAnswer(answered=False)) for name in sockets}


class FakeGuestProgressSource:
    """Says the lines that were put in."""

    def __init__(self) -> None:
        self._lines: asyncio.Queue[GuestProgress] = asyncio.Queue()

    def say(self, line: GuestProgress) -> None:
        """The guest says something."""
        self._lines.put_nowait(line)

    async def lines(self, socket_path: str) -> AsyncIterator[GuestProgress]:
        while True:
            yield await self._lines.get()


class FakeAgentEventLog:
    """Keeps what was published."""

    def __init__(self) -> None:
        self.published: list[AgentStatus] = []

    def publish(self, status: AgentStatus) -> None:
        self.published.append(status)


class FakeAgentLogs:
    """Logs that a test writes. `lines` and `notes` are what stands in them."""

    def __init__(self) -> None:
        self.lines: dict[str, list[bytes]] = {}
        self.notes: dict[str, list[Note]] = {}
        self._read: dict[tuple[str, str], int] = {}

    def skip(self, name: str) -> None:
        self._read[name, "events"] = len(self.lines.get(name, ()))
        self._read[name, "records"] = len(self.notes.get(name, ()))

    def events(self, name: str) -> tuple[bytes, ...]:
        return tuple(self.lines.get(name, ())[self._advance(name, "events", len(self.lines.get(name, ()))) :])

    def records(self, name: str) -> tuple[Note, ...]:
        return tuple(self.notes.get(name, ())[self._advance(name, "records", len(self.notes.get(name, ()))) :])

    def write(self, name: str, line: bytes, note: Note) -> None:
        """The agent says one thing in each log."""
        self.lines.setdefault(name, []).append(line)
        self.notes.setdefault(name, []).append(note)

    def begin_anew(self, name: str) -> None:
        """The instance starts again."""
        self.lines[name], self.notes[name] = [], []
        self._read[name, "events"] = self._read[name, "records"] = 0

    def _advance(self, name: str, log: str, to: int) -> int:
        position = self._read.get((name, log), 0)
        self._read[name, log] = to
        return position
