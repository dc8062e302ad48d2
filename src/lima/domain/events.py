"""The event lines of `ha.stdout.log`. Wire format: upstream's; source: reference, runtime §1.7 and cli §14.2.

Additions of ours stay inside `status` (`hint`, `stage`, `waitingFor`), and `running` never appears before READY.
"""

from typing import Any

import msgspec

from lima.domain.guest_progress import GuestProgress
from lima.domain.model import Model


class CloudInitProgress(Model, frozen=True, kw_only=True):
    """With `--progress`: a line of what the guest logs while it boots, by whatever provisions it."""

    log_line: str = ""
    completed: bool = False
    active: bool = False


class PortForwardEvent(Model, frozen=True, kw_only=True):
    """What became of a port of the guest. `type`: `forwarding`, `not-forwarding`, `stopping`, `failed`."""

    type: str
    protocol: str = ""
    guest_addr: str = ""
    host_addr: str = ""
    error: str = ""


class VsockEvent(Model, frozen=True, kw_only=True):
    """What became of ssh over vsock, as drivers of upstream say. `type`: `started`, `skipped`, `failed`."""

    type: str
    host_addr: str = ""
    vsock_port: int = 0
    reason: str = ""


class AgentStatus(Model, frozen=True, kw_only=True):
    """The `status` of an event. Invariants: degraded implies running, exiting implies not running."""

    running: bool = False
    degraded: bool = False
    exiting: bool = False
    errors: tuple[str, ...] = ()
    hint: str = ""
    """Ours: what to do about `errors`."""
    ssh_local_port: int = msgspec.field(default=0, name="sshLocalPort")
    cloud_init_progress: CloudInitProgress | None = None
    port_forward: PortForwardEvent | None = None
    vsock: VsockEvent | None = None
    stage: GuestProgress | None = None
    """Ours: where the guest is, relayed from its progress port."""
    waiting_for: str = ""
    """Ours: what the start waits for now (`ssh`, `boot scripts`)."""


class AgentEvent(Model, frozen=True, kw_only=True):
    """One line. `time` is RFC 3339 with nanoseconds in the local zone."""

    time: str
    status: AgentStatus


_DECODER: msgspec.json.Decoder[Any] = msgspec.json.Decoder(type=AgentEvent)


def encode_event(event: AgentEvent) -> bytes:
    """The line, newline included. `status` is always present, even when empty."""
    return msgspec.json.encode({"time": event.time, "status": msgspec.to_builtins(event.status)}) + b"\n"


def decode_event(line: bytes) -> AgentEvent | None:
    """The event, or None where the line is not one (a half-written line, a notice)."""
    try:
        event: AgentEvent = _DECODER.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return event
