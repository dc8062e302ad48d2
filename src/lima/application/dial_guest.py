"""New tunnels for clients of forwards, through the guest agent, and what they carry."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from lima.application.agent_state import AgentState, Meter
from lima.domain.errors import GuestAgentError, GuestDialError
from lima.ports.guest_agent import GuestAgent, Tunnel
from lima.ports.port_forwarder import GuestTarget

DIAL_WAIT_S = 10.0
"""How long a client waits for an agent that is away: one that restarts takes less."""
NOTICE_S = 1.0
"""How long it may take until a death of the agent is noticed that made a tunnel fail."""
AT_ONCE = 32
"""Requests for tunnels on their way to the agent. More wait here, where they cost it nothing: one that does not answer in
time is taken for dead, and all its tunnels with it. What it has been handed, and not yet opened, is not counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DialGuest:
    """A tunnel for each call. `agent` gives the one link, as `AttendAgent` knows it."""

    agent: Callable[[], GuestAgent]
    state: AgentState
    _turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE), init=False)

    async def __call__(self, guest: GuestTarget) -> Tunnel:
        """Raises: GuestAgentError where the agent does not come back in time, or refuses."""
        try:
            async with self._turns, asyncio.timeout(DIAL_WAIT_S):
                while True:
                    if (tunnel := await self._try(guest)) is not None:
                        return _Counted(tunnel, self.state.meter)
        except TimeoutError:
            raise GuestAgentError("the guest agent is away") from None

    async def _try(self, guest: GuestTarget) -> Tunnel | None:
        """None where the agent went before anything was said: the next one can be asked."""
        meter, changed = self.state.meter, self.state.agent_changed
        await changed.until(lambda: self.state.agent_running)
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


class _Counted:
    """A tunnel that adds to the meter."""

    def __init__(self, tunnel: Tunnel, meter: Meter) -> None:
        self._tunnel = tunnel
        self._meter = meter
        self._is_open = True
        meter.clients += 1
        meter.clients_now += 1

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
