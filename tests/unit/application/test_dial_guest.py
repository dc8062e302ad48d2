"""Tunnels for many clients at once."""

import asyncio
import contextlib

import pytest

from lima.application import dial_guest
from lima.application.agent_state import AgentState
from lima.application.dial_guest import DialGuest
from lima.application.dialling_turns import AT_ONCE, TO_ONE
from lima.domain.errors import GuestAgentError
from lima.domain.guest_ports import GuestPort, PortProtocol
from lima.ports.guest_agent import GuestSocket, Tunnel
from lima.testing import fakes

WEB = GuestPort(PortProtocol.TCP, "127.0.0.1", 8080)
PORTS = [GuestPort(PortProtocol.TCP, "127.0.0.1", 9000 + number) for number in range(2 * AT_ONCE)]
PATIENCE_S = 0.6
RUSH = 10 * AT_ONCE


class BusyAgent(fakes.FakeGuestAgent):
    """It takes a request when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[GuestPort | GuestSocket] = []
        self.lets = asyncio.Event()
        self.lets.set()

    async def tunnel(self, target: GuestPort | GuestSocket) -> Tunnel:
        self.asked.append(target)
        await self.lets.wait()
        return await super().tunnel(target)


class Company:
    """An agent, and clients of its guest."""

    def __init__(self) -> None:
        self.agent = BusyAgent()
        self.agent.ports = {WEB, *PORTS}
        self.state = AgentState(events=fakes.FakeAgentEventLog())
        self.dial = DialGuest(agent=lambda: self.agent, state=self.state)

    async def come(self) -> None:
        """The agent is attended."""
        await self.agent.connect("/fake")
        self.state.agent_answers(await self.agent.listening())

    def clients(self, *targets: GuestPort) -> "list[asyncio.Future[Tunnel]]":
        return [asyncio.ensure_future(self.dial(target)) for target in targets]


@pytest.fixture
async def company() -> Company:
    company = Company()
    await company.come()
    return company


@pytest.fixture(autouse=True)
def slow_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn ends for the reason that a test gives, not because this machine was busy for a second."""
    monkeypatch.setattr(dial_guest, "OPENING_S", 60)


async def turns() -> None:
    """Everybody who can goes on."""
    for _ in range(20):
        await asyncio.sleep(0)


async def ended(clients: "list[asyncio.Future[Tunnel]]") -> None:
    for client in clients:
        client.cancel()
    await asyncio.gather(*clients, return_exceptions=True)


async def test_a_rush_of_clients_waits_on_the_host_and_all_are_served(company: Company) -> None:
    company.agent.lets.clear()
    clients = company.clients(*PORTS, *[WEB] * RUSH)
    await turns()
    assert len(company.agent.asked) == AT_ONCE
    company.agent.lets.set()
    tunnels = await asyncio.gather(*clients)
    assert company.state.meter.clients_now == len(tunnels) == len(company.agent.asked)
    for tunnel in tunnels:
        await tunnel.close()
    assert company.state.meter.clients_now == 0


async def test_what_was_asked_for_and_is_not_open_keeps_its_turn(company: Company) -> None:
    for port in PORTS:
        company.agent.stall(port)
    tunnels = company.clients(*PORTS)
    await turns()
    # whoever is served may speak, open or not: its words go after the request
    assert sum(client.done() for client in tunnels) == AT_ONCE
    for port in PORTS:
        company.agent.resume(port)
    await asyncio.gather(*tunnels)


async def test_a_program_that_accepts_nobody_keeps_no_client_of_another_waiting(company: Company) -> None:
    company.agent.stall(WEB)
    waiting = company.clients(*[WEB] * RUSH)
    await turns()
    assert company.agent.asked == [WEB] * TO_ONE
    [other] = company.clients(PORTS[0])
    await turns()
    assert other.done()
    await ended(waiting)


async def test_nor_its_own_for_ever(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dial_guest, "OPENING_S", 0.01)
    company.agent.stall(WEB)
    async with asyncio.timeout(10):
        await asyncio.gather(*company.clients(*[WEB] * RUSH))


async def test_a_tunnel_that_is_closed_gives_its_turn_back(company: Company) -> None:
    company.agent.stall(WEB)
    first = await asyncio.gather(*company.clients(*[WEB] * TO_ONE))
    [next_one] = company.clients(WEB)
    await turns()
    assert not next_one.done()
    await first[0].close()
    await turns()
    assert next_one.done()


async def test_so_does_a_client_that_leaves(company: Company) -> None:
    company.agent.lets.clear()
    clients = company.clients(*[WEB] * TO_ONE)
    await turns()
    await ended(clients)
    company.agent.lets.set()
    async with asyncio.timeout(10):
        await asyncio.gather(*company.clients(*[WEB] * TO_ONE))


async def test_waiting_for_others_is_no_waiting_for_the_agent(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dial_guest, "DIAL_WAIT_S", 0.2)
    monkeypatch.setattr(dial_guest, "OPENING_S", 0.1)
    company.agent.stall(WEB)
    async with asyncio.timeout(10):
        await asyncio.gather(*company.clients(*[WEB] * TO_ONE * 5))


async def nobody_has_a_turn(company: Company) -> bool:
    """Then nobody waits for an agent behind others who wait for it."""
    async with asyncio.timeout(0), contextlib.AsyncExitStack() as stack:
        for port in PORTS[:AT_ONCE]:
            await stack.enter_async_context(await company.dial._turns.take(port))
        return True


async def test_all_who_come_while_the_agent_is_away_wait_for_it_at_the_same_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dial_guest, "DIAL_WAIT_S", 0.2)
    company = Company()
    clients = company.clients(*[WEB] * RUSH)
    await turns()
    assert await nobody_has_a_turn(company)
    heard = await asyncio.gather(*clients, return_exceptions=True)
    assert {type(each) for each in heard} == {GuestAgentError}


async def test_so_do_those_whom_it_leaves_behind_others(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dial_guest, "DIAL_WAIT_S", 0.2)
    company.agent.stall(WEB)
    clients = company.clients(*[WEB] * RUSH)
    await turns()
    company.agent.die()
    company.state.agent_left()
    for _ in range(RUSH):
        await asyncio.sleep(0)
    assert await nobody_has_a_turn(company)
    heard = await asyncio.gather(*clients, return_exceptions=True)
    assert sum(isinstance(each, GuestAgentError) for each in heard) == RUSH - TO_ONE


async def test_one_that_comes_back_is_asked_again(company: Company) -> None:
    company.agent.stall(WEB)
    clients = company.clients(*[WEB] * RUSH)
    await turns()
    company.agent.die()
    company.state.agent_left()
    await turns()
    company.agent.answers = True
    company.agent.resume(WEB)
    await company.come()
    assert len(await asyncio.gather(*clients)) == RUSH
