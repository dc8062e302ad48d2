"""The Hypervisor port by QEMU.

QEMU runs in a session of its own with its output in `qemu.log`: it outlives a host agent that is killed, and the
next one adopts it by its monitor and a pidfd.
"""

import asyncio
import contextlib
import os
import signal

from lima.adapters.qemu import vnc
from lima.adapters.qemu.command_line import build_command_line
from lima.adapters.qemu.features import FeatureProbe
from lima.adapters.qemu.firmware import find_firmware
from lima.adapters.qemu.identity import identify
from lima.adapters.qemu.qmp import QmpMonitor
from lima.domain.errors import HypervisorError, LaunchFailedError, PortTakenError, StopTimedOutError
from lima.domain.host import HostFacts
from lima.domain.instance import FileName
from lima.domain.machine_spec import MachineSpec
from lima.domain.process import ProcessIdentity
from lima.ports.hypervisor import ExitReport, GuestEvent, StopOutcome
from lima.ports.process_runner import ProcessRunner

STARTED_S = 30.0
"""Until the monitor answers: QEMU opens its disks and binds its ports before."""
KILL_S = 10.0
LOG_LINES = 20
CONNECT_POLL_S = 0.02
RUN_FILES = (
    FileName.QMP_SOCK,
    FileName.PROGRESS_SOCK,
    FileName.GA_SOCK,
    FileName.SERIAL_SOCK,
    FileName.SERIALP_SOCK,
    FileName.SERIALV_SOCK,
    FileName.VNC_DISPLAY,
    FileName.VNC_PASSWORD,
)
_ADOPTED_POLL_S = 0.2
_PRESS_AGAIN_S = 5.0
_MONITOR_GONE_S = 5.0


class QemuHypervisor:
    """One guest; a new object for each run."""

    def __init__(self, *, facts: HostFacts, runner: ProcessRunner) -> None:
        self._facts = facts
        self._features = FeatureProbe(facts=facts, runner=runner)
        self._machine: MachineSpec | None = None
        self._child: asyncio.subprocess.Process | None = None
        self._process: ProcessIdentity | None = None
        self._monitor: QmpMonitor | None = None
        self._ended: asyncio.Task[ExitReport] | None = None
        self._asked = False
        self._forced = False

    async def start(self, machine: MachineSpec) -> ProcessIdentity:
        features = await self._features.features(machine.arch)
        firmware = machine.firmware.code or find_firmware(
            machine.arch, home=self._facts.home, program=features.program[0]
        )
        argv = build_command_line(machine, features, firmware=firmware)
        self._machine = machine
        self._remove_leftovers()
        with open(os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as log:
            self._child = await asyncio.create_subprocess_exec(
                *argv, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/"
            )
        try:
            self._process = identify(self._child.pid)
            await self._connect(argv)
        except BaseException:
            await self._kill_child()
            raise
        self._ended = asyncio.create_task(self._watch_child(self._child))
        if machine.display == "vnc" and self._monitor is not None:
            await vnc.open_display(self._monitor, machine.directory)
        if self._process is None:
            raise self._failure(argv, None)
        return self._process

    async def adopt(self, machine: MachineSpec, process: ProcessIdentity) -> bool:
        if identify(process.pid) != process:
            return False
        self._machine = machine
        monitor = QmpMonitor(machine.name)
        try:
            async with asyncio.timeout(STARTED_S):
                await monitor.connect(self._path(FileName.QMP_SOCK))
                state = await monitor.execute("query-status")
                if state.get("status") in ("paused", "io-error", "prelaunch"):
                    await monitor.execute("cont")
                await monitor.tell_agent_port()
        except (HypervisorError, TimeoutError):
            await monitor.close()
            return False
        self._monitor, self._process = monitor, process
        self._ended = asyncio.create_task(self._watch_adopted(process))
        return True

    async def stop(self, *, grace_s: float) -> StopOutcome:
        ended = self._ended
        if ended is None or ended.done():
            return StopOutcome.ALREADY_STOPPED
        self._asked = True
        if grace_s > 0 and await self._powers_off(ended, grace_s):
            return StopOutcome.GRACEFUL
        self._kill()
        done, _ = await asyncio.wait((ended,), timeout=KILL_S)
        if not done:
            raise StopTimedOutError(
                f"QEMU of instance `{self._name}` did not end within {KILL_S:.0f} s of SIGKILL",
                hint="it hangs in the kernel (a dead disk or network file system?); see `dmesg`",
            )
        return StopOutcome.FORCED

    async def wait(self) -> ExitReport:
        if self._ended is None:
            raise HypervisorError("the guest was never started")
        return await asyncio.shield(self._ended)

    async def next_event(self) -> GuestEvent:
        if self._monitor is None:
            raise HypervisorError("the guest was never started")
        return await self._monitor.events.get()

    # --- starting ----------------------------------------------------------------------------------------------------

    async def _connect(self, argv: tuple[str, ...]) -> None:
        """The monitor answers, or the child has ended, whichever comes first."""
        child = self._child
        if child is None:
            raise HypervisorError("no QEMU to connect to")
        path = self._path(FileName.QMP_SOCK)
        ended = asyncio.ensure_future(child.wait())
        try:
            async with asyncio.timeout(STARTED_S):
                while True:
                    if os.path.exists(path) and await self._try_monitor(path):
                        return
                    done, _ = await asyncio.wait((ended,), timeout=CONNECT_POLL_S)
                    if done:
                        raise self._failure(argv, ended.result())
        except TimeoutError:
            raise self._failure(argv, None) from None
        finally:
            ended.cancel()

    async def _try_monitor(self, path: str) -> bool:
        """Whether the monitor answers by now. Its socket is bound a moment before it listens, and ports are bound
        after it: a refusal says nothing yet."""
        monitor = QmpMonitor(self._name)
        try:
            await monitor.connect(path)
            state = await monitor.execute("query-status")
            if state.get("status") == "prelaunch":
                await monitor.execute("cont")
        except HypervisorError:
            await monitor.close()
            return False
        except BaseException:
            await monitor.close()
            raise
        self._monitor = monitor
        return True

    def _failure(self, argv: tuple[str, ...], exit_code: int | None) -> LaunchFailedError:
        tail = self._log_tail()
        text = "\n".join(tail)
        if self._machine is not None and "Could not set up host forwarding rule" in text:
            return PortTakenError(
                self._machine.ssh_host_port,
                argv=argv,
                log_tail=tail,
                hint="free the port, or choose another with `ssh.localPort` (0: any free one)",
            )
        what = f"QEMU ended at once with exit code {exit_code}" if exit_code is not None else "QEMU does not answer"
        return LaunchFailedError(
            f"instance `{self._name}`: {what}: {tail[-1] if tail else 'it printed nothing'}",
            argv=argv,
            exit_code=exit_code,
            log_tail=tail,
            hint=f"its whole output is in `{self._log}`",
        )

    # --- ending ------------------------------------------------------------------------------------------------------

    async def _powers_off(self, ended: "asyncio.Task[ExitReport]", grace_s: float) -> bool:
        """Press the power button until the guest is off. One that is still booting hears it only later on; one that
        is on its way down heeds it no more."""
        if self._monitor is None:
            return False
        end = asyncio.get_running_loop().time() + grace_s
        while not ended.done() and (left := end - asyncio.get_running_loop().time()) > 0:
            try:
                await self._monitor.execute("system_powerdown")
            except HypervisorError:
                # its monitor goes a moment before it does
                await asyncio.wait((ended,), timeout=min(left, _MONITOR_GONE_S))
                break
            await asyncio.wait((ended,), timeout=min(left, _PRESS_AGAIN_S))
        return ended.done()

    def _kill(self) -> None:
        process = self._process
        if process is not None and identify(process.pid) == process:
            self._forced = True
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)

    async def _kill_child(self) -> None:
        if self._monitor is not None:
            await self._monitor.close()
        was_killed = False
        if self._child is not None:
            # let a child that was killed by somebody else be reaped first, so that its own status is seen
            await asyncio.wait((asyncio.ensure_future(self._child.wait()),), timeout=0.05)
            was_killed = (self._child.returncode or 0) < 0
            if self._child.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    self._child.kill()
                await asyncio.shield(self._child.wait())
        self._remove_leftovers(keep_pid=was_killed)

    async def _watch_child(self, child: asyncio.subprocess.Process) -> ExitReport:
        code = await child.wait()
        return await self._report(code)

    async def _watch_adopted(self, process: ProcessIdentity) -> ExitReport:
        """A process that is not our child has no exit code for us; a pidfd says when it ends."""
        try:
            descriptor = os.pidfd_open(process.pid)
        except (OSError, AttributeError):
            while identify(process.pid) == process:
                await asyncio.sleep(_ADOPTED_POLL_S)
            return await self._report(None)
        gone = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(descriptor, gone.set)
        try:
            # between identifying and opening, the pid may have changed hands
            if identify(process.pid) == process:
                await gone.wait()
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)
        return await self._report(None)

    async def _report(self, exit_code: int | None) -> ExitReport:
        if self._monitor is not None:
            await self._monitor.close()
        # killed from outside, it leaves its pid file: that is how `list` knows that the driver died (docs/recovery.md)
        was_killed = not self._forced and exit_code is not None and exit_code < 0
        self._remove_leftovers(keep_pid=was_killed)
        return ExitReport(exit_code=exit_code, log_tail=self._log_tail(), asked=self._asked)

    # --- files -------------------------------------------------------------------------------------------------------

    @property
    def _name(self) -> str:
        return self._machine.name if self._machine is not None else "?"

    @property
    def _log(self) -> str:
        return self._path(FileName.QEMU_LOG)

    def _path(self, file: str) -> str:
        if self._machine is None:
            raise HypervisorError("the guest was never started")
        return os.path.join(self._machine.directory, file)

    def _log_tail(self) -> tuple[str, ...]:
        try:
            with open(self._log, "rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - 65536))
                lines = file.read().decode(errors="replace").splitlines()
        except OSError:
            return ()
        clean = ("".join(c for c in line if c.isprintable()).strip() for line in lines)
        return tuple(line for line in clean if line)[-LOG_LINES:]

    def _remove_leftovers(self, *, keep_pid: bool = False) -> None:
        """The pid file and the sockets; only called while no QEMU of this machine lives."""
        for file in RUN_FILES if keep_pid else (FileName.QEMU_PID, *RUN_FILES):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path(file))
