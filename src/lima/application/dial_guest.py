"""New tunnels for clients of forwards, through the guest agent, and what they carry."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

from lima.application.agent_state import AgentState, Meter
from lima.application.dialling_turns import DiallingTurns, Turn
from lima.domain.errors import GuestAgentError, GuestDialError
from lima.ports.guest_agent import GuestAgent, Tunnel
from lima.ports.port_forwarder import GuestTarget

DIAL_WAIT_S = 10.0
"""How long a client waits for an agent that is away: one that restarts takes less."""
NOTICE_S = 1.0
"""How long it may take until a death of the agent is noticed that made a tunnel fail."""
OPENING_S = 1.0
"""How long a tunnel that does not open keeps its turn: it waits for a program that accepts nobody, which costs the agent
nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DialGuest:
    """A tunnel for each call. `agent` gives the one link, as `AttendAgent` knows it."""

    agent: Callable[[], GuestAgent]
    state: AgentState
    _turns: DiallingTurns = field(default_factory=DiallingTurns, init=False)
    _opening: set[asyncio.Task[None]] = field(default_factory=set, init=False)

    async def __call__(self, guest: GuestTarget) -> Tunnel:
        """Raises: GuestAgentError where the agent does not come back in time, or refuses."""
        try:
            async with asyncio.timeout(DIAL_WAIT_S) as patience:
                while True:
                    await self.state.agent_changed.until(lambda: self.state.agent_running)
                    async with await self._turn(guest, patience) as turn:
                        if self.state.agent_running and (tunnel := await self._try(guest)) is not None:
                            self._keep_until_open(turn.pop_all(), tunnel)
                            return _Counted(tunnel, self.state.meter)
        except TimeoutError:
            raise GuestAgentError("the guest agent is away") from None

    async def _turn(self, guest: GuestTarget, patience: asyncio.Timeout) -> Turn:
        """However long it takes: behind others, one does not wait for the agent."""
        loop, ends = asyncio.get_running_loop(), patience.when()
        left = (ends or 0) - loop.time()
        patience.reschedule(None)
        turn = await self._turns.take(guest)
        patience.reschedule(loop.time() + left)
        return turn

    async def _try(self, guest: GuestTarget) -> Tunnel | None:
        """None where the agent went before anything was said: the next one can be asked."""
        meter, changed = self.state.meter, self.state.agent_changed
        connection = meter.agent_connections
        try:
            return await self.agent().tunnel(guest)
        except GuestDialError:
            raise
        except GuestAgentError:
            is_another = await changed.until(
                lambda: not self.state.agent_running or meter.agent_connections != connection, seconds=NOTICE_S
            )
            if not is_another:
                raise
            return None

    def _keep_until_open(self, turn: Turn, tunnel: Tunnel) -> None:
        """The client need not wait for it: what it says goes after the request."""
        task = asyncio.ensure_future(_until_open(turn, tunnel))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)


async def _until_open(turn: Turn, tunnel: Tunnel) -> None:
    async with turn:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(OPENING_S):
                await tunnel.opened()


class _Counted:
    """A tunnel that adds to the meter."""

    def __init__(self, tunnel: Tunnel, meter: Meter) -> None:
        self._tunnel = tunnel
        self._meter = meter
        self._is_open = True
        meter.clients += 1
        meter.clients_now += 1

    async def opened(self) -> None:
        await self._tunnel.opened()

    async def send(self, data: bytes) -> None:
        await self._tunnel.send(data)
        self._meter.bytes_to_guest += len(data)

    async def end_sending(self) -> None:
        await self._tunnel.end_sending()

    async def receive(self) -> bytes | None:
        data = await self._tunnel.receive()
        self._meter.bytes_to_host += len(data or b"")
        return data

    async def close(self) -> None:
        if self._is_open:
            self._is_open = False
            self._meter.clients_now -= 1
        await self._tunnel.close()
