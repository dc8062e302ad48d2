"""The processes that serve a guest's mounts of type virtiofs: started before its hypervisor, ended after it."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field

from lima.application.agent_state import AgentState
from lima.domain.config import InstanceConfig
from lima.domain.errors import LimaError
from lima.domain.instance import FileName
from lima.domain.mount_devices import virtiofs_socket
from lima.domain.mount_plan import VIRTIOFS
from lima.domain.progress import Level, Note
from lima.domain.share_facts import ShareFacts, decode_share_facts, encode_share_facts, share_facts
from lima.ports.events import EventSink
from lima.ports.instance_store import InstanceStore
from lima.ports.share_server import ServedDirectory, ShareServer
from lima.ports.transport import Transport

SETTLE_S = 1.0
"""A server ends when its hypervisor does, and is heard of first: for so long that is no trouble yet."""
HUNG_GRACE_S = 30.0
"""For the power-off of a guest that waits for a server which is no more: what else it has to end is ended by then, and
the rest would hang for ever. No command of the guest frees who waits: its kernel has no way to give up a request."""
ASK_S = 5.0
WRITE_BACK = """\
cd /proc/sys/vm && sudo -n sh -c 'echo 100 >dirty_expire_centisecs; echo 50 >dirty_writeback_centisecs'
"""
"""What the guest's programs write at their end is on its disks within a second or two. Not `sync`, which would hang."""


@dataclass(slots=True, kw_only=True)
class ServeShares:
    """Its servers are recorded before the hypervisor runs: the next host agent takes them over with the guest."""

    store: InstanceStore
    server: ShareServer
    state: AgentState
    log: EventSink
    _serving: tuple[ShareFacts, ...] = field(default=(), init=False)

    async def begin(self, name: str, config: InstanceConfig) -> None:
        """For a hypervisor that is about to start; each start needs servers of its own.

        Raises: MissingToolError, LaunchFailedError, UnsupportedCapabilityError.
        """
        self._serving = decode_share_facts(self.store.read(name, FileName.SHARE_FACTS))
        await self.end(name)
        if config.mounts.type != VIRTIOFS:
            return
        directory = self.store.directory(name)
        for index, mount in enumerate(config.mounts.mounts):
            served = ServedDirectory(
                location=mount.location,
                socket=virtiofs_socket(directory, index),
                log=f"{directory}/virtiofsd-{index}.log",
                guest_uid=config.user.uid,
                read_only=not mount.writable,
            )
            process = await self.server.serve(served)
            self._serving += (share_facts(str(mount), process),)
            self.store.write(name, FileName.SHARE_FACTS, encode_share_facts(self._serving), mode=0o600)

    def resume(self, name: str) -> None:
        """For a guest that runs."""
        self._serving = decode_share_facts(self.store.read(name, FileName.SHARE_FACTS))

    async def watch(self, name: str, guest_ended: Callable[[], Coroutine[None, None, object]]) -> None:
        """Tell of every server that ends while the guest goes on. Its hypervisor knows no way to another one."""
        ended = asyncio.ensure_future(guest_ended())
        try:
            await asyncio.gather(*(self._watch(name, facts, ended) for facts in self._serving))
        finally:
            ended.cancel()

    async def grace_s(self, transport: Transport, *, usual_s: float) -> float:
        """How long a guest that is about to be shut down may take for it: less where one of its mounts is lost."""
        lost = [facts.mount for facts in self._serving if not self.server.serves(facts.process)]
        if not lost:
            return usual_s
        sentence = (
            f"The guest cannot unmount what has lost its virtiofsd ({', '.join(lost)}):"
            f" it gets {HUNG_GRACE_S:.0f} s for everything else, and is ended by force then"
        )
        self.log.emit(Note(message=sentence, level=Level.WARNING))
        with contextlib.suppress(LimaError, TimeoutError):
            async with asyncio.timeout(ASK_S):
                await transport.run(("sh", "-c", WRITE_BACK))
        return min(usual_s, HUNG_GRACE_S)

    async def end(self, name: str) -> None:
        """In the reverse order of their start. Doing it twice is no error."""
        if not self._serving:
            return
        for facts in reversed(self._serving):
            await self.server.stop(facts.process)
        self._serving = ()
        self.store.remove(name, FileName.SHARE_FACTS)

    async def _watch(self, name: str, facts: ShareFacts, guest_ended: "asyncio.Future[object]") -> None:
        await self.server.wait(facts.process)
        await asyncio.wait((guest_ended,), timeout=SETTLE_S)
        if guest_ended.done():
            return
        sentence = (
            f"virtiofsd of mount {facts.mount} ended: whoever uses it hangs; `limactl restart {name}` mounts it again"
        )
        self.state.trouble(sentence)
        self.log.emit(Note(message=sentence, level=Level.ERROR))
