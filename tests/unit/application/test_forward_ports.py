"""Ports of the guest are forwarded as they come and go, whatever becomes of the agent and the host's ports."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from lima.application import dial_guest, forward_ports, hold_forwards
from lima.application.agent_door import AgentDoor
from lima.application.agent_state import AgentState
from lima.application.dial_guest import DialGuest
from lima.application.forward_ports import Forwarders, ForwardPorts
from lima.application.tell_forwards import BURST
from lima.domain.config import InstanceConfig, User
from lima.domain.errors import HostPortRefusedError, HostPortTakenError, RemoteCommandError
from lima.domain.events import PortForwardEvent
from lima.domain.forward_plan import Place
from lima.domain.forwarding import HostEnd, HostPort, HostSocket
from lima.domain.guest_ports import GuestPort, PortProtocol, PortsChanged
from lima.domain.machine import Arch, GuestOS
from lima.domain.progress import Level, Note
from lima.domain.template import PortForward
from lima.ports.guest_agent import GuestSocket
from lima.testing import fakes

TCP, UDP = PortProtocol.TCP, PortProtocol.UDP
WEB = GuestPort(TCP, "127.0.0.1", 8080)
EVERYWHERE = GuestPort(TCP, "0.0.0.0", 8080)
DNS = GuestPort(UDP, "127.0.0.1", 5300)


def host(port: int) -> HostPort:
    return HostPort(ip="127.0.0.1", port=port)


class Company:
    """A guest with an agent, and what forwards its ports."""

    def __init__(self) -> None:
        self.agent = fakes.FakeGuestAgent()
        self.clock = fakes.FakeClock()
        self.log = fakes.FakeEventSink()
        self.events = fakes.FakeAgentEventLog()
        self.state = AgentState(events=self.events)
        self.forwarder = fakes.FakePortForwarder(DialGuest(agent=lambda: self.agent, state=self.state))
        self.ssh: fakes.FakePortForwarder | None = None
        self.transport = fakes.FakeTransport()
        self.door = AgentDoor()

    async def run(self, *forwards: PortForward, defaults: bool = True, plain: bool = False) -> None:
        forward = ForwardPorts(
            make_forwarders=lambda _transport: Forwarders(
                tcp=self.ssh or self.forwarder, udp=self.forwarder, sockets=self.forwarder,
                spare=self.forwarder if self.ssh else None,
            ),
            clock=self.clock, state=self.state, log=self.log,
        )  # fmt: skip
        config = InstanceConfig(
            os=GuestOS.LINUX, arch=Arch.X86_64, vm_type="qemu", cpus=1, memory_bytes=1, disk_bytes=1, images=(),
            user=User(name="u", uid=1, comment="", home="/h", shell="/s"), port_forwards=forwards,
            port_forward_defaults=defaults, plain=plain,
        )  # fmt: skip
        self.task = asyncio.ensure_future(forward(config, self.transport, self.door, ssh_port=60022))
        await asyncio.sleep(0)

    async def ssh_comes(self) -> None:
        await self.transport.connect()
        self.door.logged_in()

    def ssh_goes(self) -> None:
        self.transport.lose()
        self.door.logged_out()

    async def agent_comes(self, *ports: GuestPort) -> None:
        self.agent.ports.update(ports)
        await self.agent.connect("/fake")
        self.state.agent_answers(await self.agent.listening())

    def agent_leaves(self) -> None:
        self.agent.die()
        self.agent.answers = True
        self.state.agent_left()

    def report(self, *, added: tuple[GuestPort, ...] = (), removed: tuple[GuestPort, ...] = ()) -> None:
        self.agent.ports = (self.agent.ports | set(added)) - set(removed)
        self.state.ports_changed(PortsChanged(added=added, removed=removed))

    def listening(self) -> set[tuple[PortProtocol, HostEnd]]:
        return set(self.forwarder.listening)

    def told(self) -> list[PortForwardEvent]:
        return [status.port_forward for status in self.events.published if status.port_forward is not None]

    async def until(self, condition: object) -> None:
        assert callable(condition)
        for _ in range(2000):
            if condition():
                return
            assert not self.task.done(), self.task.result()
            await asyncio.sleep(0.001)
        raise AssertionError(f"never: {self.log.notes} {self.forwarder.listening}")


@pytest.fixture
async def company(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Company]:
    for module in (forward_ports, hold_forwards):
        monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.001)
        monkeypatch.setattr(module, "LAST_PAUSE_S", 0.002)
    monkeypatch.setattr(dial_guest, "DIAL_WAIT_S", 0.2)
    company = Company()
    yield company
    company.task.cancel()
    await asyncio.gather(company.task, return_exceptions=True)
    assert company.listening() == set()


async def test_ports_come_and_go_with_the_guests(company: Company) -> None:
    await company.run()
    await company.agent_comes(WEB)
    await company.until(lambda: company.listening() == {(TCP, host(8080))})
    company.report(added=(DNS,), removed=(WEB,))
    await company.until(lambda: company.listening() == {(UDP, host(5300))})
    assert await company.forwarder.say(UDP, host(5300), b"hello") == [b"hello"]
    assert company.log.notes == [
        "Forwarding TCP from 127.0.0.1:8080 to 127.0.0.1:8080",
        "Stopping forwarding TCP from 127.0.0.1:8080 to 127.0.0.1:8080",
        "Forwarding UDP from 127.0.0.1:5300 to 127.0.0.1:5300",
    ]
    assert [event.type for event in company.told()] == ["forwarding", "stopping", "forwarding"]
    assert company.told()[0] == PortForwardEvent(
        type="forwarding", protocol="tcp", guest_addr="127.0.0.1:8080", host_addr="127.0.0.1:8080"
    )


async def test_ports_that_stay_in_the_guest_are_told_once(company: Company) -> None:
    await company.run(defaults=False)
    await company.agent_comes(WEB)
    await company.until(lambda: company.log.notes)
    company.report(added=(DNS,))
    await company.until(lambda: len(company.log.notes) == 2)
    assert company.log.notes == ["Not forwarding TCP 127.0.0.1:8080", "Not forwarding UDP 127.0.0.1:5300"]
    assert company.told()[0] == PortForwardEvent(type="not-forwarding", protocol="tcp", guest_addr="127.0.0.1:8080")


async def test_a_taken_port_is_told_once_and_had_when_it_is_free(company: Company) -> None:
    company.forwarder.taken.add((TCP, host(8080)))
    await company.run()
    await company.agent_comes(WEB)
    await company.until(lambda: company.forwarder.attempts > 5)
    (event,) = company.told()
    assert (event.type, event.error) == ("failed", "cannot listen on 127.0.0.1:8080: Address already in use")
    assert [note.level for note in company.log.events if isinstance(note, Note)] == [Level.WARNING]
    company.forwarder.taken.clear()
    await company.until(lambda: company.listening() == {(TCP, host(8080))})
    assert company.told()[-1].type == "forwarding"


async def test_a_taken_port_that_nobody_wants_any_more_is_left_alone(company: Company) -> None:
    company.forwarder.taken.add((TCP, host(8080)))
    await company.run()
    await company.agent_comes(WEB)
    await company.until(lambda: company.forwarder.attempts)
    company.report(removed=(WEB,))
    await asyncio.sleep(0.01)
    attempts = company.forwarder.attempts
    await asyncio.sleep(0.01)
    assert company.forwarder.attempts == attempts
    assert [event.type for event in company.told()] == ["failed"]


async def test_a_port_that_this_host_refuses_is_not_asked_for_again(company: Company) -> None:
    company.forwarder.fail_next(HostPortRefusedError("cannot listen on 127.0.0.1:8080: Permission denied"))
    await company.run()
    await company.agent_comes(WEB)
    await company.until(lambda: company.log.notes)
    company.report(added=(DNS,))
    await company.until(lambda: company.listening() == {(UDP, host(5300))})
    assert company.forwarder.attempts == 2
    first = company.log.events[0]
    assert isinstance(first, Note)
    assert first.level is Level.INFO
    assert first.message.endswith("Permission denied")


async def test_a_program_that_moves_to_another_address_keeps_its_place(company: Company) -> None:
    await company.run()
    await company.agent_comes(WEB)
    await company.until(company.listening)
    company.report(added=(EVERYWHERE,), removed=(WEB,))
    await asyncio.sleep(0.01)
    assert await company.forwarder.say(TCP, host(8080), b"hello") == [b"hello"]
    assert company.forwarder.attempts == 1


async def test_while_the_agent_is_away_clients_wait_for_it_shortly(company: Company) -> None:
    await company.run()
    await company.agent_comes(WEB)
    await company.until(company.listening)
    company.agent_leaves()
    assert company.listening()
    with pytest.raises(ConnectionError, match="away"):
        await company.forwarder.say(TCP, host(8080), b"hello")
    client = asyncio.ensure_future(company.forwarder.say(TCP, host(8080), b"hello"))
    await asyncio.sleep(0.01)
    await company.agent_comes(WEB)
    assert await client == [b"hello"]


async def test_what_goes_through_the_agent_is_counted(company: Company) -> None:
    await company.run()
    await company.agent_comes(WEB)
    await company.until(company.listening)
    assert await company.forwarder.say(TCP, host(8080), b"hello") == [b"hello"]
    meter = company.state.meter
    assert (meter.clients, meter.clients_now, meter.bytes_to_guest, meter.bytes_to_host) == (1, 0, 5, 5)


async def test_what_is_forwarded_is_known(company: Company) -> None:
    await company.run()
    await company.agent_comes(WEB)
    await company.until(lambda: company.state.forwards == {Place(TCP, host(8080)): WEB})
    company.report(added=(EVERYWHERE,), removed=(WEB,))
    await company.until(lambda: company.state.forwards == {Place(TCP, host(8080)): EVERYWHERE})
    company.report(removed=(EVERYWHERE,))
    await company.until(lambda: not company.state.forwards)


async def test_forwards_are_renewed_whenever_ssh_connects(company: Company) -> None:
    await company.run()
    await company.agent_comes(WEB, DNS)
    await company.until(lambda: len(company.listening()) == 2)
    for renewals in (1, 2):
        await company.ssh_comes()
        await company.until(lambda renewals=renewals: company.forwarder.renewals == renewals)
        company.ssh_goes()
    assert len(company.listening()) == 2


@pytest.mark.parametrize("is_allowed", [True, False])
async def test_where_sshd_lets_nothing_through_the_agent_carries_all(company: Company, is_allowed: bool) -> None:
    ssh = company.ssh = fakes.FakePortForwarder(company.agent.tunnel)
    company.transport.allows_forwarding = is_allowed
    await company.run()
    await company.agent_comes(WEB)
    at_web = {(TCP, host(8080)): WEB}
    await company.until(lambda: ssh.listening == at_web)
    await company.ssh_comes()
    await company.until(lambda: company.forwarder.renewals == 1)
    await company.until(lambda: (ssh if is_allowed else company.forwarder).listening == at_web)
    company.ssh_goes()
    company.transport.allows_forwarding = True
    await company.ssh_comes()
    await company.until(lambda: company.forwarder.renewals == 2)
    assert (ssh.listening, company.forwarder.listening) == ((at_web, {}) if is_allowed else ({}, at_web))
    assert any("AllowTcpForwarding" in note for note in company.log.notes) is not is_allowed


async def test_a_place_that_is_lost_meanwhile_is_told_and_had_when_it_is_free(company: Company) -> None:
    await company.run()
    await company.agent_comes(WEB)
    await company.until(company.listening)
    company.forwarder.taken.add((TCP, host(8080)))
    await company.ssh_comes()
    await company.until(lambda: [event.type for event in company.told()] == ["forwarding", "failed"])
    assert company.state.forwards == {}
    company.forwarder.taken.clear()
    await company.until(lambda: company.told()[-1].type == "forwarding")
    assert company.listening() == {(TCP, host(8080))}


async def test_a_place_that_is_lost_as_its_program_moves_is_asked_for_again(company: Company) -> None:
    await company.run()
    await company.agent_comes(WEB)
    await company.until(company.listening)
    company.forwarder.fail_next(HostPortTakenError("cannot listen on 127.0.0.1:8080: Address already in use"))
    company.forwarder.listening.clear()
    company.report(added=(EVERYWHERE,), removed=(WEB,))
    await company.until(lambda: company.forwarder.listening == {(TCP, host(8080)): EVERYWHERE})


async def test_a_socket_of_the_guest_is_forwarded_from_the_time_the_agent_is_there(company: Company) -> None:
    end = HostSocket(path="/h/docker.sock")
    company.agent.sockets.add(GuestSocket("/run/docker.sock"))
    await company.run(PortForward(guest_socket="/run/docker.sock", host_socket=end.path))
    assert company.listening() == set()
    await company.agent_comes()
    await company.until(lambda: company.listening() == {(TCP, end)})
    assert await company.forwarder.say(TCP, end, b"hello") == [b"hello"]


STATIC = PortForward(guest_port_range=(80, 80), host_port_range=(8080, 8080), static=True)


async def test_static_ports_are_forwarded_by_ssh_whenever_it_connects(company: Company) -> None:
    await company.run(STATIC, plain=True)
    for _ in range(2):
        await company.ssh_comes()
        await company.until(lambda: company.transport.forwards == {"127.0.0.1:8080": "127.0.0.1:80"})
        company.ssh_goes()
    assert company.listening() == set()
    assert [event.type for event in company.told()] == ["forwarding", "forwarding"]


async def test_a_static_port_that_is_taken_is_told_once_and_tried_again(company: Company) -> None:
    await company.transport.connect()
    for _ in range(3):
        company.transport.fail_next(RemoteCommandError("cannot forward", remote_exit_code=255))
    company.door.logged_in()
    await company.run(STATIC)
    await company.until(lambda: company.transport.forwards)
    assert [event.type for event in company.told()] == ["failed", "forwarding"]


REVERSE = PortForward(guest_socket="/run/host.sock", host_socket="/h/host.sock", reverse=True)


async def test_a_socket_of_the_host_is_in_the_guest_whenever_ssh_connects(company: Company) -> None:
    await company.run(REVERSE)
    for _ in range(2):
        await company.ssh_comes()
        await company.until(lambda: company.transport.reverse_forwards == {"/run/host.sock": "/h/host.sock"})
        company.ssh_goes()
    assert company.listening() == set()
    assert company.log.notes == ["Forwarding TCP from /h/host.sock to /run/host.sock"] * 2
    assert company.told()[0].guest_addr == "/run/host.sock"
    assert company.state.reverse_forwards == {"/run/host.sock": "/h/host.sock"}


async def test_rules_that_come_to_nothing_are_told(company: Company) -> None:
    await company.run(PortForward(static=True, guest_port_range=(53, 53), proto="udp"), plain=True)
    await company.until(lambda: company.log.notes)
    assert company.log.notes[0].startswith("Not forwarding UDP 127.0.0.1:53: ")


async def test_a_guest_that_opens_ports_for_ever_is_not_spoken_of_for_ever(company: Company) -> None:
    await company.run()
    await company.agent_comes(*(GuestPort(TCP, "127.0.0.1", 2000 + number) for number in range(BURST + 50)))
    await company.until(lambda: len(company.listening()) == BURST + 50)
    assert len(company.log.notes) == len(company.told()) == BURST
    company.clock.now += 1
    company.report(removed=(GuestPort(TCP, "127.0.0.1", 2000),))
    await company.until(lambda: len(company.log.notes) == BURST + 1)
