"""Stop an instance: politely through its host agent, or by force."""

from dataclasses import dataclass

from lima.application.observe_instance import ObserveInstance
from lima.application.release_disks import ReleaseDisks
from lima.domain.errors import InstanceNotFoundError, StopTimedOutError, WrongStateError
from lima.domain.instance import FileName, Status, quote
from lima.domain.process import ProcessIdentity
from lima.domain.progress import Level, Note
from lima.domain.share_facts import decode_share_facts
from lima.ports.events import EventSink
from lima.ports.instance_store import InstanceStore
from lima.ports.processes import ProcessTable

SIGINT = 2
SIGKILL = 9
STOP_S = 190.0
"""How long a host agent may take: the guest's own three minutes and ten seconds. Source: reference, runtime §2.1."""
KILL_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StopInstance:
    """Signals only processes whose identity was verified; a pid file that names another process kills nobody.

    Raises: InstanceNotFoundError, WrongStateError (not running, without `force`), StopTimedOutError.
    """

    store: InstanceStore
    processes: ProcessTable
    observe: ObserveInstance
    release_disks: ReleaseDisks
    progress: EventSink

    async def __call__(self, name: str, *, force: bool) -> None:
        if not self.store.exists(name):
            raise InstanceNotFoundError(
                f"instance {quote(name)} does not exist", hint="`limactl list` shows the instances there are"
            )
        if force:
            await self.force(name)
            return
        await self._gracefully(name)

    async def _gracefully(self, name: str) -> None:
        seen = self.observe(name)
        agent = seen.facts.agent
        if agent is None:
            if seen.verdict.status is Status.BROKEN and seen.facts.driver is not None:
                # nobody is left who could ask the guest; leaving it running would be no stop
                self._say("No host agent is left to ask the guest politely", Level.WARNING)
                await self.force(name)
                return
            raise WrongStateError(
                f"expected status {quote(Status.RUNNING)}, got {quote(seen.verdict.status)}"
                " (maybe use `limactl stop -f`?)",
                hint=f"`limactl list {name}` says why" if seen.verdict.reasons else "",
            )
        self._say(f"Sending SIGINT to hostagent process {agent.pid}")
        self.processes.signal(agent, SIGINT)
        self._say("Waiting for the host agent and the driver processes to shut down")
        if not await self.processes.wait_gone(agent, timeout_s=STOP_S):
            raise StopTimedOutError(
                f"instance {quote(name)}: timed out waiting for instance to shut down after {STOP_S:.0f} s",
                hint=f"`limactl stop -f {name}` ends it by force; see {quote(self._path(name, FileName.HA_STDERR_LOG))}",
            )
        left = self.store.facts(name).driver
        if left is not None:
            await self._kill(left, "driver process")
        self.store.remove_temporary(name)
        self.release_disks(name)
        self._say(f"The instance {name} has shut down")

    async def force(self, name: str) -> None:
        """End whatever belongs to the instance and remove its temporary files. Never fails for what is gone already."""
        facts = self.store.facts(name)
        # the agent first: it would take the driver's death for a crash and say so
        for process, title in ((facts.agent, "host agent process"), (facts.driver, "qemu driver process")):
            if process is None:
                self._say(f"The {title} seems already stopped")
            else:
                await self._kill(process, title)
        # what the agent was about to start when it died
        late = self.store.facts(name).driver
        if late is not None:
            await self._kill(late, "qemu driver process")
        for share in reversed(decode_share_facts(self.store.read(name, FileName.SHARE_FACTS))):
            # they end with their driver, unless it never came as far as to them
            if self.processes.is_alive(share.process):
                await self._kill(share.process, "virtiofsd process")
        self._say(f"Removing *.pid *.sock *.tmp under {quote(self.store.directory(name))}")
        for path in self.store.remove_temporary(name):
            self._say(f"Removing {quote(path)}")
        for file in (FileName.HA_FACTS, FileName.DRIVER_FACTS, FileName.BOOT_FACTS, FileName.SHARE_FACTS):
            self.store.remove(name, file)
        for disk in self.release_disks(name):
            self._say(f"Unlocked disk {quote(disk)}")

    async def _kill(self, process: ProcessIdentity, title: str) -> None:
        self._say(f"Sending SIGKILL to the {title} {process.pid}")
        if self.processes.signal(process, SIGKILL) and not await self.processes.wait_gone(process, timeout_s=KILL_S):
            raise StopTimedOutError(
                f"the {title} {process.pid} did not end within {KILL_S:.0f} s of SIGKILL",
                hint="it hangs in the kernel (a dead disk or network file system?); see `ps` and `dmesg`",
            )

    def _path(self, name: str, file: str) -> str:
        return f"{self.store.directory(name)}/{file}"

    def _say(self, message: str, level: Level = Level.INFO) -> None:
        self.progress.emit(Note(message=message, level=level))
