"""Bytes of a hostile guest: bounded values or an error of ours, never anything else."""

import contextlib
import random
from collections.abc import Iterator

import pytest
from google.protobuf.internal.encoder import _VarintBytes  # type: ignore[attr-defined]
from hypothesis import given
from hypothesis import strategies as st

from lima.adapters.guestagent._generated import guestservice_pb2 as wire
from lima.adapters.guestagent.messages import (
    read_event,
    read_info,
    read_sync,
    read_tunnel,
    write_sync,
    write_touch,
    write_tunnel,
)
from lima.domain.errors import GuestAgentError
from lima.domain.guest_ports import MAX_ERRORS, MAX_PORTS, MAX_TEXT, GuestPort, PortProtocol, PortsChanged, after
from lima.ports.guest_agent import ClockReport, FileTouched, GuestSocket

MESSAGES = 100_000
VARINTS = (0, 1, -1, 22, 65535, 65536, 2**31 - 1, 2**31, -(2**31), 2**63 - 1, -(2**63), 2**64 - 1)
TEXTS = (
    b"", b"tcp", b"udp", b"127.0.0.1", b"::", b"::1", b"::ffff:1.2.3.4", b"fe80::1%eth0", b"../../../etc/passwd", b"/", b"\0", b"\xff\xfe",
    b"\x1b[2J", b"{{.}}", b"$(reboot)", b"x" * 5000, "\N{RIGHT-TO-LEFT OVERRIDE}abc".encode(), b"1" * 300, b"nan", b"\n\n",
)  # fmt: skip


def field(number: int, kind: int, body: bytes) -> bytes:
    return _VarintBytes(number << 3 | kind) + body


def counted(body: bytes) -> bytes:
    return _VarintBytes(len(body)) + body


def varint(value: int) -> bytes:
    return _VarintBytes(value % 2**64)


def a_field(dice: random.Random, depth: int) -> bytes:
    number = dice.choice((1, 1, 2, 2, 3, 4, 5, 100, 2**29 - 1))
    match dice.randrange(8):
        case 0 | 1:
            return field(number, 0, varint(dice.choice(VARINTS)))
        case 2 | 3:
            return field(number, 2, counted(dice.choice(TEXTS)))
        case 4 | 5 if depth < 4:
            return field(number, 2, counted(a_message(dice, depth + 1)))
        case 6:
            return field(number, dice.choice((1, 5)), dice.choice((b"\0" * 8, b"\xff" * 8, b"\0\0\0\0\0\0\xf8\x7f")))
        case _:
            # a length that the message does not have
            return field(number, 2, varint(dice.choice(VARINTS)) + dice.randbytes(3))


def a_message(dice: random.Random, depth: int = 0) -> bytes:
    body = b"".join(a_field(dice, depth) for _ in range(dice.randrange(5)))
    if depth == 0 and dice.random() < 0.3:
        at = dice.randrange(len(body) + 1)
        body = body[:at] + dice.randbytes(dice.randrange(4)) + body[at + dice.randrange(3) :]
    return body


def hostile(seed: int, count: int) -> Iterator[bytes]:
    dice = random.Random(seed)
    return (a_message(dice) for _ in range(count))


def test_a_hundred_thousand_messages_stay_in_bounds() -> None:
    known: frozenset[GuestPort] = frozenset()
    read = refused = 0
    for raw in hostile(1, MESSAGES):
        for reader in (read_event, read_info, read_sync, read_tunnel):
            try:
                said = reader(raw)
            except GuestAgentError:
                refused += 1
                continue
            read += 1
            check(said)
            if isinstance(said, PortsChanged):
                known = after(known, said)
                assert len(known) <= MAX_PORTS
    # both kinds are well represented, or the test would show nothing
    assert min(read, refused) > MESSAGES // 2


def check(said: object) -> None:
    match said:
        case PortsChanged():
            check(said.added)
            check(said.removed)
            assert len(said.errors) <= MAX_ERRORS
            assert all(len(error) <= MAX_TEXT and error.isprintable() for error in said.errors)
        case ClockReport():
            assert abs(said.drift_ms) <= 2**53
            assert len(said.problem) <= MAX_TEXT
        case tuple():
            assert len(said) <= MAX_PORTS
            assert all(0 < port.port < 65536 and len(port.address) <= 45 for port in said)
        case _:
            assert isinstance(said, bytes)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_value_or_an_error_of_ours(raw: bytes) -> None:
    for reader in (read_event, read_info, read_sync, read_tunnel):
        with contextlib.suppress(GuestAgentError):
            check(reader(raw))


def test_half_a_million_empty_ports_cost_no_more_than_their_message() -> None:
    assert read_info(field(1, 2, b"\0") * 500_000) == ()
    assert read_event(field(4, 2, b"\1x") * 100_000).errors == ("x",) * MAX_ERRORS


def test_ports_that_cannot_be_are_left_out_and_the_others_taken() -> None:
    info = wire.Info(
        local_ports=[
            wire.IPPort(protocol="tcp", ip="0.0.0.0", port=80),
            wire.IPPort(protocol="tcp", ip="/etc/passwd", port=80),
            wire.IPPort(protocol="udp", ip="::1", port=-53),
            wire.IPPort(protocol="udp", ip="::1", port=53),
        ]
    )
    assert [str(port) for port in read_info(info.SerializeToString())] == ["0.0.0.0:80", "[::1]:53"]


@given(st.integers(min_value=-(2**60), max_value=2**62))
def test_times_keep_their_nanoseconds(ns: int) -> None:
    assert wire.TimeSyncRequest.FromString(write_sync(ns)).host_time.ToNanoseconds() == ns
    message = wire.Inotify.FromString(write_touch(FileTouched(path="/a b", mtime_ns=ns)))
    assert (message.mount_path, message.time.ToNanoseconds()) == ("/a b", ns)


@pytest.mark.parametrize(
    ("target", "protocol", "address"),
    [
        (GuestPort(PortProtocol.TCP, "127.0.0.1", 80), "tcp", "127.0.0.1:80"),
        (GuestPort(PortProtocol.UDP, "::1", 53), "udp", "[::1]:53"),
        (GuestSocket("/run/a.sock"), "unix", "/run/a.sock"),
    ],
)
def test_a_tunnel_names_its_address_in_every_message(
    target: GuestPort | GuestSocket, protocol: str, address: str
) -> None:
    first, later = (wire.TunnelMessage.FromString(write_tunnel(7, target, data)) for data in (b"", b"x"))
    assert (first.protocol, first.guest_addr, first.data) == (protocol, address, b"")
    assert (later.protocol, later.guest_addr, later.data) == (protocol, address, b"x")
    assert first.id == later.id == f"{protocol}-{address}-7"
