"""Rules of the host's side: processes, time, accelerators."""

import asyncio
from collections.abc import Callable

import pytest

from lima.domain.errors import MissingToolError
from lima.domain.host import AcceleratorVerdict
from lima.domain.process import ProcessIdentity
from lima.ports.clock import Clock
from lima.ports.host import AcceleratorProbe
from lima.ports.process_runner import ProcessRunner
from lima.ports.processes import ProcessTable
from lima.ports.share_server import ServedDirectory, ShareServer

SIGKILL = 9


class ClockContract:
    """Fixture: `subject`."""

    @pytest.fixture
    def subject(self) -> Clock:
        raise NotImplementedError("give the suite its subject")

    async def test_time_goes_forward_by_what_was_slept(self, subject: Clock) -> None:
        before = subject.monotonic()
        await subject.sleep(0.01)
        assert subject.monotonic() >= before + 0.009

    def test_the_timestamp_is_rfc_3339_with_nanoseconds(self, subject: Clock) -> None:
        stamp = subject.timestamp()
        assert stamp[10] == "T"
        assert len(stamp.partition(".")[2].rstrip("Z").partition("+")[0].partition("-")[0]) == 9


class ProcessTableContract:
    """Fixtures: `subject`, `spawn` (starts a process that lives until it is killed; its pid)."""

    @pytest.fixture
    def subject(self) -> ProcessTable:
        raise NotImplementedError("give the suite its subject")

    @pytest.fixture
    def spawn(self) -> Callable[[], int]:
        raise NotImplementedError("give the suite a way to start a process")

    async def test_a_process_is_alive_until_it_is_killed(self, subject: ProcessTable, spawn: Callable[[], int]) -> None:
        process = subject.identify(spawn())
        assert process is not None
        assert subject.is_alive(process)
        # the kernel closes a parent's exec pipe a moment before it sets the new argv up
        assert any(subject.command_line(process.pid) for _ in range(10_000))
        assert subject.signal(process, SIGKILL)
        assert await subject.wait_gone(process, timeout_s=10)
        assert not subject.is_alive(process)
        assert not subject.signal(process, SIGKILL)

    def test_another_process_of_the_same_number_is_not_meant(
        self, subject: ProcessTable, spawn: Callable[[], int]
    ) -> None:
        process = subject.identify(spawn())
        assert process is not None
        other = ProcessIdentity(pid=process.pid, start_ticks=process.start_ticks + 1, boot_id=process.boot_id)
        assert not subject.is_alive(other)
        assert not subject.signal(other, SIGKILL)
        assert subject.is_alive(process)
        subject.signal(process, SIGKILL)


class AcceleratorProbeContract:
    """Fixtures: `subject`, `arch` (the host's own)."""

    @pytest.fixture
    def subject(self) -> AcceleratorProbe:
        raise NotImplementedError("give the suite its subject")

    @pytest.fixture
    def arch(self) -> str:
        return "x86_64"

    async def test_a_verdict_says_why_and_is_the_same_again(self, subject: AcceleratorProbe, arch: str) -> None:
        verdict = await subject.verdict(arch=arch)
        assert verdict.reason
        assert (await subject.verdict(arch=arch)).accelerator == verdict.accelerator

    async def test_a_setting_overrides(self, subject: AcceleratorProbe, arch: str) -> None:
        verdict = await subject.verdict(arch=arch, setting="tcg")
        assert (verdict.accelerator, verdict.source) == ("tcg", "setting")

    async def test_an_overruled_verdict_is_remembered(self, subject: AcceleratorProbe, arch: str) -> None:
        await subject.verdict(arch=arch)
        subject.overrule(arch=arch, verdict=AcceleratorVerdict(accelerator="tcg", reason="it lied", source="overruled"))
        known = subject.cached(arch=arch)
        assert known is not None
        assert (known.accelerator, known.reason) == ("tcg", "it lied")


class ProcessRunnerContract:
    """Fixture: `subject`, which knows `cat`."""

    @pytest.fixture
    def subject(self) -> ProcessRunner:
        raise NotImplementedError("give the suite its subject")

    async def test_what_goes_in_comes_out(self, subject: ProcessRunner) -> None:
        done = await subject.run(("cat",), stdin=b"hello\0")
        assert (done.exit_code, done.stdout) == (0, b"hello\0")

    async def test_a_missing_program_is_named_with_its_purpose(self, subject: ProcessRunner) -> None:
        with pytest.raises(MissingToolError, match="needed for testing") as caught:
            subject.find("no-such-program", purpose="testing")
        assert caught.value.tools == ("no-such-program",)
        with pytest.raises(MissingToolError):
            await subject.run(("no-such-program",))


class ShareServerContract:
    """Fixtures: `subject`; `directory`, which can be served."""

    @pytest.fixture
    def subject(self) -> ShareServer:
        raise NotImplementedError("give the suite its subject")

    @pytest.fixture
    def directory(self) -> ServedDirectory:
        raise NotImplementedError("give the suite a directory")

    async def test_it_serves_until_it_is_stopped(self, subject: ShareServer, directory: ServedDirectory) -> None:
        process = await subject.serve(directory)
        waiting = asyncio.ensure_future(subject.wait(process))
        await asyncio.sleep(0)
        assert (waiting.done(), subject.serves(process)) == (False, True)
        await subject.stop(process)
        await asyncio.wait_for(waiting, 10)
        assert not subject.serves(process)

    async def test_stopping_twice_is_no_error_and_the_end_stays_known(
        self, subject: ShareServer, directory: ServedDirectory
    ) -> None:
        process = await subject.serve(directory)
        await subject.stop(process)
        await subject.stop(process)
        await asyncio.wait_for(subject.wait(process), 10)

    async def test_each_start_is_a_process_of_its_own(self, subject: ShareServer, directory: ServedDirectory) -> None:
        first, second = await subject.serve(directory), await subject.serve(directory)
        assert first != second
        await subject.stop(second)
        await subject.stop(first)
