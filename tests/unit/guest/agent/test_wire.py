"""The agent's own codec against protobuf: what one writes the other reads, and what one refuses the other refuses."""

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from lima_guestagent import messages
from lima_guestagent.wire import MAX_ITEMS, WireError

from lima.adapters.guestagent._generated import guestservice_pb2 as reference

INT32 = st.integers(-(2**31), 2**31 - 1)
INT64 = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)
TIMES = st.builds(messages.Timestamp, seconds=INT64, nanos=INT32)
PORTS = st.lists(st.builds(messages.IPPort, protocol=TEXT, ip=TEXT, port=INT32), max_size=4)
MESSAGES = st.one_of(
    st.builds(messages.Info, local_ports=PORTS),
    st.builds(
        messages.Event, time=st.none() | TIMES, added_local_ports=PORTS, removed_local_ports=PORTS,
        errors=st.lists(TEXT, max_size=3),
    ),
    st.builds(messages.Inotify, mount_path=TEXT, time=st.none() | TIMES),
    st.builds(
        messages.TunnelMessage, id=TEXT, protocol=TEXT, data=st.binary(max_size=300), guest_addr=TEXT,
        udp_target_addr=TEXT,
    ),
    st.builds(messages.TimeSyncRequest, host_time=st.none() | TIMES),
    st.builds(messages.TimeSyncResponse, adjusted=st.booleans(), drift_ms=INT64, error=TEXT),
)  # fmt: skip
KINDS = [
    messages.Info,
    messages.Event,
    messages.Inotify,
    messages.TunnelMessage,
    messages.TimeSyncRequest,
    messages.TimeSyncResponse,
]


def theirs(kind: type) -> type:
    return getattr(reference, kind.__name__)


def plain(value):
    """A message of either kind as builtins, for comparing."""
    if isinstance(value, messages.Message):
        return {name: plain(getattr(value, name)) for name, _ in value.FIELDS.values()}
    if hasattr(value, "DESCRIPTOR"):
        return {
            field.name: plain(getattr(value, field.name))
            if field.message_type is None or _is_list(field) or value.HasField(field.name)
            else None
            for field in value.DESCRIPTOR.fields
        }
    if isinstance(value, (str, bytes, int)):
        return value
    return None if value is None else [plain(item) for item in value]


def _is_list(field) -> bool:
    return field.is_repeated if hasattr(field, "is_repeated") else field.label == field.LABEL_REPEATED


@given(MESSAGES)
def test_protobuf_reads_what_the_agent_writes(message: messages.Message) -> None:
    assert plain(theirs(type(message)).FromString(message.encode())) == plain(message)


@given(MESSAGES)
def test_the_agent_reads_what_protobuf_writes(message: messages.Message) -> None:
    written = theirs(type(message)).FromString(message.encode()).SerializeToString(deterministic=True)
    assert written == message.encode()
    assert type(message).decode(written) == message


@st.composite
def nearly_messages(draw: st.DrawFn) -> bytes:
    """Encodings with bytes changed, cut, doubled or joined."""
    data = bytearray(draw(MESSAGES).encode() + draw(st.sampled_from([b"", b"\x0a\x00", b"\x3b\x3c", b"\x39"])))
    for _ in range(draw(st.integers(0, 3))):
        if data:
            data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    cut = draw(st.integers(0, len(data)))
    return bytes(data[:cut]) + draw(st.sampled_from([b"", bytes(data)]))


@given(st.sampled_from(KINDS), st.binary(max_size=60) | nearly_messages())
def test_both_accept_and_refuse_the_same_bytes(kind: type, data: bytes) -> None:
    try:
        expected = plain(theirs(kind).FromString(data))
    except DecodeError:
        with pytest.raises(WireError):
            kind.decode(data)
    else:
        assert plain(kind.decode(data)) == expected


def test_unknown_fields_and_groups_are_skipped() -> None:
    unknown = b"\x79\x01\x02\x03\x04\x05\x06\x07\x08" + b"\x7d\x01\x02\x03\x04" + b"\x9b\x06\x08\x01\x9c\x06"
    assert messages.IPPort.decode(unknown + b"\x18\x50" + unknown).port == 80


def test_a_list_without_end_is_refused() -> None:
    with pytest.raises(WireError, match="items"):
        messages.Event.decode(b"\x22\x00" * (MAX_ITEMS + 1))


def test_nested_groups_without_end_are_refused() -> None:
    with pytest.raises(WireError):
        messages.Empty.decode(b"\x0b" * 100_000)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x08", "cut off"),
        (b"\x08" + b"\xff" * 10 + b"\x01", "ten bytes"),
        (b"\x0a\x05abc", "longer"),
        (b"\x09\x00", "longer"),
        (b"\x0a\x01\xff", "UTF-8"),
        (b"\x02\x00", "number 0"),
        (b"\x0c", "out of place"),
        (b"\x0f", "wire type 7"),
    ],
)
def test_what_is_wrong_is_said(data: bytes, reason: str) -> None:
    with pytest.raises(WireError, match=reason):
        messages.IPPort.decode(data)


def test_times_that_are_none() -> None:
    assert messages.Timestamp.from_ns(-1).ns == -1
    for moment in (messages.Timestamp(seconds=2**62), messages.Timestamp(nanos=-1), messages.Timestamp(nanos=10**9)):
        with pytest.raises(ValueError, match="no point in time"):
            _ = moment.ns
