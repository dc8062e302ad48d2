"""Rules of what runs and reaches guests."""

import asyncio
import os
from collections.abc import Callable

import pytest

from lima.domain.errors import NetworkError, UnreachableError
from lima.domain.machine_spec import MachineSpec
from lima.domain.process import ProcessIdentity
from lima.ports.hypervisor import Hypervisor, StopOutcome
from lima.ports.network_daemon import NetworkDaemon
from lima.ports.transport import Transport

WAIT_S = 30


class HypervisorContract:
    """Fixtures: `new_subject` (a factory: one object a run, all of the same world), `machine` (it need not answer
    the power button)."""

    @pytest.fixture
    def new_subject(self) -> Callable[[], Hypervisor]:
        raise NotImplementedError("give the suite its subject")

    @pytest.fixture
    def machine(self) -> MachineSpec:
        raise NotImplementedError("give the suite a machine")

    async def abandon(self, subject: Hypervisor) -> None:
        """Make `subject` as if the process that it lived in had died; its guest runs on."""

    async def test_a_started_guest_runs_until_it_is_stopped(
        self, new_subject: Callable[[], Hypervisor], machine: MachineSpec
    ) -> None:
        subject = new_subject()
        await subject.start(machine)
        ended = asyncio.ensure_future(subject.wait())
        await asyncio.sleep(0)
        assert not ended.done()
        assert await subject.stop(grace_s=0) is StopOutcome.FORCED
        report = await asyncio.wait_for(ended, WAIT_S)
        assert report.asked

    async def test_a_second_stop_is_no_error(self, new_subject: Callable[[], Hypervisor], machine: MachineSpec) -> None:
        subject = new_subject()
        await subject.start(machine)
        await subject.stop(grace_s=0)
        assert await subject.stop(grace_s=0) is StopOutcome.ALREADY_STOPPED

    async def test_stopping_what_was_never_started_is_no_error(self, new_subject: Callable[[], Hypervisor]) -> None:
        assert await new_subject().stop(grace_s=0) is StopOutcome.ALREADY_STOPPED

    async def test_the_end_may_be_awaited_by_several(
        self, new_subject: Callable[[], Hypervisor], machine: MachineSpec
    ) -> None:
        subject = new_subject()
        await subject.start(machine)
        waiting = [asyncio.ensure_future(subject.wait()) for _ in range(2)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await subject.stop(grace_s=0)
        assert (await asyncio.wait_for(waiting[1], WAIT_S)).asked

    async def test_another_object_adopts_the_running_guest_and_ends_it(
        self, new_subject: Callable[[], Hypervisor], machine: MachineSpec
    ) -> None:
        first = new_subject()
        process = await first.start(machine)
        await self.abandon(first)
        second = new_subject()
        assert await second.adopt(machine, process)
        assert await second.stop(grace_s=0) is StopOutcome.FORCED
        await asyncio.wait_for(first.wait(), WAIT_S)

    async def test_nobody_adopts_a_process_that_is_not_this_guest(
        self, new_subject: Callable[[], Hypervisor], machine: MachineSpec
    ) -> None:
        first = new_subject()
        process = await first.start(machine)
        other = ProcessIdentity(pid=process.pid, start_ticks=process.start_ticks + 1, boot_id=process.boot_id)
        try:
            assert not await new_subject().adopt(machine, other)
        finally:
            await first.stop(grace_s=0)
        assert not await new_subject().adopt(machine, process)


class TransportContract:
    """Fixtures: `subject` (whose guest answers), `unreachable` (whose guest does not)."""

    @pytest.fixture
    def subject(self) -> Transport:
        raise NotImplementedError("give the suite its subject")

    @pytest.fixture
    def unreachable(self) -> Transport:
        raise NotImplementedError("give the suite a subject that nobody answers")

    async def test_the_banner_is_read(self, subject: Transport) -> None:
        assert (await subject.probe()).startswith("SSH-")

    async def test_nothing_runs_before_connecting(self, subject: Transport) -> None:
        with pytest.raises(UnreachableError):
            await subject.run(("true",))
        with pytest.raises(UnreachableError):
            await subject.forward("/nosuch/here.sock", "/nosuch/there.sock")
        await subject.cancel("/nosuch/here.sock", "/nosuch/there.sock")

    async def test_bytes_go_through_a_remote_command_unchanged(self, subject: Transport) -> None:
        await subject.connect()
        payload = bytes(range(256)) * 512
        result = await subject.run(("cat",), stdin=payload)
        assert (result.exit_code, result.stdout) == (0, payload)
        await subject.close()

    async def test_a_line_is_heard_no_more_than_once(self, subject: Transport) -> None:
        await subject.connect()
        heard: list[str] = []
        result = await subject.run(("sh", "-c", "echo one >&2; echo two >&2"), on_line=heard.append)
        assert heard == result.stderr.decode().splitlines()
        await subject.close()

    async def test_whether_ports_are_carried_is_known_once_it_is_connected(self, subject: Transport) -> None:
        assert await subject.carries_ports()
        await subject.connect()
        assert isinstance(await subject.carries_ports(), bool)
        await subject.close()

    async def test_connecting_again_keeps_the_connection(self, subject: Transport) -> None:
        await subject.connect()
        await subject.connect()
        assert await subject.is_connected()
        await subject.close()

    async def test_closing_ends_it_and_twice_is_no_error(self, subject: Transport) -> None:
        await subject.connect()
        lost = asyncio.ensure_future(subject.wait_lost())
        await asyncio.sleep(0.05)
        await subject.close()
        await subject.close()
        assert not await subject.is_connected()
        await asyncio.wait_for(lost, WAIT_S)

    async def test_a_descriptor_is_passed_on_over_a_connection_only(self, subject: Transport) -> None:
        with pytest.raises(UnreachableError):
            await subject.attach(("cat",), self.descriptor())

    async def test_a_cancelled_command_leaves_the_connection_alone(self, subject: Transport) -> None:
        await subject.connect()
        attached = asyncio.ensure_future(subject.attach(("sleep", "100"), self.descriptor()))
        await asyncio.sleep(0.05)
        attached.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attached
        assert await subject.is_connected()
        await subject.close()

    def descriptor(self) -> int:
        """Of nothing in particular."""
        return os.open(os.devnull, os.O_RDWR)

    async def test_who_does_not_answer_is_unreachable(self, unreachable: Transport) -> None:
        with pytest.raises(UnreachableError):
            await unreachable.probe()
        with pytest.raises(UnreachableError):
            await unreachable.connect()


class NetworkDaemonContract:
    """Fixture: `subject`."""

    @pytest.fixture
    def subject(self) -> NetworkDaemon:
        raise NotImplementedError("give the suite its subject")

    async def test_a_network_runs_once_it_is_asked_for_and_stays_the_same(self, subject: NetworkDaemon) -> None:
        assert not await subject.is_running("net")
        assert await subject.ensure_running("net") == await subject.ensure_running("net")
        assert await subject.is_running("net")

    async def test_the_last_one_out_stops_it(self, subject: NetworkDaemon) -> None:
        await subject.ensure_running("net")
        await subject.attach("net", "a")
        await subject.attach("net", "a")
        await subject.attach("net", "b")
        await subject.detach("net", "a")
        assert await subject.is_running("net")
        await subject.detach("net", "b")
        assert not await subject.is_running("net")
        await subject.detach("net", "b")

    async def test_nobody_joins_a_network_that_does_not_run(self, subject: NetworkDaemon) -> None:
        with pytest.raises(NetworkError):
            await subject.attach("net", "a")
