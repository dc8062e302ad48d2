"""What is to listen on the host, given the rules and what listens in the guest."""

from typing import Any

import pytest

from lima.domain.forward_plan import MAX_STATIC, ForwardPlan, Place, forward_plan, is_often_taken
from lima.domain.forwarding import HostEnd, HostPort, HostSocket
from lima.domain.guest_ports import GuestPort, PortProtocol
from lima.domain.portforward import filled_forward
from lima.domain.template import PortForward

TCP, UDP = PortProtocol.TCP, PortProtocol.UDP


def plan(*rules: dict[str, Any], implicit: bool = True, plain: bool = False) -> ForwardPlan:
    filled = [
        filled_forward(
            PortForward(**rule), directory="/i", host={}, guest={}, expand=lambda text, _known, _field: text or ""
        )
        for rule in rules
    ]
    return forward_plan(filled, ssh_local_port=60022, implicit=implicit, plain=plain)


def tcp(port: int, address: str = "127.0.0.1") -> GuestPort:
    return GuestPort(TCP, address, port)


def at(port: int, ip: str = "127.0.0.1", protocol: PortProtocol = TCP) -> Place:
    return Place(protocol, HostPort(ip=ip, port=port))


def test_ports_of_loopback_go_to_the_same_port_of_the_host() -> None:
    udp = GuestPort(UDP, "127.0.0.1", 5000)
    wanted = plan().wanted([tcp(8080), udp, tcp(22, "0.0.0.0")], standing={})
    assert wanted.forwards == {at(8080): tcp(8080), at(5000, protocol=UDP): udp}
    assert wanted.refused == {tcp(22, "0.0.0.0")}


def test_nothing_is_forwarded_unasked_where_the_template_says_so() -> None:
    wanted = plan({"guest_port": 80, "host_port": 8080}, implicit=False).wanted([tcp(80), tcp(81)], standing={})
    assert wanted.forwards == {at(8080): tcp(80)}
    assert wanted.refused == {tcp(81)}


def test_ports_that_are_ignored_altogether_are_not_spoken_of() -> None:
    wanted = plan({"ignore": True}).wanted([tcp(8080)], standing={})
    assert (wanted.forwards, wanted.refused) == ({}, frozenset())


def test_of_two_ports_with_one_place_the_one_that_has_it_keeps_it() -> None:
    both = [tcp(80, "::1"), tcp(80)]
    assert plan().wanted(both, standing={}).forwards == {at(80): tcp(80)}
    assert plan().wanted(both, standing={at(80): tcp(80, "::1")}).forwards == {at(80): tcp(80, "::1")}


def test_datagrams_do_not_go_to_a_unix_socket() -> None:
    port, udp = tcp(80), GuestPort(UDP, "127.0.0.1", 80)
    wanted = plan({"guest_port": 80, "host_socket": "web.sock"}).wanted([port, udp], standing={})
    assert wanted.forwards == {Place(TCP, HostSocket(path="/i/sock/web.sock")): port}
    assert wanted.refused == {udp}


def test_sockets_of_the_guest_are_wanted_whatever_listens() -> None:
    rules = (
        {"guest_socket": "/run/a.sock", "host_socket": "/h/a.sock"},
        {"guest_socket": "/run/b.sock", "host_port": 8000},
        {"guest_socket": "/run/c.sock", "host_socket": "/h/c.sock", "ignore": True},
    )
    assert plan(*rules).wanted([], standing={}).forwards == {
        Place(TCP, HostSocket(path="/h/a.sock")): "/run/a.sock",
        at(8000): "/run/b.sock",
    }


def test_static_ports_are_left_to_ssh() -> None:
    one = plan({"guest_port_range": (80, 81), "host_port_range": (8080, 8081), "static": True})
    assert one.static == {at(8080): tcp(80), at(8081): tcp(81)}
    assert one.wanted([tcp(80), tcp(82)], standing={}).forwards == {at(82): tcp(82)}
    assert one.omitted == ()


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        ({"static": True, "guest_port": 53, "proto": "udp"}, "UDP 127.0.0.1:53"),
        ({"static": True, "guest_port": 80, "host_socket": "/h"}, "ANY 127.0.0.1:80"),
        ({"static": True, "guest_socket": "/g", "host_socket": "/h"}, "/g"),
        ({"static": True, "guest_port_range": (1000, 1000 + MAX_STATIC)}, "ANY 127.0.0.1:1000-1064"),
    ],
)
def test_what_needs_an_agent_is_told_in_plain_mode_only(rule: dict[str, Any], name: str) -> None:
    assert plan(rule).omitted == ()
    (sentence,) = plan(rule, plain=True).omitted
    assert sentence.startswith(f"Not forwarding {name}: ")
    assert plan(rule).static == {}


def test_ignored_rules_are_not_static_and_no_omission() -> None:
    one = plan({"static": True, "guest_port": 80, "ignore": True}, {"static": True, "guest_port": 81}, plain=True)
    assert one.static == {at(81): tcp(81)}
    assert one.omitted == ()


def test_dns_is_often_taken() -> None:
    assert is_often_taken(tcp(53))
    assert is_often_taken(GuestPort(UDP, "0.0.0.0", 5353))
    assert not is_often_taken(tcp(5353))
    assert not is_often_taken("/run/a.sock")


@pytest.mark.parametrize(
    ("end", "text"),
    [
        (HostPort(ip="::1", port=80), "TCP [::1]:80"),
        (HostPort(ip="127.0.0.1", port=80), "TCP 127.0.0.1:80"),
        (HostSocket(path="/h"), "TCP /h"),
    ],
)
def test_places_have_a_text(end: HostEnd, text: str) -> None:
    assert str(Place(TCP, end)) == text


def test_a_reverse_rule_is_none_of_the_others() -> None:
    reverse = {"guest_socket": "/run/g.sock", "host_socket": "/h.sock", "reverse": True}
    made = plan(reverse, {**reverse, "guest_socket": "/run/i.sock", "ignore": True})
    assert made.reverse == {"/run/g.sock": "/h.sock"}
    assert (made.sockets, made.static, made.omitted) == ({}, {}, ())
    assert made.wanted([tcp(80)], standing={}).forwards == {at(80): tcp(80)}
