"""Start an instance, made first where it does not exist, and wait until it is ready."""

import asyncio
from dataclasses import dataclass

from lima.application.create_instance import CreateInstance, CreateRequest
from lima.application.edit_instance import EditInstance
from lima.application.observe_instance import Observation, ObserveInstance
from lima.application.prepare_instance import PrepareInstance
from lima.application.resolve_instance import ResolveInstance
from lima.application.run_playbooks import RunPlaybooks
from lima.application.stop_instance import StopInstance
from lima.domain.config import InstanceConfig
from lima.domain.edit_flags import NO_EDITS, EditFlags
from lima.domain.errors import (
    InstanceBusyError,
    LaunchFailedError,
    NotReadyError,
    RequirementNotMetError,
    WrongStateError,
)
from lima.domain.events import AgentEvent, CloudInitProgress
from lima.domain.guest_progress import GuestProgress, Stage, StageState
from lima.domain.instance import FileName, quote
from lima.domain.process import ProcessIdentity
from lima.domain.progress import Level, Note, ProgressEvent, StageFinished, StageProgress, StageStarted
from lima.domain.provision_report import ProvisionReport, decode_report
from lima.domain.report_text import explain
from lima.domain.target import choose_target
from lima.ports.clock import Clock
from lima.ports.events import EventSink
from lima.ports.host_agent import HostAgentLauncher
from lima.ports.instance_store import InstanceLock, InstanceStore
from lima.ports.processes import ProcessTable

CONSOLE_LINES = 15
BUSY_POLL_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRequest:
    """`locator_or_name`: the positional; `name`: `--name`; `timeout_s`: how long READY may take.

    `edits` and `is_reviewed`: as in `CreateRequest`; an instance that exists is edited without a review.
    """

    locator_or_name: str | None = None
    name: str | None = None
    timeout_s: float = 600.0
    debug: bool = False
    progress: bool = False
    edits: EditFlags = NO_EDITS
    is_reviewed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StartOutcome:
    """A guest that is ready. `message` is the template's, to be shown."""

    name: str
    already_running: bool
    ssh_port: int
    message: str
    plain: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StartInstance:
    """One boots it, and whoever asks meanwhile waits for the same READY.

    Cancelled before READY, it stops what it started itself; what another command started it leaves alone.

    Raises:
        LaunchFailedError: the host agent or the hypervisor ended; with its last lines.
        NotReadyError: `timeout_s` passed; the guest stays up. With the last words of what is still waited for, or the
            last lines of its console.
        RequirementNotMetError: ready, but something failed (a provision script, a probe); the guest stays up. With
            their last lines.
        And what creating and preparing raise.
    """

    store: InstanceStore
    processes: ProcessTable
    observe: ObserveInstance
    resolve: ResolveInstance
    create: CreateInstance
    edit: EditInstance
    prepare: PrepareInstance
    stop: StopInstance
    launcher: HostAgentLauncher
    clock: Clock
    run_playbooks: RunPlaybooks
    progress: EventSink

    async def __call__(self, request: StartRequest) -> StartOutcome:
        name, config = await self._existing(request)
        return await self._start(name, config, request)

    async def prepared(self, request: StartRequest) -> str:
        """The name of the instance, ready for a host agent that the caller becomes itself (`--foreground`).

        Raises: WrongStateError where one lives already, and what creating and preparing raise.
        """
        name, config = await self._existing(request)
        if self.observe(name).facts.agent is not None:
            raise WrongStateError(f"instance {quote(name)} is already running", hint=f"`limactl stop {name}` first")
        lock = self.store.lock(name)
        try:
            await self.prepare(name, config, progress=self.progress)
        finally:
            lock.release()
        return name

    async def _existing(self, request: StartRequest) -> tuple[str, InstanceConfig]:
        for sentence in self.store.recover(is_alive=self.processes.is_alive):
            self._say(sentence)
        target = choose_target(request.locator_or_name, request.name)
        if target.may_exist and self.store.exists(target.name):
            name = target.name
            self._say(f"Using the existing instance {quote(name)}")
            if request.edits:
                self.edit.with_flags(name, request.edits, may_run=True)
        else:
            name = await self.create(
                CreateRequest(
                    locator=request.locator_or_name,
                    name=request.name,
                    edits=request.edits,
                    is_reviewed=request.is_reviewed,
                )
            )
        resolved = self.resolve.stored(name)
        for warning in resolved.warnings:
            self._say(warning, Level.WARNING)
        return name, resolved.config

    async def _start(self, name: str, config: InstanceConfig, request: StartRequest) -> StartOutcome:
        deadline = self.clock.monotonic() + request.timeout_s
        while True:
            seen = self.observe(name)
            if _is_up(seen):
                return self._outcome(name, config, already_running=True, port=_port(seen))
            if seen.facts.agent is not None:
                port = await self._await_ready(name, seen.facts.agent, deadline, wants_log=False)
                return self._outcome(name, config, already_running=True, port=port)
            try:
                lock = self.store.lock(name)
            except InstanceBusyError:
                # another command prepares it; its host agent shows up, or the lock comes free
                if self.clock.monotonic() > deadline:
                    raise
                await self.clock.sleep(BUSY_POLL_S)
                continue
            port = await self._launch(name, config, lock, request, deadline)
            return self._outcome(name, config, already_running=False, port=port)

    async def _launch(
        self, name: str, config: InstanceConfig, lock: InstanceLock, request: StartRequest, deadline: float
    ) -> int:
        try:
            if self.store.facts(name).driver is None:
                await self.prepare(name, config, progress=self.progress)
                self.store.remove_temporary(name)
            self._say(f"Starting the instance {quote(name)} with internal VM driver {quote(config.vm_type)}")
            agent = await self.launcher.launch(name, lock=lock, debug=request.debug, progress=request.progress)
        finally:
            lock.release()
        try:
            wants_log = request.progress and not config.plain
            port = await self._await_ready(name, agent, deadline, wants_log=wants_log)
            await self.run_playbooks(name, config)
        except asyncio.CancelledError:
            self._say(f"Interrupted: stopping {quote(name)}")
            await asyncio.shield(self.stop(name, force=False))
            raise
        return port

    async def _await_ready(self, name: str, agent: ProcessIdentity, deadline: float, *, wants_log: bool) -> int:
        """The ssh port, once the agent says that its guest is ready; with `wants_log`, also that its log has ended."""
        telling = _Telling(self.progress, self.clock)
        waiting_for = "the guest"
        relay = asyncio.ensure_future(self._relay_log(name, agent))
        try:
            async with asyncio.timeout(max(deadline - self.clock.monotonic(), 0.0)):
                async for event in self.launcher.follow(name, agent=agent):
                    telling.hear(event)
                    waiting_for = event.status.waiting_for or waiting_for
                    if event.status.exiting:
                        raise self._failed(name, event)
                    if event.status.running and (telling.has_log_ended or not wants_log):
                        telling.close()
                        if event.status.degraded:
                            raise self._degraded(name, event)
                        return event.status.ssh_local_port
        except TimeoutError:
            raise self._not_ready(name, waiting_for) from None
        finally:
            relay.cancel()
            await asyncio.gather(relay, return_exceptions=True)
        raise LaunchFailedError(
            f"the host agent of instance {quote(name)} died",
            log_tail=self.store.tail(name, FileName.HA_STDERR_LOG),
            hint=f"see {quote(self._path(name, FileName.HA_STDERR_LOG))}; `limactl start {name}` takes over its guest",
        )

    async def _relay_log(self, name: str, agent: ProcessIdentity) -> None:
        """What the host agent logs while it starts is part of this log. Source: reference, runtime §1.8."""
        async for note in self.launcher.records(name, agent=agent):
            self._say(f"[hostagent] {note.message}", note.level)

    def _failed(self, name: str, event: AgentEvent) -> LaunchFailedError:
        errors = event.status.errors or ("the guest ended before it was ready",)
        log = self._path(name, FileName.HA_STDERR_LOG)
        return LaunchFailedError(
            f"instance {quote(name)}: {errors[0]}",
            log_tail=errors[1:] or self.store.tail(name, FileName.SERIAL_LOG, lines=CONSOLE_LINES),
            hint=event.status.hint or f"see {quote(log)}",
        )

    def _degraded(self, name: str, event: AgentEvent) -> RequirementNotMetError:
        report = self._report(name)
        return RequirementNotMetError(
            f"instance {quote(name)} runs, but " + "; ".join(event.status.errors),
            log_tail=explain(report) if report is not None else (),
            hint=f"`limactl shell {name}` opens a shell for a look, `limactl provision-report {name}` shows this again;"
            f" the guest's console is {quote(self._path(name, FileName.SERIAL_LOG))}",
        )

    def _not_ready(self, name: str, waiting_for: str) -> NotReadyError:
        report = self._report(name)
        running = report.running if report is not None else None
        if running is not None:
            waiting_for += f" ({'provision' if running.mode else 'boot'} script {quote(running.name)} is still running)"
        told = explain(report) if report is not None else ()
        return NotReadyError(
            f"instance {quote(name)}: did not receive an event with the `running` status: still waiting for {waiting_for}",
            console_tail=told or self.store.tail(name, FileName.SERIAL_LOG, lines=CONSOLE_LINES),
            hint=f"the guest stays up and may still get there: `limactl start {name}` waits again,"
            f" `limactl provision-report {name}` shows how far it got, `limactl stop -f {name}` ends it;"
            f" its console is {quote(self._path(name, FileName.SERIAL_LOG))}",
        )

    def _report(self, name: str) -> ProvisionReport | None:
        return decode_report(self.store.read(name, FileName.PROVISION_REPORT))

    def _outcome(self, name: str, config: InstanceConfig, *, already_running: bool, port: int) -> StartOutcome:
        return StartOutcome(
            name=name, already_running=already_running, ssh_port=port, message=config.message, plain=config.plain
        )

    def _path(self, name: str, file: str) -> str:
        return f"{self.store.directory(name)}/{file}"

    def _say(self, message: str, level: Level = Level.INFO) -> None:
        self.progress.emit(Note(message=message, level=level))


def _is_up(seen: Observation) -> bool:
    """Ready already, or upstream's host agent, which is left in peace."""
    if seen.facts.agent is None or seen.answer is None or not seen.answer.answered:
        return False
    return seen.facts.agent_is_foreign or seen.answer.phase in ("running", "degraded")


def _port(seen: Observation) -> int:
    return (seen.answer.ssh_port if seen.answer else 0) or seen.facts.ssh_port


class _Telling:
    """Turns the agent's events into stages with their times."""

    TITLES = {  # noqa: RUF012  a constant
        "kernel": "Kernel",
        "network": "Network",
        "user": "User",
        "ssh": "SSH",
        "boot": "Boot scripts",
        "provision": "Provisioning",
        "done": "Boot done",
    }

    def __init__(self, sink: EventSink, clock: Clock) -> None:
        self._sink = sink
        self._clock = clock
        self._began = clock.monotonic()
        self._open: dict[str, str] = {}
        self._port = 0
        self._log_active = False
        self.has_log_ended = False
        self._emit(StageStarted(stage="boot", title="Booting"))
        self._open["boot"] = "Booting"

    def hear(self, event: AgentEvent) -> None:
        """Take one event."""
        status = event.status
        if status.ssh_local_port and not self._port:
            self._port = status.ssh_local_port
            self._emit(Note(message=f"SSH Local Port: {self._port}"))
        if status.cloud_init_progress is not None:
            self._log_line(status.cloud_init_progress)
        elif status.stage is not None:
            self._stage(status.stage)
            if status.stage.state in (StageState.START, StageState.ASKS):
                return
        if status.waiting_for:
            self._emit(StageProgress(stage="boot", detail=f"waiting for {status.waiting_for}"))

    def close(self) -> None:
        """All stages that are open have ended well."""
        for stage, title in self._open.items():
            self._emit(StageFinished(stage=stage, title=title, seconds=self._clock.monotonic() - self._began))
        self._open.clear()

    def _stage(self, line: GuestProgress) -> None:
        title = self.TITLES[line.stage] + (f" {line.name}" if line.name else "")
        if line.state in (StageState.START, StageState.ASKS):
            self._emit(StageProgress(stage="boot", detail=title))
            return
        if line.state is StageState.SKIPPED:
            self._emit(Note(message=f"{title}: skipped, it has been done before"))
            return
        # a stage of the boot counts from the kernel's start, a script from its own
        seconds = line.seconds if line.name else line.up
        last = line.tail.rpartition("\n")[2]
        detail = "" if line.state is StageState.OK else f"exit code {line.code}" + (f": {last}" if last else "")
        if line.stage is Stage.DONE and detail:
            detail = "something in it did"
        self._emit(
            StageFinished(
                stage=f"guest.{line.stage}", title=title, seconds=seconds, ok=line.state is StageState.OK, detail=detail
            )
        )

    def _log_line(self, progress: CloudInitProgress) -> None:
        """As upstream words it, whatever provisions the guest. Source: reference, cli §5.4."""
        if not self._log_active:
            self._log_active = True
            self._emit(Note(message="Cloud-init provisioning started..."))
        if progress.completed:
            self.has_log_ended = True
            self._emit(Note(message="Cloud-init progress monitoring done."))
        elif progress.log_line:
            self._emit(Note(message=f"[cloud-init] {progress.log_line}"))

    def _emit(self, event: ProgressEvent) -> None:
        self._sink.emit(event)
