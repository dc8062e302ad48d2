"""Ports of the guest and what becomes of them. Source of the table: reference, runtime §9.1 and §9.2."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lima.domain.forwarding import (
    ForwardRules,
    GuestPort,
    HostEnd,
    HostPort,
    HostSocket,
    PortProtocol,
    Refusal,
    forward_rules,
)
from lima.domain.portforward import filled_forward
from lima.domain.template import PortForward
from lima.domain.variables import Expander
from tests.resolving import no_engine, template

SSH = 60022
STAYS, QUIET = Refusal(), Refusal(is_quiet=True)


def rules(*forwards: dict[str, Any], implicit: bool = True) -> ForwardRules:
    return forward_rules(filled(*forwards), ssh_local_port=SSH, implicit=implicit)


def filled(*forwards: dict[str, Any]) -> tuple[PortForward, ...]:
    raw = template({"portForwards": list(forwards)}).port_forwards or ()
    expand = Expander(no_engine)
    return tuple(filled_forward(rule, directory="/home/i", host={}, guest={}, expand=expand) for rule in raw)


def port(text: str) -> GuestPort:
    """`tcp 127.0.0.1 80`."""
    protocol, ip, number = text.split()
    return GuestPort(protocol=PortProtocol(protocol), ip=ip, port=int(number))


def end(text: str) -> HostEnd | Refusal:
    """`127.0.0.1 8080`, `/path`, `stays` or `quiet`."""
    if text in ("stays", "quiet"):
        return STAYS if text == "stays" else QUIET
    if text.startswith("/"):
        return HostSocket(path=text)
    ip, number = text.split()
    return HostPort(ip=ip, port=int(number))


ANY = {"guestIP": "0.0.0.0", "guestIPMustBeZero": False}
IGNORE_ALL = {"guestIP": "0.0.0.0", "ignore": True}
TABLE: list[tuple[str, list[dict[str, Any]], list[tuple[str, str]]]] = [
    (
        "without rules, what listens on loopback or everywhere has the same port on the host's loopback",
        [],
        [
            ("tcp 127.0.0.1 80", "127.0.0.1 80"),
            ("tcp 0.0.0.0 80", "127.0.0.1 80"),
            ("tcp :: 80", "127.0.0.1 80"),
            ("tcp ::1 80", "127.0.0.1 80"),
            ("udp 127.0.0.1 53", "127.0.0.1 53"),
            ("udp :: 5353", "127.0.0.1 5353"),
            ("tcp 127.0.0.1 1", "127.0.0.1 1"),
            ("tcp 127.0.0.1 65535", "127.0.0.1 65535"),
            ("tcp 192.168.5.15 80", "stays"),
            ("tcp 127.0.0.2 80", "stays"),
            ("tcp fe80::1 80", "stays"),
        ],
    ),
    (
        "the guest's sshd and the port that leads to it are never forwarded, whatever a rule says",
        [{"guestPort": 22, "hostPort": 2222, **ANY}, {"guestPort": SSH, "hostPort": 2223}],
        [
            ("tcp 0.0.0.0 22", "stays"),
            ("tcp :: 22", "stays"),
            ("tcp 127.0.0.1 22", "stays"),
            ("tcp 192.168.5.15 22", "stays"),
            ("udp 127.0.0.1 22", "stays"),
            (f"tcp 127.0.0.1 {SSH}", "stays"),
            (f"tcp ::1 {SSH}", "stays"),
            ("tcp 127.0.0.1 2222", "127.0.0.1 2222"),
        ],
    ),
    (
        "a port may have another number and address on the host",
        [{"guestPort": 80, "hostPort": 8080}, {"guestPort": 443, "hostIP": "0.0.0.0"}],
        [
            ("tcp 127.0.0.1 80", "127.0.0.1 8080"),
            ("tcp 0.0.0.0 80", "127.0.0.1 8080"),
            ("tcp ::1 80", "127.0.0.1 8080"),
            ("udp 127.0.0.1 80", "127.0.0.1 8080"),
            ("tcp 127.0.0.1 443", "0.0.0.0 443"),
            ("tcp 10.0.0.1 80", "stays"),
            ("tcp 127.0.0.1 81", "127.0.0.1 81"),
        ],
    ),
    (
        "ports of a range keep their distance from its start",
        [{"guestPortRange": [4000, 4009], "hostPortRange": [5000, 5009]}],
        [
            ("tcp 127.0.0.1 3999", "127.0.0.1 3999"),
            ("tcp 127.0.0.1 4000", "127.0.0.1 5000"),
            ("tcp 127.0.0.1 4005", "127.0.0.1 5005"),
            ("tcp 127.0.0.1 4009", "127.0.0.1 5009"),
            ("tcp 127.0.0.1 4010", "127.0.0.1 4010"),
        ],
    ),
    (
        "the first rule that fits decides",
        [{"guestPort": 80, "hostPort": 1080}, {"guestPortRange": [80, 90], "hostPortRange": [2080, 2090]}],
        [("tcp 127.0.0.1 80", "127.0.0.1 1080"), ("tcp 127.0.0.1 81", "127.0.0.1 2081")],
    ),
    (
        "a rule may be for one protocol alone",
        [{"guestPort": 53, "hostPort": 1053, "proto": "udp"}, {"guestPort": 53, "hostPort": 2053, "proto": "tcp"}],
        [("udp 127.0.0.1 53", "127.0.0.1 1053"), ("tcp 127.0.0.1 53", "127.0.0.1 2053")],
    ),
    (
        "a specific address fits itself, and what listens everywhere",
        [{"guestIP": "192.168.5.15", "guestPort": 80, "hostPort": 8080}],
        [
            ("tcp 192.168.5.15 80", "127.0.0.1 8080"),
            ("tcp 0.0.0.0 80", "127.0.0.1 8080"),
            ("tcp :: 80", "127.0.0.1 8080"),
            ("tcp 127.0.0.1 80", "127.0.0.1 80"),
            ("tcp ::1 80", "127.0.0.1 80"),
            ("tcp 192.168.5.16 80", "stays"),
        ],
    ),
    (
        "0.0.0.0 alone wants a port that listens everywhere",
        [{"guestIP": "0.0.0.0", "guestPort": 80, "hostPort": 8080}],
        [
            ("tcp 0.0.0.0 80", "127.0.0.1 8080"),
            ("tcp :: 80", "127.0.0.1 8080"),
            ("tcp 127.0.0.1 80", "127.0.0.1 80"),
            ("tcp 192.168.5.15 80", "stays"),
        ],
    ),
    (
        "guestIPMustBeZero means the same as 0.0.0.0",
        [{"guestIPMustBeZero": True, "guestPort": 80, "hostPort": 8080}],
        [("tcp 0.0.0.0 80", "127.0.0.1 8080"), ("tcp 127.0.0.1 80", "127.0.0.1 80")],
    ),
    (
        "0.0.0.0 that need not be zero fits every address",
        [{"guestPort": 80, "hostPort": 8080, **ANY}],
        [
            ("tcp 0.0.0.0 80", "127.0.0.1 8080"),
            ("tcp 127.0.0.1 80", "127.0.0.1 8080"),
            ("tcp 192.168.5.15 80", "127.0.0.1 8080"),
            ("tcp fd00::2 80", "127.0.0.1 8080"),
            ("udp ::1 80", "127.0.0.1 8080"),
        ],
    ),
    (
        "an ignored port stays",
        [{"guestPort": 80, "ignore": True, **ANY}],
        [
            ("tcp 127.0.0.1 80", "stays"),
            ("tcp 0.0.0.0 80", "stays"),
            ("udp :: 80", "stays"),
            ("tcp 127.0.0.1 81", "127.0.0.1 81"),
        ],
    ),
    (
        "ignoring one address does not ignore what listens on all of them",
        [{"guestPort": 80, "ignore": True}],
        [
            ("tcp 127.0.0.1 80", "stays"),
            ("tcp ::1 80", "stays"),
            ("tcp 0.0.0.0 80", "127.0.0.1 80"),
            ("tcp :: 80", "127.0.0.1 80"),
        ],
    ),
    (
        "ignoring what listens everywhere leaves loopback alone",
        [{"guestIP": "0.0.0.0", "guestPort": 80, "ignore": True}],
        [("tcp 0.0.0.0 80", "stays"), ("tcp :: 80", "stays"), ("tcp 127.0.0.1 80", "127.0.0.1 80")],
    ),
    (
        "what comes before an ignored range is forwarded",
        [{"guestPort": 3000}, {**ANY, "ignore": True}],
        [("tcp 127.0.0.1 3000", "127.0.0.1 3000"), ("tcp 127.0.0.1 3001", "stays"), ("udp 0.0.0.0 9", "stays")],
    ),
    (
        "all ports ignored at the start are ignored without a word",
        [{**ANY, "ignore": True}],
        [("tcp 127.0.0.1 80", "quiet"), ("udp 0.0.0.0 80", "quiet"), ("tcp 192.168.5.15 80", "quiet")],
    ),
    (
        "without a word for the protocol that is named",
        [{**ANY, "ignore": True, "proto": "udp"}, {"guestPort": 80, "hostPort": 8080}, {**ANY, "ignore": True}],
        [("udp 127.0.0.1 80", "quiet"), ("tcp 127.0.0.1 80", "127.0.0.1 8080"), ("tcp 127.0.0.1 81", "stays")],
    ),
    (
        "a run of such rules counts, up to the first other one",
        [{**IGNORE_ALL, "proto": "udp"}, {**IGNORE_ALL, "proto": "tcp"}, {"guestPort": 80}, IGNORE_ALL],
        [("udp 0.0.0.0 80", "quiet"), ("tcp 0.0.0.0 80", "quiet"), ("tcp 10.0.0.1 80", "quiet")],
    ),
    (
        "ignoring all but one port of the range is no such rule",
        [{**ANY, "guestPortRange": [2, 65535], "ignore": True}],
        [("tcp 127.0.0.1 80", "stays"), ("tcp 127.0.0.1 1", "127.0.0.1 1")],
    ),
    (
        "a port may become a socket of the host",
        [{"guestPort": 2375, "hostSocket": "docker.sock"}, {"guestPort": 2376, "hostSocket": "/run/x.sock"}],
        [("tcp 127.0.0.1 2375", "/home/i/sock/docker.sock"), ("tcp 0.0.0.0 2376", "/run/x.sock")],
    ),
    (
        "sockets of the guest are another matter",
        [{"guestSocket": "/run/docker.sock", "hostPort": 2375}],
        [("tcp 127.0.0.1 2375", "127.0.0.1 2375")],
    ),
]
CASES = [(rule, forwards, given_port, wanted) for rule, forwards, cases in TABLE for given_port, wanted in cases]


@pytest.mark.parametrize(("rule", "forwards", "guest", "wanted"), CASES)
def test_table(rule: str, forwards: list[dict[str, Any]], guest: str, wanted: str) -> None:
    assert rules(*forwards).decide(port(guest)) == end(wanted), rule


def test_the_table_is_long_enough_to_be_one() -> None:
    assert len(CASES) >= 60


def test_implicit_forwards_can_be_turned_off() -> None:
    own = rules({"guestPort": 80, "hostPort": 8080}, implicit=False)
    assert own.decide(port("tcp 127.0.0.1 80")) == HostPort(ip="127.0.0.1", port=8080)
    assert own.decide(port("tcp 127.0.0.1 81")) == STAYS


# --- a model, from the reference's sentences -------------------------------------------------------------------------

ADDRESSES = st.sampled_from(["0.0.0.0", "::", "127.0.0.1", "::1", "127.0.0.2", "192.168.5.15", "fd00::1"])
SMALL_PORTS = st.integers(20, 30)


@st.composite
def forward(draw: st.DrawFn) -> dict[str, Any]:
    first = draw(SMALL_PORTS)
    last = draw(st.integers(first, 31))
    start = draw(st.integers(1000, 1010))
    rule: dict[str, Any] = {
        "guestPortRange": [first, last],
        "hostPortRange": [start, start + last - first],
        "guestIP": draw(st.sampled_from(["0.0.0.0", "127.0.0.1", "127.0.0.2", "192.168.5.15"])),
        "proto": draw(st.sampled_from(["tcp", "udp", "any"])),
        "ignore": draw(st.booleans()),
    }
    if rule["guestIP"] == "0.0.0.0":
        rule["guestIPMustBeZero"] = draw(st.booleans())
    if draw(st.booleans()):
        rule["hostIP"] = draw(ADDRESSES)
    return rule


def model(forwards: list[dict[str, Any]], guest: GuestPort) -> HostEnd | None:
    """The five steps, with nothing prepared."""
    if guest.port in (22, SSH):
        return None
    default = {"guestIP": "127.0.0.1", "guestPortRange": [1, 65535], "hostPortRange": [1, 65535], "proto": "any"}
    for rule in [*forwards, default]:
        low, high = rule["guestPortRange"]
        if rule["proto"] not in ("any", guest.protocol) or guest.port not in range(low, high + 1):
            continue
        everywhere = guest.ip in ("0.0.0.0", "::")
        conditions = [
            everywhere,
            guest.ip == rule["guestIP"],
            guest.ip == "::1" and rule["guestIP"] == "127.0.0.1",
            rule["guestIP"] == "0.0.0.0" and rule.get("guestIPMustBeZero") is False,
        ]
        if not any(conditions):
            continue
        if rule.get("ignore"):
            if everywhere and rule["guestIP"] != "0.0.0.0":
                continue
            return None
        return HostPort(ip=rule.get("hostIP", "127.0.0.1"), port=guest.port - low + rule["hostPortRange"][0])
    return None


@given(
    st.lists(forward(), max_size=6),
    st.builds(GuestPort, protocol=st.sampled_from(PortProtocol), ip=ADDRESSES, port=SMALL_PORTS),
)
def test_the_rules_agree_with_the_model(forwards: list[dict[str, Any]], guest: GuestPort) -> None:
    decided = rules(*forwards).decide(guest)
    assert (None if isinstance(decided, Refusal) else decided) == model(forwards, guest)
