"""Between the bytes of the wire and the values of the port. Pure; what comes from the guest is bounded here.

The library is given raw bytes to carry: its own deserializers log what they cannot read, and go on with None.
"""

from collections.abc import Sequence
from itertools import islice
from typing import Protocol, TypeVar

from google.protobuf.message import DecodeError, Message

from lima.adapters.guestagent._generated import guestservice_pb2 as wire
from lima.domain.errors import GuestAgentError
from lima.domain.guest_ports import (
    MAX_ERRORS,
    MAX_PORTS,
    GuestPort,
    PortsChanged,
    accepted_port,
    accepted_text,
)
from lima.ports.guest_agent import ClockReport, FileTouched, GuestSocket

_MAX_DRIFT_MS = 1 << 53
_NS = 1_000_000_000
_AnyMessage = TypeVar("_AnyMessage", bound=Message)


class _Port(Protocol):
    protocol: str
    ip: str
    port: int


def read_info(raw: bytes) -> tuple[GuestPort, ...]:
    """Raises: GuestAgentError, as all of these do, for bytes that are no such message."""
    return _ports(_parsed(wire.Info(), raw).local_ports)


def read_event(raw: bytes) -> PortsChanged:
    """One message of the event stream."""
    event = _parsed(wire.Event(), raw)
    return PortsChanged(
        added=_ports(event.added_local_ports),
        removed=_ports(event.removed_local_ports),
        errors=tuple(accepted_text(error) for error in islice(event.errors, MAX_ERRORS)),
    )


def read_sync(raw: bytes) -> ClockReport:
    """What the guest did about its clock."""
    answer = _parsed(wire.TimeSyncResponse(), raw)
    return ClockReport(
        drift_ms=min(max(answer.drift_ms, -_MAX_DRIFT_MS), _MAX_DRIFT_MS),
        was_set=answer.adjusted,
        problem=accepted_text(answer.error),
    )


def read_tunnel(raw: bytes) -> bytes:
    """The payload of a message from the guest's end of a tunnel."""
    return _parsed(wire.TunnelMessage(), raw).data


def write_sync(now_ns: int) -> bytes:
    """The request to set the clock."""
    request = wire.TimeSyncRequest()
    request.host_time.seconds, request.host_time.nanos = divmod(now_ns, _NS)
    return request.SerializeToString()


def write_touch(file: FileTouched) -> bytes:
    """One touched file."""
    message = wire.Inotify(mount_path=file.path)
    message.time.seconds, message.time.nanos = divmod(file.mtime_ns, _NS)
    return message.SerializeToString()


def write_tunnel(number: int, target: GuestPort | GuestSocket, data: bytes = b"") -> bytes:
    """A message of the host's end of tunnel `number`; without data it is the first one, which asks for the address."""
    network, address = _dialled(target)
    return wire.TunnelMessage(
        id=f"{network}-{address}-{number}", protocol=network, guest_addr=address, data=data
    ).SerializeToString()


def _dialled(target: GuestPort | GuestSocket) -> tuple[str, str]:
    if isinstance(target, GuestSocket):
        return "unix", target.path
    return target.protocol, str(target)


def _parsed(message: _AnyMessage, raw: bytes) -> _AnyMessage:
    try:
        message.ParseFromString(raw)
    except DecodeError as error:
        raise GuestAgentError("the guest agent sent a message that cannot be read") from error
    return message


def _ports(raw: Sequence[_Port]) -> tuple[GuestPort, ...]:
    found = (accepted_port(each.protocol, each.ip, each.port) for each in islice(raw, MAX_PORTS))
    return tuple(port for port in found if port is not None)
