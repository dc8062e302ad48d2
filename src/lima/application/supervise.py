"""What a host agent does for the life of its instance."""

import asyncio
import contextlib
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from lima.application import together
from lima.application.agent_door import AgentDoor
from lima.application.agent_state import AgentState
from lima.application.answer_yq import AnswerYq
from lima.application.attend_agent import AttendAgent
from lima.application.await_readiness import AwaitReadiness, GuestWord
from lima.application.boot_guest import BootedGuest, BootGuest
from lima.application.claim_disks import ClaimDisks
from lima.application.connect_guest import ConnectGuest
from lima.application.copy_to_host import CopyToHost
from lima.application.forward_ports import ForwardPorts
from lima.application.keep_report import ReportKeeper
from lima.application.offer_mounts import OfferMounts
from lima.application.release_disks import ReleaseDisks
from lima.application.resolve_instance import ResolveInstance
from lima.application.serve_names import ServeNames
from lima.application.serve_shares import ServeShares
from lima.application.share_folders import ShareFolders
from lima.application.share_ssh_agent import ShareSshAgent
from lima.application.tell_changes import TellChanges
from lima.application.watch_boot_log import WatchBootLog
from lima.application.write_seed import WriteSeed
from lima.domain.boot_facts import decode_boot_facts
from lima.domain.config import InstanceConfig
from lima.domain.errors import LaunchFailedError, LimaError, PortTakenError, TransportError
from lima.domain.guest_progress import StageState
from lima.domain.host import AcceleratorVerdict
from lima.domain.instance import FileName
from lima.domain.progress import Level, Note
from lima.domain.sshfs import sshfs_mounts
from lima.ports.agent_feed import GuestProgressSource
from lima.ports.clock import Clock
from lima.ports.events import EventSink
from lima.ports.host import AcceleratorProbe
from lima.ports.hypervisor import ExitReport, GuestEvent, Hypervisor
from lima.ports.instance_store import InstanceStore
from lima.ports.transport import Transport

POWERDOWN_GRACE_S = 180.0
"""How long a guest that was up may take to power off. Source: reference, runtime §3.10."""
EARLY_GRACE_S = 8.0
"""The same for one that never got as far as ssh: it may not even listen for the power button yet."""
KERNEL_SILENCE_S = 20.0
"""An accelerator under which no kernel says a word for this long is given up for TCG."""
SERIAL_POLL_S = 0.5
DISK_FULL = "the disk of this host is full: the guest is paused until there is room"


@dataclass(slots=True)
class _Life:
    """What changes while an instance runs."""

    config: InstanceConfig
    guest: BootedGuest
    word: GuestWord
    transport: Transport
    keeper: ReportKeeper
    asked: asyncio.Queue[str]
    """Names of the yq steps that wait for us."""
    provisioned: asyncio.Event
    """Set when the guest has been ready, or as ready as it gets, for the first time."""
    door: AgentDoor = field(default_factory=AgentDoor)
    was_ready: bool = False
    has_rebooted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Supervise:
    """Boots or adopts the guest, tells when it is ready, looks after it, and shuts it down in reverse order."""

    store: InstanceStore
    clock: Clock
    resolve: ResolveInstance
    claim_disks: ClaimDisks
    release_disks: ReleaseDisks
    write_seed: WriteSeed
    boot: BootGuest
    connect: ConnectGuest
    attend: AttendAgent
    forward: ForwardPorts
    probe: AcceleratorProbe
    progress: GuestProgressSource
    new_hypervisor: Callable[[], Hypervisor]
    answer_yq: AnswerYq
    names: ServeNames
    mounts: OfferMounts
    shares: ServeShares
    folders: ShareFolders
    tell_changes: TellChanges
    copy_to_host: CopyToHost
    share_ssh_agent: ShareSshAgent
    watch_log: WatchBootLog | None
    """With `--progress`."""
    state: AgentState
    log: EventSink

    async def __call__(self, name: str, *, stop: asyncio.Event) -> int:
        """Return the exit status when the guest has ended, by itself or because `stop` was set."""
        try:
            return await self._live(name, stop)
        except LimaError as error:
            self._say(error.message, Level.ERROR)
            tail = error.log_tail if isinstance(error, LaunchFailedError) else ()
            self._release_disks(name)
            await self.shares.end(name)
            self.state.exiting(errors=(error.message, *tail), hint=error.hint)
            return 1
        finally:
            await self.names.end()

    async def _live(self, name: str, stop: asyncio.Event) -> int:
        resolved = self.resolve.stored(name)
        for warning in resolved.warnings:
            self._say(warning, Level.WARNING)
        config = resolved.config
        if config.ssh.over_vsock and config.vm_type == "qemu":
            self._say("vmType qemu: ignoring ssh.overVsock: its guests are reached over the network", Level.WARNING)
        adopted = await self._adopt(name, config)
        guest = adopted or await self._boot(name, config)
        self.state.ssh_port = guest.facts.ssh_port
        transport = await self.connect(name, config, port=guest.facts.ssh_port, pinned=guest.facts.host_key_pinned)
        iid = guest.facts.instance_id
        keeper = ReportKeeper.begin(self.store, self.clock, name, config, iid=iid, is_adopted=adopted is not None)
        asked: asyncio.Queue[str] = asyncio.Queue(maxsize=2 * len(config.provision) + 1)
        life = _Life(config, guest, GuestWord(instance_id=iid), transport, keeper, asked, asyncio.Event())
        stories = {
            "the guest's progress": self._relay_progress(name, life),
            "yq provisioning": self._yq_steps(life),
            "events of the hypervisor": self._guest_events(life),
            "the watch on virtiofsd": self.shares.watch(name, guest.hypervisor.wait),
            "mounts": self.folders.watch(),
            "`mountInotify`": self.tell_changes(config),
            "port forwarding": self.forward(config, transport, life.door, ssh_port=guest.facts.ssh_port),
        }
        if self.watch_log:
            stories["the guest's log"] = self.watch_log(transport, life.provisioned)
        if not config.plain:
            stories["the guest agent"] = self.attend(life.door, transport, directory=self.store.directory(name))
        helpers = [asyncio.ensure_future(together.told(what, story, self._lose)) for what, story in stories.items()]
        readiness = together.told("readiness", self._readiness(life), partial(self._give_up, life))
        helpers.append(asyncio.ensure_future(readiness))
        try:
            report = await self._until_end(name, life, stop, helpers)
        finally:
            await together.end(*helpers)
        await self._forget(name, life)
        return self._farewell(report)

    # --- the beginning -----------------------------------------------------------------------------------------------

    async def _adopt(self, name: str, config: InstanceConfig) -> BootedGuest | None:
        """Take over the guest of a host agent that died: no reboot."""
        process = self.store.facts(name).driver
        facts = decode_boot_facts(self.store.read(name, FileName.BOOT_FACTS))
        if process is None:
            return None
        if facts is None:
            raise LaunchFailedError(
                f"the guest of `{name}` runs (pid {process.pid}), but not by our doing",
                hint=f"`limactl stop -f {name}` ends it",
            )
        hypervisor = self.new_hypervisor()
        # its additional disks it has already, whatever has become of them or of the template since
        config = config.but(additional_disks=())
        machine = await self.boot.plan(name, config, accelerator=facts.accelerator, ssh_port=facts.ssh_port)
        if not await hypervisor.adopt(machine, process):
            raise LaunchFailedError(
                f"the guest of `{name}` (pid {process.pid}) does not answer on its monitor",
                hint=f"`limactl stop -f {name}` ends it; then start again",
            )
        self._say(f"Attached to the running guest (pid {process.pid})")
        await self.names.resume(name, config, facts.name_server)
        self.shares.resume(name)
        return BootedGuest(hypervisor=hypervisor, facts=facts, process=process)

    async def _boot(self, name: str, config: InstanceConfig) -> BootedGuest:
        # the last run's: whoever reads it after a failure would take it for this one's
        self.store.remove(name, FileName.SERIAL_LOG)
        for sentence in self.claim_disks(name, config):
            self._say(sentence)
        verdict = await self.probe.verdict(arch=config.arch, setting=config.qemu.accelerator)
        self._say(f"Accelerator: {verdict.accelerator} ({verdict.reason})")
        self.mounts.begin(config)
        asks = await self.names.begin(name, config)
        instance_id = await self.write_seed(name, config, asks)
        shares = partial(self.shares.begin, name, config)
        boot = partial(self.boot, name, config, instance_id=instance_id, prepare=shares, name_server=asks)
        if verdict.accelerator == "tcg" or verdict.source == "setting":
            return await boot(verdict=verdict)
        try:
            guest = await boot(verdict=verdict)
        except PortTakenError:
            raise
        except LaunchFailedError as error:
            reason = f"the hypervisor ended at once under {verdict.accelerator} ({error.message})"
        else:
            if await self._kernel_speaks(name, guest):
                return guest
            await guest.hypervisor.stop(grace_s=0)
            reason = f"no kernel line under {verdict.accelerator} within {KERNEL_SILENCE_S:.0f} s"
        reason += ", though it had been proven"
        self._say(f"{reason}; starting again under tcg", Level.WARNING)
        fallback = AcceleratorVerdict(accelerator="tcg", reason=reason, source="overruled")
        self.probe.overrule(arch=config.arch, verdict=fallback)
        return await boot(verdict=fallback)

    async def _kernel_speaks(self, name: str, guest: BootedGuest) -> bool:
        """Whether anything but firmware is heard from the guest in time: its progress port, or its serial console."""
        heard = asyncio.Event()

        async def listen_port() -> None:
            async for _ in self.progress.lines(f"{self.store.directory(name)}/{FileName.PROGRESS_SOCK}"):
                heard.set()
                return

        async def listen_console() -> None:
            while not any(map(_is_kernel_line, self.store.tail(name, FileName.SERIAL_LOG, lines=200))):
                await self.clock.sleep(SERIAL_POLL_S)
            heard.set()

        listeners = [asyncio.ensure_future(listen_port()), asyncio.ensure_future(listen_console())]
        ended = asyncio.ensure_future(guest.hypervisor.wait())
        told = asyncio.ensure_future(heard.wait())
        try:
            await asyncio.wait((ended, told), timeout=KERNEL_SILENCE_S, return_when=asyncio.FIRST_COMPLETED)
            return heard.is_set() or ended.done()
        finally:
            await together.end(*listeners, ended, told)

    # --- the middle --------------------------------------------------------------------------------------------------

    async def _relay_progress(self, name: str, life: _Life) -> None:
        async for line in self.progress.lines(f"{self.store.directory(name)}/{FileName.PROGRESS_SOCK}"):
            life.keeper.hear(line)
            life.word.hear(line)
            self.state.guest_says(line)
            if line.state is StageState.ASKS and not life.asked.full():
                life.asked.put_nowait(line.name)

    async def _yq_steps(self, life: _Life) -> None:
        while True:
            await self.answer_yq(life.transport, life.config, await life.asked.get())

    async def _readiness(self, life: _Life) -> None:
        """Ready, and ready again whenever the guest rebooted. A shared connection that was lost is made again without a
        word to anybody who does not read the log."""
        wait = AwaitReadiness(
            transport=life.transport,
            clock=self.clock,
            state=self.state,
            word=life.word,
            keeper=life.keeper,
            door=life.door,
            log=self.log,
            mount=partial(self._mount, life),
        )
        while True:
            is_back = life.was_ready and not life.has_rebooted
            if is_back:
                await wait.reconnect()
            if not life.was_ready or life.has_rebooted:
                life.has_rebooted = False
                errors = (*await wait(), *await self.copy_to_host(life.transport, life.config))
                life.keeper.close(errors)
                life.provisioned.set()
                self.state.ready(errors)
                life.was_ready = True
            life.door.ssh(is_up=True)
            await self.share_ssh_agent(life.transport, life.config)
            if is_back and (mounts := sshfs_mounts(life.config.mounts)):
                await self.folders(mounts, life.transport)
            await life.transport.wait_lost()
            life.door.ssh(is_up=False)
            life.door.logged_out()
            self._say("The ssh connection to the guest was lost, making a new one")

    def _give_up(self, life: _Life, sentence: str, error: Exception) -> None:
        """Nothing that waiting would mend (no ssh client, say): the guest stays up, and nobody waits for it any more."""
        said = error.message if isinstance(error, LimaError) else sentence
        self._say_failure(said, error)
        life.keeper.close((said,))
        life.provisioned.set()
        self.state.ready((said,))

    def _lose(self, sentence: str, error: Exception) -> None:
        """The guest runs on without this, and `list` says so."""
        self._say_failure(sentence, error)
        self.state.trouble(sentence)

    def _say_failure(self, sentence: str, error: Exception) -> None:
        self._say(sentence, Level.ERROR)
        if not isinstance(error, LimaError):
            self._say("".join(traceback.format_exception(error)), Level.ERROR)

    async def _mount(self, life: _Life) -> tuple[str, ...]:
        mounts = sshfs_mounts(life.config.mounts)
        if not mounts:
            return ()
        self.state.booting(waiting_for="mounts")
        return await self.folders(mounts, life.transport)

    async def _guest_events(self, life: _Life) -> None:
        while True:
            event = await life.guest.hypervisor.next_event()
            if event is GuestEvent.DISK_FULL:
                self.state.trouble(DISK_FULL)
                self._say(DISK_FULL, Level.ERROR)
            elif event is GuestEvent.RESUMED:
                self.state.recovered(DISK_FULL)
                life.door.resumed()
            elif event is GuestEvent.AGENT_PORT_OPENED:
                life.door.opened()
            elif event is GuestEvent.AGENT_PORT_CLOSED:
                life.door.closed()
            elif event is GuestEvent.RESET and life.was_ready:
                self._say("The guest reboots")
                life.has_rebooted, life.word.ssh, life.word.done = True, False, False
                with contextlib.suppress(TransportError):
                    await life.transport.close()

    async def _until_end(
        self, name: str, life: _Life, stop: asyncio.Event, helpers: Sequence["asyncio.Future[None]"]
    ) -> ExitReport:
        ended = asyncio.ensure_future(life.guest.hypervisor.wait())
        asked = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait((ended, asked), return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                return ended.result()
            self.state.stopping()
            self._say(f"Shutting down {name}")
            await together.end(*helpers)
            await self.folders.end()
            reached_ssh = life.was_ready or life.word.ssh
            usual_s = POWERDOWN_GRACE_S if reached_ssh else EARLY_GRACE_S
            grace_s = await self.shares.grace_s(life.transport, usual_s=usual_s)
            with contextlib.suppress(TransportError):
                await life.transport.close()
            outcome = await life.guest.hypervisor.stop(grace_s=grace_s)
            self._say(f"The guest has ended ({outcome})")
            return await ended
        finally:
            await together.end(ended, asked)

    # --- the end -----------------------------------------------------------------------------------------------------

    async def _forget(self, name: str, life: _Life) -> None:
        await self.folders.end()
        with contextlib.suppress(TransportError):
            await life.transport.close()
        await self.shares.end(name)
        for file in (FileName.DRIVER_FACTS, FileName.BOOT_FACTS, FileName.GA_SSH_SOCK):
            self.store.remove(name, file)
        self._release_disks(name)
        self.copy_to_host.take_away(life.config)

    def _release_disks(self, name: str) -> None:
        try:
            self.release_disks(name)
        except LimaError as error:
            # the lock of an instance that does not run is void anyway
            self._say(error.message, Level.WARNING)

    def _farewell(self, report: ExitReport) -> int:
        if report.asked or report.exit_code in (0, None):
            self.state.exiting()
            return 0
        sentence = f"the hypervisor ended with exit code {report.exit_code}"
        self.state.exiting(errors=(sentence, *report.log_tail), hint=f"see `{FileName.QEMU_LOG}`")
        return 1

    def _say(self, message: str, level: Level = Level.INFO) -> None:
        self.log.emit(Note(message=message, level=level))


def _is_kernel_line(line: str) -> bool:
    """Whether a console line comes from a kernel or what it started, and not from firmware or a boot loader."""
    return line.startswith("[") or "Linux version" in line or "systemd" in line or "login:" in line or "lima" in line
