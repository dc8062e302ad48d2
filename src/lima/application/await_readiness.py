"""Wait until a guest is ready: by its own word where it has a progress port, by asking over ssh where not."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import assert_never

from lima.application.agent_door import AgentDoor
from lima.application.agent_state import AgentState
from lima.application.keep_report import ReportKeeper
from lima.domain.config import Probe
from lima.domain.errors import AuthenticationError, HostKeyMismatchError, UnreachableError
from lima.domain.guest_progress import GuestProgress, Stage, StageState, clean_tail
from lima.domain.probe_script import script_argv
from lima.domain.progress import Level, Note
from lima.domain.provision_report import CheckReport, StepState
from lima.domain.requirements import PATIENCE_S, Check, Group, Requirement, next_pause, requirements
from lima.ports.clock import Clock
from lima.ports.events import EventSink
from lima.ports.transport import RemoteResult, Transport

MISMATCH_LIMIT = 3
"""A first boot may show sshd's own host key for a moment, before the seed's takes its place."""
FUSE_READY_FILE = "/run/lima-fuse-ready"
SSH_READY_FILE = "/run/lima-ssh-ready"
BOOT_DONE_FILE = "/run/lima-boot-done"
SESSION_SCRIPT = "07-etc-environment.sh"
"""The boot script after which logins have the template's variables; it writes SSH_READY_FILE."""
SILENCE_S = 20.0
"""A guest that told of its sshd and then of nothing is asked."""


@dataclass(slots=True, kw_only=True)
class GuestWord:
    """What the guest has said of this boot so far. `changed` is set with every line."""

    instance_id: str
    ssh: bool = False
    session: bool = False
    done: bool = False
    lines: int = 0
    """How many lines have been heard, of this boot and others."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def hear(self, line: GuestProgress) -> None:
        """Take one line. A kernel stage begins a new boot."""
        if line.stage is Stage.KERNEL:
            self.ssh = self.session = self.done = False
        self.lines += 1
        if line.stage is Stage.SSH and line.state is StageState.OK:
            self.ssh = True
        if line.stage is Stage.BOOT and line.name == SESSION_SCRIPT and line.state is not StageState.START:
            self.session = True
        if line.stage is Stage.DONE and line.state is not StageState.START and line.iid in ("", self.instance_id):
            self.done = True
        self.changed.set()

    async def wait_change(self, seconds: float) -> None:
        """Return when the guest has said something since the last call, after `seconds` at the latest."""
        try:
            async with asyncio.timeout(seconds):
                await self.changed.wait()
        except TimeoutError:
            pass
        self.changed.clear()


@dataclass(frozen=True, slots=True, kw_only=True)
class AwaitReadiness:
    """Returns what went wrong (empty: all is well) once the guest can be used. Waits for ever for what is essential:
    whoever asked for the start sets the limit, and the guest stays up when it passes."""

    transport: Transport
    clock: Clock
    state: AgentState
    word: GuestWord
    keeper: ReportKeeper
    door: AgentDoor
    log: EventSink
    mount: Callable[[], Awaitable[tuple[str, ...]]]
    """Makes the mounts that the host makes; returns why some are not there."""

    async def __call__(self) -> tuple[str, ...]:
        needed = requirements(self.keeper.config)
        for requirement in needed:
            if requirement.group is Group.ESSENTIAL:
                await self._meet(requirement)
        unmounted = await self.mount()
        for requirement in needed:
            if requirement.group is not Group.ESSENTIAL:
                await self._meet(requirement)
        return (*self.keeper.failures(), *unmounted)

    async def reconnect(self) -> None:
        """Return once the shared connection to a guest that was ready stands again."""
        await self._connect()

    async def _meet(self, requirement: Requirement) -> None:
        self._say(requirement.waiting)
        watch = _Watch(requirement, self.keeper, self.clock)
        match requirement.check:
            case Check.SSH:
                self.state.booting(waiting_for="ssh")
                await self._connect(unless=lambda: self.word.ssh)
            case Check.CONTROL_MASTER:
                self.state.booting(waiting_for="ssh")
                await self._connect()
            case Check.USER_SESSION:
                self.state.booting(waiting_for="the user session")
                await self._session()
            case Check.BOOT_DONE:
                self.state.booting(waiting_for="boot scripts")
                if not await self._is_told(lambda: self.word.done):
                    await self._marker(BOOT_DONE_FILE)
            case Check.SSHFS:
                self.state.booting(waiting_for="sshfs")
                if not await self._program("sshfs"):
                    # the mounts will say what is wrong
                    self._say(f"The {requirement.group} requirement is not met: no sshfs in the guest", Level.ERROR)
                    watch.tell(StepState.FAILED)
                    return
            case Check.FUSE:
                self.state.booting(waiting_for="sshfs")
                await self._marker(FUSE_READY_FILE)
            case Check.PROBE:
                self.state.booting(waiting_for=f"probe `{requirement.description}`")
                if requirement.probe is not None and not await self._probe(requirement.probe, watch):
                    self._say(
                        f"The {requirement.group} requirement is not met: `{requirement.description}`", Level.ERROR
                    )
                    return
            case _:
                assert_never(requirement.check)
        watch.tell(StepState.OK)
        self._say(requirement.satisfied)

    async def _connect(self, *, unless: Callable[[], bool] | None = None) -> None:
        """Return once the shared connection stands, or the guest says what makes it needless for now."""
        mismatches, pause, told = 0, 0.0, ""
        while unless is None or not await self._is_told(unless):
            try:
                is_new = not (self.door.is_logged_in and await self.transport.is_connected())
                if not self.word.ssh:
                    await self.transport.probe()
                await self.transport.connect()
            except HostKeyMismatchError as error:
                mismatches += 1
                if mismatches >= MISMATCH_LIMIT:
                    told = error.message
                    self.state.trouble(told)
            except AuthenticationError as error:
                # the user or its key may not be there yet
                self.state.booting(waiting_for=f"ssh ({error.message})")
            except UnreachableError:
                pass
            else:
                self.state.recovered(told)
                if is_new:
                    self.state.meter.ssh_logins += 1
                    self.door.logged_in()
                return
            pause = next_pause(pause)
            await self.word.wait_change(pause)

    async def _session(self) -> None:
        """Return once logins have the template's variables. A shared connection that is older than that is given up:
        what runs over it has the variables of its login."""
        is_early = not self.word.session and await self.transport.is_connected()
        if not await self._is_told(lambda: self.word.session or self.word.done):
            is_early = await self._marker(SSH_READY_FILE)
        if is_early:
            self.door.logged_out()
            await self.transport.close()

    async def _is_told(self, has_said: Callable[[], bool]) -> bool:
        """Whether the guest itself says so, waited for while it says anything at all. One that has said nothing yet, or
        nothing for SILENCE_S, has to be asked."""
        heard, since = self.word.lines, self.clock.monotonic()
        while not has_said():
            if self.word.lines != heard:
                heard, since = self.word.lines, self.clock.monotonic()
            left_s = SILENCE_S - (self.clock.monotonic() - since)
            if not heard or left_s <= 0:
                return False
            await self.word.wait_change(left_s)
        return True

    async def _marker(self, file: str) -> bool:
        """Wait until a marker file of the guest holds the id of this boot. Whether it had to be waited for."""
        pause, waited = 0.0, False
        while not self.word.done:
            result = await self._run(("cat", file))
            if result.exit_code == 0 and result.stdout.decode(errors="replace").strip() == self.word.instance_id:
                return waited
            waited = True
            pause = next_pause(pause)
            await self.word.wait_change(pause)
        return waited

    async def _program(self, name: str) -> bool:
        """Wait until the guest has a program. It will not have it once its boot scripts have ended without."""
        pause, began = 0.0, self.clock.monotonic()
        while True:
            is_last = self.word.done or self.clock.monotonic() - began >= PATIENCE_S
            if (await self._run(("sh", "-c", f"command -v {name}"))).exit_code == 0:
                return True
            if is_last:
                return False
            pause = next_pause(pause)
            await self.word.wait_change(pause)

    async def _probe(self, probe: Probe, watch: "_Watch") -> bool:
        """Whether the probe succeeded. It is given up after PATIENCE_S, and as soon as it fails in a guest whose
        provisioning is over and has failed: what it waits for will not come."""
        pause, began = 0.0, self.clock.monotonic()
        while True:
            # a report that was closed says the same of a guest that was taken over
            was_done = self.word.done or bool(self.keeper.report.finished)
            left_s = PATIENCE_S - (self.clock.monotonic() - began)
            result = await self._try(probe, limit_s=left_s)
            watch.tries += 1
            if result.exit_code == 0:
                return True
            hopeless = was_done and bool(self.keeper.report.failed_steps)
            if hopeless or self.clock.monotonic() - began >= PATIENCE_S:
                watch.tell(StepState.FAILED, result)
                return False
            watch.tell(StepState.RUNNING, result)
            pause = next_pause(pause)
            await self.word.wait_change(pause)

    async def _try(self, probe: Probe, *, limit_s: float) -> RemoteResult:
        try:
            async with asyncio.timeout(limit_s):
                return await self._run(script_argv(probe.script), stdin=probe.script.encode())
        except TimeoutError:
            return RemoteResult(exit_code=124, stdout=b"", stderr=f"it did not end within {limit_s:.0f} s".encode())

    async def _run(self, argv: tuple[str, ...], *, stdin: bytes = b"") -> RemoteResult:
        while True:
            try:
                return await self.transport.run(argv, stdin=stdin)
            except UnreachableError:
                await self._connect()

    def _say(self, message: str, level: Level = Level.INFO) -> None:
        self.log.emit(Note(message=message, level=level))


class _Watch:
    """One requirement in the report."""

    def __init__(self, requirement: Requirement, keeper: ReportKeeper, clock: Clock) -> None:
        self._requirement = requirement
        self._keeper = keeper
        self._clock = clock
        self._began = clock.monotonic()
        self._started = clock.timestamp()
        self.tries = 0
        self.tell(StepState.RUNNING)

    def tell(self, state: StepState, result: RemoteResult | None = None) -> None:
        """`result` of the last try of a probe."""
        requirement, probe = self._requirement, self._requirement.probe
        output = result.stdout + b"\n" + result.stderr if result is not None else b""
        over = state is not StepState.RUNNING
        self._keeper.check(
            CheckReport(
                group=str(requirement.group),
                number=requirement.number,
                description=requirement.description,
                state=state,
                is_probe=probe is not None,
                started=self._started,
                seconds=round(self._clock.monotonic() - self._began, 2) if over else 0.0,
                tries=self.tries,
                code=result.exit_code if result is not None else 0,
                tail=clean_tail(output.decode(errors="replace")),
                hint=probe.hint.strip() if probe is not None else "",
            )
        )
