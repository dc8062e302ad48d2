"""Keep ports of the guest forwarded for as long as it runs. Source: reference, runtime §9.3 to §9.5.

What the guest's agent says is listening is matched with the rules; what they give to the host listens here, and each
client gets a tunnel through the agent. While the agent is away its forwards stay, and new clients wait for it shortly.
Static rules are OpenSSH's: they need no agent, and hold in plain mode.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from lima.application.agent_door import AgentDoor
from lima.application.agent_state import AgentState
from lima.domain.config import InstanceConfig
from lima.domain.errors import GuestAgentError, HostPortError, HostPortRefusedError, LimaError
from lima.domain.events import PortForwardEvent
from lima.domain.forward_plan import ForwardPlan, GuestEnd, Place, forward_plan, is_often_taken
from lima.domain.guest_ports import GuestPort
from lima.domain.progress import Level, Note
from lima.ports.clock import Clock
from lima.ports.events import EventSink
from lima.ports.guest_agent import GuestAgent, GuestSocket, Tunnel
from lima.ports.port_forwarder import Dial, Forward, PortForwarder
from lima.ports.transport import Transport

FIRST_PAUSE_S = 0.5
LAST_PAUSE_S = 8.0
"""Between two attempts at what this host had no room for: nothing tells when a port becomes free."""
DIAL_WAIT_S = 10.0
"""How long a client waits for an agent that is away: one that restarts takes less."""
BURST = 1000
SAYINGS_PER_S = 20
"""A guest that opens and closes ports for ever is not spoken of for ever."""


@dataclass(slots=True)
class _Book:
    """What stands at this moment. `leads` is where clients of a place are taken."""

    leads: dict[Place, GuestEnd] = field(default_factory=dict)
    open: dict[Place, Forward] = field(default_factory=dict)
    failed: dict[Place, HostPortError] = field(default_factory=dict)
    refused: frozenset[GuestPort] = frozenset()

    def has_hope(self) -> bool:
        """Whether something failed that may yet succeed."""
        return any(not isinstance(error, HostPortRefusedError) for error in self.failed.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardPorts:
    """Runs until it is cancelled; nothing listens then. `agent` gives the one link, as `AttendAgent` knows it."""

    agent: Callable[[], GuestAgent]
    forwarder: PortForwarder
    clock: Clock
    state: AgentState
    log: EventSink

    async def __call__(self, config: InstanceConfig, transport: Transport, door: AgentDoor, *, ssh_port: int) -> None:
        """Forward what `config` says. `ssh_port`: the host's port of the guest's sshd, which nothing else gets."""
        plan = forward_plan(
            config.port_forwards, ssh_local_port=ssh_port, implicit=config.port_forward_defaults, plain=config.plain
        )
        for sentence in plan.omitted:
            self._say(sentence, Level.WARNING)
        sayings = _Sayings(clock=self.clock, state=self.state, log=self.log, filled_at=self.clock.monotonic())
        static = asyncio.ensure_future(self._hold_static(plan, transport, door, sayings))
        try:
            await self._follow(plan, sayings)
        finally:
            static.cancel()
            await asyncio.gather(static, return_exceptions=True)
            await self.forwarder.close()

    # --- what the agent reports --------------------------------------------------------------------------------------

    async def _follow(self, plan: ForwardPlan, sayings: "_Sayings") -> None:
        book, pause = _Book(), FIRST_PAUSE_S
        await self.state.agent_changed.until(lambda: self.state.agent_was_seen)
        while True:
            await self._settle(plan, book, sayings, ports := self.state.ports)
            is_news = await self._ports_are_not(ports, seconds=pause if book.has_hope() else None)
            pause = FIRST_PAUSE_S if is_news else min(2 * pause, LAST_PAUSE_S)

    async def _ports_are_not(self, known: frozenset[GuestPort], *, seconds: float | None) -> bool:
        return await self.state.agent_changed.until(lambda: self.state.ports != known, seconds=seconds)

    async def _settle(self, plan: ForwardPlan, book: _Book, sayings: "_Sayings", ports: frozenset[GuestPort]) -> None:
        wanted = plan.wanted(ports, standing=book.leads)
        for place in [place for place in book.leads if place not in wanted.forwards]:
            guest = book.leads.pop(place)
            book.failed.pop(place, None)
            if forward := book.open.pop(place, None):
                await forward.close()
                sayings.stopping(place, guest)
        for place, guest in wanted.forwards.items():
            book.leads[place] = guest
            if place not in book.open:
                await self._open(book, sayings, place)
        for port in sorted(wanted.refused - book.refused):
            sayings.not_forwarding(port)
        book.refused = wanted.refused

    async def _open(self, book: _Book, sayings: "_Sayings", place: Place) -> None:
        earlier = book.failed.get(place)
        if isinstance(earlier, HostPortRefusedError):
            return
        try:
            book.open[place] = await self.forwarder.open(place.protocol, place.end, self._dial(book, place))
        except HostPortError as error:
            book.failed[place] = error
            if earlier is None:
                sayings.failed(place, book.leads[place], error)
            return
        book.failed.pop(place, None)
        sayings.forwarding(place, book.leads[place])

    def _dial(self, book: _Book, place: Place) -> Dial:
        """Whatever has the place when a client comes: a program that changes its address in the guest is not missed."""

        async def dial() -> Tunnel:
            if not await self.state.agent_changed.until(lambda: self.state.agent_running, seconds=DIAL_WAIT_S):
                raise GuestAgentError("the guest agent is away")
            guest = book.leads.get(place)
            if guest is None:
                raise GuestAgentError(f"nothing in the guest belongs to {place} any more")
            return await self.agent().tunnel(guest if isinstance(guest, GuestPort) else GuestSocket(guest))

        return dial

    # --- what ssh does -----------------------------------------------------------------------------------------------

    async def _hold_static(self, plan: ForwardPlan, transport: Transport, door: AgentDoor, sayings: "_Sayings") -> None:
        """Whenever ssh connects: its forwards end with the connection."""
        failed: set[Place] = set()
        login = 0
        while plan.static:
            login = await _next_login(door, login)
            missing, pause = dict(plan.static), FIRST_PAUSE_S
            while missing and (door.has_ssh, door.logins) == (True, login):
                for place, guest in list(missing.items()):
                    try:
                        await transport.forward(str(place.end), str(guest))
                    except LimaError as error:
                        if place not in failed:
                            sayings.failed(place, guest, error)
                        failed.add(place)
                    else:
                        del missing[place]
                        failed.discard(place)
                        sayings.forwarding(place, guest)
                if missing:
                    await door.until(lambda: not door.has_ssh, seconds=pause)
                    pause = min(2 * pause, LAST_PAUSE_S)

    def _say(self, message: str, level: Level = Level.INFO) -> None:
        self.log.emit(Note(message=message, level=level))


@dataclass(slots=True, kw_only=True)
class _Sayings:
    """What is told of forwards, as lines and as events, within limits."""

    clock: Clock
    state: AgentState
    log: EventSink
    filled_at: float
    left: float = BURST

    def forwarding(self, place: Place, guest: GuestEnd) -> None:
        self._tell("forwarding", f"Forwarding {_kind(place)} from {guest} to {place.end}", place, guest)

    def stopping(self, place: Place, guest: GuestEnd) -> None:
        self._tell("stopping", f"Stopping forwarding {_kind(place)} from {guest} to {place.end}", place, guest)

    def failed(self, place: Place, guest: GuestEnd, error: LimaError) -> None:
        is_usual = is_often_taken(guest) or isinstance(error, HostPortRefusedError)
        message = f"Not forwarding {_kind(place)} from {guest} to {place.end}: {error.message}"
        level = Level.INFO if is_usual else Level.WARNING
        self._tell("failed", message, place, guest, level=level, error=error.message)

    def not_forwarding(self, port: GuestPort) -> None:
        if self._may_speak():
            self.log.emit(Note(message=f"Not forwarding {port.protocol.upper()} {port}", level=Level.INFO))
            self.state.port_forward(
                PortForwardEvent(type="not-forwarding", protocol=port.protocol, guest_addr=str(port))
            )

    def _tell(
        self, kind: str, message: str, place: Place, guest: GuestEnd, *, level: Level = Level.INFO, error: str = ""
    ) -> None:
        if self._may_speak():
            self.log.emit(Note(message=message, level=level))
            self.state.port_forward(
                PortForwardEvent(
                    type=kind, protocol=place.protocol, guest_addr=str(guest), host_addr=str(place.end), error=error
                )
            )

    def _may_speak(self) -> bool:
        now = self.clock.monotonic()
        self.left = min(BURST, self.left + SAYINGS_PER_S * (now - self.filled_at))
        self.filled_at = now
        if self.left < 1:
            return False
        self.left -= 1
        return True


async def _next_login(door: AgentDoor, last: int) -> int:
    await door.until(lambda: door.has_ssh and door.logins != last)
    return door.logins


def _kind(place: Place) -> str:
    return place.protocol.upper()
