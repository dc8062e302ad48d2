"""Ports as the guest names them, and what is taken of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lima.domain.guest_ports import (
    MAX_PORTS,
    MAX_TEXT,
    GuestPort,
    PortProtocol,
    PortsChanged,
    accepted_port,
    accepted_text,
    after,
)

ports = st.builds(
    GuestPort, st.sampled_from(PortProtocol), st.ip_addresses(v=4).map(str), st.integers(min_value=1, max_value=65535)
)
few_ports = st.lists(ports, max_size=8).map(tuple)


@pytest.mark.parametrize(
    ("protocol", "address", "port", "expected"),
    [
        ("tcp", "0.0.0.0", 22, "0.0.0.0:22"),
        ("udp", "::", 53, "[::]:53"),
        ("tcp", "::1", 65535, "[::1]:65535"),
        ("tcp", "0:0:0:0:0:0:0:1", 1, "[::1]:1"),
        ("tcp", "::ffff:127.0.0.1", 80, "127.0.0.1:80"),
        ("tcp", "FE80::A", 80, "[fe80::a]:80"),
    ],
)
def test_a_port_is_written_one_way_only(protocol: str, address: str, port: int, expected: str) -> None:
    assert str(accepted_port(protocol, address, port)) == expected


@pytest.mark.parametrize(
    ("protocol", "address", "port"),
    [
        ("sctp", "127.0.0.1", 1),
        ("TCP", "127.0.0.1", 1),
        ("", "127.0.0.1", 1),
        ("tcp", "", 1),
        ("tcp", "localhost", 1),
        ("tcp", "../../etc", 1),
        ("tcp", "fe80::1%../../x", 1),
        ("tcp", "127.0.0.1\n", 1),
        ("tcp", "127.1", 1),
        ("tcp", "1" * 10_000, 1),
        ("tcp", "127.0.0.1", 0),
        ("tcp", "127.0.0.1", -1),
        ("tcp", "127.0.0.1", 65536),
    ],
)
def test_what_is_no_port_is_not_taken(protocol: str, address: str, port: int) -> None:
    assert accepted_port(protocol, address, port) is None


@given(st.text(max_size=3) | st.sampled_from(["tcp", "udp"]), st.text(max_size=60), st.integers())
def test_nothing_that_a_guest_says_is_an_error(protocol: str, address: str, port: int) -> None:
    taken = accepted_port(protocol, address, port)
    assert taken is None or (len(str(taken)) < 60 and "/" not in str(taken))


@given(st.text())
def test_a_sentence_is_one_printable_line(text: str) -> None:
    taken = accepted_text(text)
    assert len(taken) <= MAX_TEXT
    assert taken.isprintable()


@given(few_ports, few_ports)
def test_what_was_added_and_then_removed_is_gone(before: tuple[GuestPort, ...], more: tuple[GuestPort, ...]) -> None:
    start = after(frozenset(), PortsChanged(added=before))
    full = after(start, PortsChanged(added=more))
    assert full == {*before, *more}
    assert after(full, PortsChanged(removed=more)) == set(before) - set(more)
    assert after(full, PortsChanged(added=more)) == full


def test_room_is_limited_and_comes_back() -> None:
    full = after(frozenset(), PortsChanged(added=tuple(GuestPort(PortProtocol.TCP, "::", n) for n in range(1, 9000))))
    assert len(full) == MAX_PORTS
    new = GuestPort(PortProtocol.UDP, "::", 1)
    assert new not in after(full, PortsChanged(added=(new,)))
    assert new in after(full, PortsChanged(added=(new,), removed=(min(full),)))
