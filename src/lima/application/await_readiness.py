"""Wait until a guest is ready: by its own word where it has a progress port, by asking over ssh where not."""

import asyncio
from dataclasses import dataclass, field

from lima.application.agent_state import AgentState
from lima.domain.errors import AuthenticationError, HostKeyMismatchError, UnreachableError
from lima.domain.guest_progress import GuestProgress, Stage, StageState
from lima.ports.clock import Clock
from lima.ports.transport import Transport

RETRY_S = 1.0
"""Pause between two tries at a guest that does not tell where it is."""
MISMATCH_LIMIT = 3
"""A first boot may show sshd's own host key for a moment, before the seed's takes its place."""
SSH_READY_FILE = "/run/lima-ssh-ready"
BOOT_DONE_FILE = "/run/lima-boot-done"


@dataclass(slots=True, kw_only=True)
class GuestWord:
    """What the guest has said of this boot so far. `changed` is set with every line."""

    instance_id: str
    ssh: bool = False
    done: bool = False
    alive: bool = False
    failures: list[str] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def hear(self, line: GuestProgress) -> None:
        """Take one line. A kernel stage begins a new boot."""
        if line.stage is Stage.KERNEL:
            self.ssh = self.done = False
            self.failures.clear()
        self.alive = True
        if line.stage is Stage.SSH and line.state is StageState.OK:
            self.ssh = True
        if line.stage in (Stage.BOOT, Stage.PROVISION) and line.state is StageState.FAILED:
            self.failures.append(_failure(line))
        if line.stage is Stage.DONE and line.state is not StageState.START and line.iid in ("", self.instance_id):
            self.done = True
        self.changed.set()

    async def wait_change(self, seconds: float) -> None:
        """Return when the guest said something, after `seconds` at the latest."""
        self.changed.clear()
        try:
            async with asyncio.timeout(seconds):
                await self.changed.wait()
        except TimeoutError:
            pass


def _failure(line: GuestProgress) -> str:
    kind = "provision script" if line.stage is Stage.PROVISION else "boot script"
    last = f": {line.tail}" if line.tail else ""
    return f"{kind} `{line.name}` failed with exit code {line.code}{last}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AwaitReadiness:
    """Returns what went wrong (empty: all is well) once the guest can be used. Waits for ever: whoever asked for the
    start sets the limit, and the guest stays up when it passes."""

    transport: Transport
    clock: Clock
    state: AgentState
    word: GuestWord
    is_plain: bool

    async def __call__(self) -> tuple[str, ...]:
        errors: list[str] = []
        self.state.booting(waiting_for="ssh")
        await self._connect()
        if not self.is_plain:
            self.state.booting(waiting_for="the user session")
            await self._marker(SSH_READY_FILE)
        self.state.booting(waiting_for="boot scripts")
        await self._marker(BOOT_DONE_FILE)
        errors += self.word.failures
        return tuple(errors)

    async def _connect(self) -> None:
        mismatches = 0
        while True:
            try:
                if not self.word.ssh:
                    await self.transport.probe()
                await self.transport.connect()
            except HostKeyMismatchError as error:
                mismatches += 1
                if mismatches >= MISMATCH_LIMIT:
                    self.state.trouble(error.message)
            except AuthenticationError as error:
                # the user or its key may not be there yet
                self.state.booting(waiting_for=f"ssh ({error.message})")
            except UnreachableError:
                pass
            else:
                return
            await self.word.wait_change(RETRY_S)

    async def _marker(self, file: str) -> None:
        """Wait until a marker file of the guest holds the id of this boot."""
        while not self.word.done:
            try:
                result = await self.transport.run(("cat", file))
                if result.exit_code == 0 and result.stdout.decode(errors="replace").strip() == self.word.instance_id:
                    return
            except UnreachableError:
                await self._connect()
            await self.word.wait_change(RETRY_S)
