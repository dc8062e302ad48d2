"""New tunnels for clients of forwards, through the guest agent, and what they carry."""

from collections.abc import Callable
from dataclasses import dataclass

from lima.application.agent_state import AgentState, Meter
from lima.domain.errors import GuestAgentError
from lima.ports.guest_agent import GuestAgent, Tunnel
from lima.ports.port_forwarder import GuestTarget

DIAL_WAIT_S = 10.0
"""How long a client waits for an agent that is away: one that restarts takes less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DialGuest:
    """A tunnel for each call. `agent` gives the one link, as `AttendAgent` knows it."""

    agent: Callable[[], GuestAgent]
    state: AgentState

    async def __call__(self, guest: GuestTarget) -> Tunnel:
        """Raises: GuestAgentError where the agent does not come back in time, or refuses."""
        if not await self.state.agent_changed.until(lambda: self.state.agent_running, seconds=DIAL_WAIT_S):
            raise GuestAgentError("the guest agent is away")
        return _Counted(await self.agent().tunnel(guest), self.state.meter)


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
