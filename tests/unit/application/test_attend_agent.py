"""The company that the guest's agent has: its ports become state, its clock is kept, lost connections are made again."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from lima.application import attend_agent
from lima.application.agent_door import AgentDoor
from lima.application.agent_state import AgentState
from lima.application.attend_agent import AGENT_SOCKET, EVENTS_PER_S, MAX_SAID, AttendAgent
from lima.domain.errors import GuestAgentError
from lima.domain.guest_ports import MAX_PORTS, GuestPort, PortProtocol, PortsChanged
from lima.ports.guest_agent import ClockReport
from lima.ports.transport import RemoteResult
from lima.testing import fakes

WEB = GuestPort(PortProtocol.TCP, "127.0.0.1", 8080)
DNS = GuestPort(PortProtocol.UDP, "::", 53)


class Company:
    def __init__(self) -> None:
        self.agent = fakes.FakeGuestAgent()
        self.clock = fakes.FakeClock()
        self.log = fakes.FakeEventSink()
        self.state = AgentState(events=fakes.FakeAgentEventLog())
        self.transport = fakes.FakeTransport()
        self.door = AgentDoor()
        self.made = 0

    def link(self) -> fakes.FakeGuestAgent:
        self.made += 1
        return self.agent

    def run(self) -> None:
        attend = AttendAgent(agent=self.link, clock=self.clock, state=self.state, log=self.log)
        self.task = asyncio.ensure_future(attend(self.door, self.transport, directory="/i"))

    async def until(self, condition: object) -> None:
        assert callable(condition)
        for _ in range(2000):
            if condition():
                return
            assert not self.task.done(), self.task.result()
            await asyncio.sleep(0.001)
        raise AssertionError(f"never: {self.log.notes}")


@pytest.fixture
async def company(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Company]:
    monkeypatch.setattr(attend_agent, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(attend_agent, "LAST_PAUSE_S", 0.002)
    monkeypatch.setattr(attend_agent, "LAST_SSH_PAUSE_S", 0.002)
    company = Company()
    company.run()
    yield company
    company.task.cancel()
    await asyncio.gather(company.task, return_exceptions=True)
    assert not company.agent.is_connected


async def test_nothing_is_made_before_the_guest_opens_its_port(company: Company) -> None:
    await asyncio.sleep(0.01)
    assert (company.made, company.agent.connected_to) == (0, [])
    company.door.opened()
    await company.until(lambda: company.state.agent_running)
    assert company.agent.connected_to == ["/i/ga.sock"]
    assert "Guest agent is running" in company.log.notes


async def test_ports_become_state(company: Company) -> None:
    company.agent.ports.add(WEB)
    company.door.opened()
    await company.until(lambda: company.state.ports == {WEB})
    company.agent.open_port(DNS)
    await company.until(lambda: company.state.ports == {WEB, DNS})
    company.agent.close_port(WEB)
    await company.until(lambda: company.state.ports == {DNS})


async def test_a_dead_agent_is_found_again_and_its_ports_are_asked_for_anew(company: Company) -> None:
    company.agent.ports.add(WEB)
    company.door.opened()
    await company.until(lambda: company.state.agent_running)
    company.agent.die()
    await company.until(lambda: not company.state.agent_running)
    assert company.state.ports == {WEB}
    company.agent.ports = {DNS}
    company.agent.answers = True
    await company.until(lambda: company.state.agent_running)
    assert company.state.ports == {DNS}


async def test_a_port_that_is_opened_again_gets_a_new_connection(company: Company) -> None:
    """The agent was restarted: to the new one, an old connection is noise."""
    company.door.opened()
    await company.until(lambda: company.state.agent_running)
    company.door.opened()
    await company.until(lambda: len(company.agent.connected_to) == 2)
    company.door.closed()
    await company.until(lambda: not company.agent.is_connected)
    await asyncio.sleep(0.01)
    assert len(company.agent.connected_to) == 2
    company.door.opened()
    await company.until(lambda: len(company.agent.connected_to) == 3)


async def test_an_agent_that_leaves_before_it_answers_does_not_keep_the_next_one_waiting(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was restarted: our first words went to the old one."""
    connect = company.agent.connect

    async def unheard(_path: str) -> None:
        monkeypatch.setattr(company.agent, "connect", connect)
        await asyncio.Event().wait()

    monkeypatch.setattr(company.agent, "connect", unheard)
    company.door.opened()
    await company.until(lambda: company.agent.connect == connect)
    company.door.opened()
    await company.until(lambda: company.state.agent_running)


async def test_without_a_port_ssh_leads_to_its_socket(company: Company) -> None:
    await company.transport.connect()
    company.door.ssh(is_up=True)
    await company.until(lambda: ("test", "-S", AGENT_SOCKET) in company.transport.ran)
    assert company.made == 0
    company.transport.commands[("test", "-S", AGENT_SOCKET)] = RemoteResult(exit_code=0, stdout=b"", stderr=b"")
    await company.until(lambda: company.state.agent_running)
    assert company.transport.forwards == {"/i/ga-ssh.sock": AGENT_SOCKET}
    company.door.opened()
    await company.until(lambda: company.agent.connected_to[-1] == "/i/ga.sock")


async def test_the_clock_is_set_at_once_then_now_and_then_and_after_a_pause(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attend_agent, "CLOCK_SYNC_S", 3600)
    company.agent.drift_ms = -3_600_000
    company.door.opened()
    await company.until(lambda: company.agent.drift_ms == 0)
    assert "The guest's clock was -3600 s off, and has been set" in company.log.notes
    company.agent.drift_ms = -500
    company.door.resumed()
    await company.until(lambda: company.agent.drift_ms == 0)
    monkeypatch.setattr(attend_agent, "CLOCK_SYNC_S", 0.001)
    company.door.resumed()
    calls = company.agent.clock_calls
    await company.until(lambda: company.agent.clock_calls > calls + 3)


async def test_a_clock_that_was_set_late_is_set_again_soon(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attend_agent, "CLOCK_SYNC_S", 3600)
    monkeypatch.setattr(attend_agent, "AGAIN_S", 0.001)
    company.agent.drift_ms = 2000
    set_clock = company.agent.set_clock

    async def busy(now_ns: int) -> ClockReport:
        company.clock.now += 2
        return await set_clock(now_ns)

    monkeypatch.setattr(company.agent, "set_clock", busy)
    company.door.opened()
    await company.until(lambda: company.agent.clock_calls == 2)


async def test_a_clock_that_cannot_be_set_is_said_once(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attend_agent, "CLOCK_SYNC_S", 0.001)
    company.agent.drift_ms, company.agent.clock_problem = 5000, "operation not permitted"
    company.door.opened()
    await company.until(lambda: company.agent.clock_calls > 5)
    assert [note for note in company.log.notes if "clock" in note] == [
        "The guest's clock could not be set: operation not permitted"
    ]


async def test_an_agent_that_answers_the_clock_no_more_is_left(company: Company) -> None:
    company.door.opened()
    await company.until(lambda: company.agent.clock_calls)
    company.agent.fail_next(GuestAgentError("not in time"))
    company.door.resumed()
    await company.until(lambda: len(company.agent.connected_to) == 2)


async def test_an_agent_that_never_comes_is_one_line(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attend_agent, "ABSENT_S", 0.02)
    await company.transport.connect()
    company.door.ssh(is_up=True)
    await company.until(lambda: any("No guest agent answers" in note for note in company.log.notes))
    await asyncio.sleep(0.05)
    assert len(company.log.notes) == 2  # the other is for those who look at debug level


async def test_a_guest_that_never_stops_talking_is_slowed_down(company: Company) -> None:
    company.door.opened()
    await company.until(lambda: company.state.agent_running)
    began = company.clock.now
    for number in range(3 * EVENTS_PER_S):
        company.agent.report(PortsChanged(added=(WEB,), errors=(f"error {number}",)))
    company.agent.report(PortsChanged(added=(DNS,)))
    await company.until(lambda: DNS in company.state.ports)
    assert company.clock.now - began >= 2
    assert len(company.log.notes) <= MAX_SAID


async def test_more_ports_than_there_can_be_are_not_kept(company: Company) -> None:
    company.door.opened()
    await company.until(lambda: company.state.agent_running)
    many = [GuestPort(PortProtocol.TCP, f"10.0.{number >> 8}.{number & 255}", 1) for number in range(MAX_PORTS + 10)]
    company.agent.report(PortsChanged(added=tuple(many)))
    await company.until(lambda: company.state.ports)
    assert len(company.state.ports) == MAX_PORTS
    company.agent.report(PortsChanged(added=(DNS,), removed=tuple(many[:5])))
    await company.until(lambda: DNS in company.state.ports)


async def test_an_agent_that_hangs_does_not_keep_anybody(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(_path: str) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(company.agent, "connect", hang)
    company.door.opened()
    await company.until(lambda: company.made)
    company.task.cancel()
    await asyncio.wait_for(asyncio.gather(company.task, return_exceptions=True), 1)
