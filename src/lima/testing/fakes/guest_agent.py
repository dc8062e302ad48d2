"""A fake guest agent, with the guest that it sees: ports, files, a clock, programs that echo."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

from lima.domain.errors import GuestAgentError, GuestDialError
from lima.domain.guest_ports import GuestPort, PortProtocol, PortsChanged
from lima.ports.guest_agent import ClockReport, FileTouched, GuestSocket
from lima.testing.fakes.failing import Failing

PIECE = 64 << 10
_Result = TypeVar("_Result")


class _Connection:
    """What ends when the agent dies or the link is closed."""

    def __init__(self) -> None:
        self.lost = asyncio.Event()
        self.changes: asyncio.Queue[PortsChanged] = asyncio.Queue()

    async def or_lost(self, wait: Coroutine[Any, Any, _Result]) -> _Result:
        """What `wait` gives. Raises: GuestAgentError once the connection is gone."""
        waiting, lost = asyncio.ensure_future(wait), asyncio.ensure_future(self.lost.wait())
        try:
            await asyncio.wait((waiting, lost), return_when=asyncio.FIRST_COMPLETED)
            if self.lost.is_set():
                raise GuestAgentError("the agent is gone")
            return await waiting
        finally:
            waiting.cancel()
            lost.cancel()


class FakeTunnel:
    """To a program that says back what it is told, 1 MiB behind at most, and ends when it is told that that was all."""

    def __init__(self, connection: _Connection, target: GuestPort | GuestSocket, *, is_refused: bool) -> None:
        self._connection = connection
        self._is_udp = isinstance(target, GuestPort) and target.protocol is PortProtocol.UDP
        self._is_refused = is_refused
        self._is_over = False
        self._echo: asyncio.Queue[bytes | None] = asyncio.Queue(16)
        self._target = target
        self._opened = asyncio.Event()

    def accept(self) -> None:
        """The program has accepted it."""
        self._opened.set()

    async def opened(self) -> None:
        with contextlib.suppress(GuestAgentError):
            await self._connection.or_lost(self._opened.wait())

    async def send(self, data: bytes) -> None:
        self._check()
        pieces = [data] if self._is_udp else [data[at : at + PIECE] for at in range(0, len(data), PIECE)]
        for piece in pieces:
            await self._connection.or_lost(self._echo.put(piece))

    async def end_sending(self) -> None:
        if not self._is_udp and not self._is_over:
            self._is_over = True
            await self._connection.or_lost(self._echo.put(None))

    async def receive(self) -> bytes | None:
        self._check()
        return await self._connection.or_lost(self._echo.get())

    async def close(self) -> None:
        self._is_over = True
        self._opened.set()

    def _check(self) -> None:
        if self._is_refused:
            raise GuestDialError(f"tunnel to {self._target}: connection refused")


class FakeGuestAgent(Failing):
    """GuestAgentLink to a guest that the test arranges. It answers while `answers` is true."""

    def __init__(self, *, answers: bool = True) -> None:
        super().__init__()
        self.answers = answers
        self.connected_to: list[str] = []
        self.ports: set[GuestPort] = set()
        self.sockets: set[GuestSocket] = set()
        self.files: dict[str, int] = {}
        self.drift_ms = 0
        self.clock_problem = ""
        self.clock_calls = 0
        self._connection: _Connection | None = None
        self._stalled: dict[GuestPort | GuestSocket, list[FakeTunnel]] = {}

    # --- the port ----------------------------------------------------------------------------------------------------

    async def connect(self, socket_path: str) -> None:
        await self.close()
        self._maybe_fail()
        if not self.answers:
            raise GuestAgentError("the guest agent is not there")
        self._connection = _Connection()
        self.connected_to.append(socket_path)

    async def close(self) -> None:
        if self._connection is not None:
            self._connection.lost.set()
            self._connection = None

    async def listening(self) -> tuple[GuestPort, ...]:
        self._connected()
        return tuple(sorted(self.ports))

    def changes(self) -> AsyncIterator[PortsChanged]:
        return _changes(self._connected())

    async def set_clock(self, now_ns: int) -> ClockReport:
        self._connected()
        self._maybe_fail()
        self.clock_calls += 1
        drift, was_off = self.drift_ms, abs(self.drift_ms) > 100
        if was_off and not self.clock_problem:
            self.drift_ms = 0
        return ClockReport(drift_ms=drift, was_set=was_off and not self.clock_problem, problem=self.clock_problem)

    async def touch(self, files: AsyncIterator[FileTouched]) -> None:
        self._connected()
        async for file in files:
            self._connected()
            if file.path in self.files:
                self.files[file.path] = file.mtime_ns

    async def tunnel(self, target: GuestPort | GuestSocket) -> FakeTunnel:
        known = target in self.sockets if isinstance(target, GuestSocket) else target in self.ports
        tunnel = FakeTunnel(self._connected(), target, is_refused=not known)
        if target in self._stalled:
            self._stalled[target].append(tunnel)
        else:
            tunnel.accept()
        return tunnel

    # --- what a test does --------------------------------------------------------------------------------------------

    @property
    def is_connected(self) -> bool:
        """Whether the link stands."""
        return self._connection is not None

    def report(self, change: PortsChanged) -> None:
        """The agent says this, whatever is true."""
        if self._connection is not None:
            self._connection.changes.put_nowait(change)

    def open_port(self, port: GuestPort) -> None:
        """A program in the guest listens."""
        self.ports.add(port)
        self.report(PortsChanged(added=(port,)))

    def close_port(self, port: GuestPort) -> None:
        """It no longer does."""
        self.ports.discard(port)
        self.report(PortsChanged(removed=(port,)))

    def stall(self, target: GuestPort | GuestSocket) -> None:
        """The program there accepts nobody from now on."""
        self._stalled[target] = []

    def resume(self, target: GuestPort | GuestSocket) -> None:
        """It accepts all who wait."""
        for tunnel in self._stalled.pop(target):
            tunnel.accept()

    def die(self) -> None:
        """The agent's process ends."""
        self.answers = False
        if self._connection is not None:
            self._connection.lost.set()
            self._connection = None

    def _connected(self) -> _Connection:
        if self._connection is None:
            raise GuestAgentError("the guest agent is not connected")
        return self._connection


async def _changes(connection: _Connection) -> AsyncIterator[PortsChanged]:
    while True:
        yield await connection.or_lost(connection.changes.get())
