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
from lima.domain.forwarding import ForwardPlan, Wanted, forward_plan
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
SAYINGS_PER_S = 20
BURST = 1000
"""A guest that opens and closes ports for ever is not told of for ever."""


@dataclass(slots=True)
class _Book:
    """What stands at this moment, by what was wanted."""

    open: dict[Wanted, Forward] = field(default_factory=dict)
    failed: dict[Wanted, HostPortError] = field(default_factory=dict)
    refused: frozenset[GuestPort] = frozenset()


@dataclass(slots=True)
class _Purse:
    """Lines that may still be said."""

    clock: Clock
    lines: float = BURST
    filled_at: float = 0.0

    def spend(self) -> bool:
        """Whether one more may be."""
        now = self.clock.monotonic()
        self.lines = min(BURST, self.lines + SAYINGS_PER_S * (now - self.filled_at))
        self.filled_at = now
        if self.lines < 1:
            return False
        self.lines -= 1
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardPorts:
    """Runs until it is cancelled; nothing listens then. `agent` gives the one link, as `AttendAgent` does."""

    agent: Callable[[], GuestAgent]
    forwarder: PortForwarder
    clock: Clock
    state: AgentState
    log: EventSink

    async def __call__(self, config: InstanceConfig, transport: Transport, door: AgentDoor, *, ssh_port: int) -> None:
        """Forward what `config` says."""
        plan = forward_plan(
            config.port_forwards, ssh_local_port=ssh_port, implicit=config.port_forward_defaults, plain=config.plain
        )
        for sentence in plan.omitted:
            self._say(sentence, Level.WARNING)
        static = asyncio.ensure_future(self._hold_static(plan, transport, door))
        try:
            await self._follow(plan)
        finally:
            static.cancel()
            await asyncio.gather(static, return_exceptions=True)
            await self.forwarder.close()

    # --- what the agent reports ------------------------------------------------------------------------------------

    async def _follow(self, plan: ForwardPlan) -> None:
        book, purse = _Book(), _Purse(self.clock, filled_at=self.clock.monotonic())
        await self.state.agent_changed.until(lambda: self.state.agent_was_seen)
        pause = FIRST_PAUSE_S
        while True:
            ports = self.state.ports
            await self._settle(plan, book, purse, ports)
            again = any(not isinstance(error, HostPortRefusedError) for error in book.failed.values())
            changed = await self.state.agent_changed.until(
                lambda ports=ports: self.state.ports != ports, seconds=pause if again else None
            )
            pause = FIRST_PAUSE_S if changed else min(2 * pause, LAST_PAUSE_S)

    async def _settle(self, plan: ForwardPlan, book: _Book, purse: _Purse, ports: frozenset[GuestPort]) -> None:
        """Open what is missing, then close what is no longer wanted: as upstream does, and for the same reason. A
        program that changes its address is out of reach for no moment."""
        wanted, refused = plan.wanted(ports, standing=book.open)
        gone = [one for one in book.open if one not in wanted]
        moved = {one.place for one in wanted} & {one.place for one in gone}
        for one in gone:
            if one.place in moved:
                await self._close(book, purse, one)
        for one in sorted(wanted - book.open.keys(), key=str):
            await self._open(book, purse, one)
        for one in gone:
            if one in book.open:
                await self._close(book, purse, one)
        for one in book.failed.keys() - wanted:
            del book.failed[one]
        for port in sorted(refused - book.refused):
            if not purse.spend():
                break
            self._say(f"Not forwarding {port.protocol.upper()} {port}")
            self.state.port_forward(
                PortForwardEvent(type="not-forwarding", protocol=port.protocol, guest_addr=str(port))
            )
        book.refused = refused

    async def _open(self, book: _Book, purse: _Purse, one: Wanted) -> None:
        earlier = book.failed.get(one)
        if isinstance(earlier, HostPortRefusedError):
            return
        try:
            book.open[one] = await self.forwarder.open(one.protocol, one.end, self._dial(one.target))
        except HostPortError as error:
            book.failed[one] = error
            if earlier is None and purse.spend():
                self._say(f"{error.message} (for {one.name})", Level.INFO if one.is_often_taken else Level.WARNING)
                self._tell("failed", one, error=error.message)
            return
        book.failed.pop(one, None)
        if purse.spend():
            self._say(f"Forwarding {one.name} to {one.end}".replace(one.protocol.upper(), f"{one.protocol.upper()} from", 1))
            self._tell("forwarding", one)

    async def _close(self, book: _Book, purse: _Purse, one: Wanted) -> None:
        await book.open.pop(one).close()
        if purse.spend():
            self._say(f"Stopping forwarding {one.protocol.upper()} from {one.target} to {one.end}")
            self._tell("stopping", one)

    def _dial(self, target: GuestPort | GuestSocket) -> Dial:
        async def dial() -> Tunnel:
            if not await self.state.agent_changed.until(lambda: self.state.agent_running, seconds=DIAL_WAIT_S):
                raise GuestAgentError("the guest agent is away")
            return await self.agent().tunnel(target)

        return dial
