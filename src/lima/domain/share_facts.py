"""Which processes serve the mounts of a running guest: what the next host agent must know of them."""

import msgspec

from lima.domain.model import Model
from lima.domain.process import ProcessIdentity


class ShareFacts(Model, frozen=True, kw_only=True):
    """One process of `shares.facts.json`; `mount` is what it serves, in words."""

    mount: str
    pid: int
    start_ticks: int
    boot_id: str

    @property
    def process(self) -> ProcessIdentity:
        """Which process is meant."""
        return ProcessIdentity(pid=self.pid, start_ticks=self.start_ticks, boot_id=self.boot_id)


def share_facts(mount: str, process: ProcessIdentity) -> ShareFacts:
    """Of a process that serves `mount`."""
    return ShareFacts(mount=mount, pid=process.pid, start_ticks=process.start_ticks, boot_id=process.boot_id)


def encode_share_facts(facts: tuple[ShareFacts, ...]) -> bytes:
    """The content of `shares.facts.json`."""
    return msgspec.json.encode(facts) + b"\n"


def decode_share_facts(content: bytes | None) -> tuple[ShareFacts, ...]:
    """The facts, in the order in which the processes were started; none where the file is missing or damaged."""
    if content is None:
        return ()
    try:
        return msgspec.json.decode(content, type=tuple[ShareFacts, ...])
    except msgspec.MsgspecError:
        return ()
