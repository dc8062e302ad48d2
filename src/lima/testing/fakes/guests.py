"""Fakes of what runs and reaches guests."""

import asyncio
import contextlib
import os
from collections.abc import Callable

from lima.domain.errors import HypervisorError, NetworkError, UnreachableError
from lima.domain.machine_spec import MachineSpec
from lima.domain.process import ProcessIdentity
from lima.ports.hypervisor import ExitReport, GuestEvent, StopOutcome
from lima.ports.network_daemon import NetworkEndpoint
from lima.ports.transport import RemoteResult
from lima.testing.fakes.failing import Failing

BOOT_ID = "fake-boot"


class FakeHypervisor(Failing):
    """A guest of no machine. `powers_off` false: it ignores the power button, so that only force ends it.

    `running` is shared by all fakes that were given the same dictionary: what one started, another may adopt.
    """

    def __init__(
        self, running: dict[ProcessIdentity, "FakeHypervisor"] | None = None, *, powers_off: bool = True
    ) -> None:
        super().__init__()
        self._running = {} if running is None else running
        self._powers_off = powers_off
        self._events: asyncio.Queue[GuestEvent] = asyncio.Queue()
        self._ended: asyncio.Future[ExitReport] | None = None
        self._origin: FakeHypervisor = self
        self.machine: MachineSpec | None = None
        self.process: ProcessIdentity | None = None
        self.grace_s = -1.0
        """What it was last given to power off."""

    async def start(self, machine: MachineSpec) -> ProcessIdentity:
        self._maybe_fail()
        self.machine = machine
        self.process = ProcessIdentity(pid=1000 + len(self._running), start_ticks=1, boot_id=BOOT_ID)
        self._ended = asyncio.get_running_loop().create_future()
        self._running[self.process] = self
        return self.process

    async def adopt(self, machine: MachineSpec, process: ProcessIdentity) -> bool:
        origin = self._running.get(process)
        if origin is None or origin._ended is None or origin._ended.done():
            return False
        self.machine, self.process, self._origin = machine, process, origin
        self._ended, self._events = origin._ended, origin._events
        return True

    async def stop(self, *, grace_s: float) -> StopOutcome:
        if self._ended is None or self._ended.done():
            return StopOutcome.ALREADY_STOPPED
        self.grace_s = grace_s
        graceful = grace_s > 0 and self._powers_off
        self.exit(0 if graceful else -9, asked=True)
        return StopOutcome.GRACEFUL if graceful else StopOutcome.FORCED

    async def wait(self) -> ExitReport:
        if self._ended is None:
            raise HypervisorError("the guest was never started")
        return await asyncio.shield(self._ended)

    async def next_event(self) -> GuestEvent:
        return await self._events.get()

    def exit(self, exit_code: int | None, *, asked: bool = False) -> None:
        """The guest ends."""
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(ExitReport(exit_code=exit_code, asked=asked))

    def happen(self, event: GuestEvent) -> None:
        """Something happens to the guest."""
        self._events.put_nowait(event)


class FakeTransport(Failing):
    """A guest's ssh that is up once `answers` is true. `commands` maps argv to what it leaves; `guest` is asked first."""

    def __init__(self, *, answers: bool = True) -> None:
        super().__init__()
        self.answers = answers
        self.allows_forwarding = True
        self.connections = 0
        self.commands: dict[tuple[str, ...], RemoteResult] = {}
        self.guest: Callable[[tuple[str, ...], bytes], RemoteResult | None] | None = None
        self.ran: list[tuple[str, ...]] = []
        self.forwards: dict[str, str] = {}
        self.reverse_forwards: dict[str, str] = {}
        self.attached: dict[tuple[str, ...], asyncio.Future[RemoteResult]] = {}
        """The commands that talk to descriptors now; whoever sets a result ends one."""
        self._lost = asyncio.Event()
        self._is_connected = False

    async def probe(self) -> str:
        if not self.answers:
            raise UnreachableError("nothing answers")
        return "SSH-2.0-Fake"

    async def connect(self) -> None:
        self._maybe_fail()
        if not self.answers:
            raise UnreachableError("nothing answers")
        if not self._is_connected:
            self._is_connected = True
            self.connections += 1
            self._lost.clear()

    async def is_connected(self) -> bool:
        return self._is_connected

    async def wait_lost(self) -> None:
        if self._is_connected:
            await self._lost.wait()

    async def run(
        self, argv: tuple[str, ...], *, stdin: bytes = b"", on_line: Callable[[str], None] | None = None
    ) -> RemoteResult:
        if not self._is_connected:
            raise UnreachableError("the connection is gone")
        self.ran.append(argv)
        if argv == ("cat",):
            return RemoteResult(exit_code=0, stdout=stdin, stderr=b"")
        guest = self.guest
        told = guest(argv, stdin) if guest is not None else None
        result = told or self.commands.get(argv, RemoteResult(exit_code=1, stdout=b"", stderr=b""))
        if on_line is not None:
            for line in result.stderr.decode(errors="replace").splitlines():
                on_line(line)
        return result

    async def attach(self, argv: tuple[str, ...], stdio: int) -> RemoteResult:
        with contextlib.suppress(OSError):  # those of other fakes are of nothing
            os.close(stdio)
        if not self._is_connected:
            raise UnreachableError("the connection is gone")
        self._maybe_fail()
        self.ran.append(argv)
        session: asyncio.Future[RemoteResult] = asyncio.get_running_loop().create_future()
        self.attached[argv] = session
        try:
            return await session
        finally:
            del self.attached[argv]

    async def forward(self, listen: str, connect: str, *, reverse: bool = False) -> None:
        if not self._is_connected:
            raise UnreachableError("the connection is gone")
        self._maybe_fail()
        (self.reverse_forwards if reverse else self.forwards)[listen] = connect

    async def carries_ports(self) -> bool:
        return self.allows_forwarding or not self._is_connected

    async def cancel(self, listen: str, connect: str, *, reverse: bool = False) -> None:
        forwards = self.reverse_forwards if reverse else self.forwards
        if forwards.get(listen) == connect:
            del forwards[listen]

    async def close(self) -> None:
        self.lose()

    def lose(self) -> None:
        """The connection breaks."""
        self._is_connected = False
        self.forwards.clear()
        self.reverse_forwards.clear()
        for session in self.attached.values():
            session.set_exception(UnreachableError("the connection is gone"))
        self._lost.set()


class FakeNetworkDaemon(Failing):
    """Networks that run as long as an instance is on them."""

    def __init__(self) -> None:
        super().__init__()
        self._members: dict[str, set[str]] = {}
        self._running: set[str] = set()

    async def ensure_running(self, network: str) -> NetworkEndpoint:
        self._maybe_fail()
        self._running.add(network)
        return NetworkEndpoint(socket=f"/fake/{network}.sock", subnet="192.168.104.0/24", gateway="192.168.104.2")

    async def is_running(self, network: str) -> bool:
        return network in self._running

    async def attach(self, network: str, instance: str) -> None:
        if network not in self._running:
            raise NetworkError(f"network `{network}` is not running")
        self._members.setdefault(network, set()).add(instance)

    async def detach(self, network: str, instance: str) -> None:
        members = self._members.get(network, set())
        members.discard(instance)
        if not members:
            self._running.discard(network)
