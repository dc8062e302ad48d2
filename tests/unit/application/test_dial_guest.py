"""Tunnels for many clients at once."""

import asyncio

from lima.application.agent_state import AgentState
from lima.application.dial_guest import AT_ONCE, DialGuest
from lima.domain.guest_ports import GuestPort, PortProtocol
from lima.ports.guest_agent import GuestSocket, Tunnel
from lima.testing import fakes

WEB = GuestPort(PortProtocol.TCP, "127.0.0.1", 8080)


class SlowAgent(fakes.FakeGuestAgent):
    """It opens a tunnel when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.lets = asyncio.Event()

    async def tunnel(self, target: GuestPort | GuestSocket) -> Tunnel:
        self.asked += 1
        await self.lets.wait()
        return await super().tunnel(target)


async def test_a_rush_of_clients_waits_on_the_host_and_all_are_served() -> None:
    agent, state = SlowAgent(), AgentState(events=fakes.FakeAgentEventLog())
    agent.ports.add(WEB)
    await agent.connect("/fake")
    state.agent_answers(await agent.listening())
    dial = DialGuest(agent=lambda: agent, state=state)
    clients = [asyncio.ensure_future(dial(WEB)) for _ in range(10 * AT_ONCE)]
    for _ in range(5):
        await asyncio.sleep(0)
    assert agent.asked == AT_ONCE
    agent.lets.set()
    tunnels = await asyncio.gather(*clients)
    assert state.meter.clients_now == len(tunnels) == agent.asked
    for tunnel in tunnels:
        await tunnel.close()
    assert state.meter.clients_now == 0
