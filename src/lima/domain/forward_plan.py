"""Which addresses of the host are to listen now, given the rules and what listens in the guest. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from lima.domain.forwarding import ForwardRules, HostEnd, HostPort, HostSocket, Refusal, forward_rules
from lima.domain.guest_ports import GuestPort, PortProtocol
from lima.domain.portforward import ALL_PORTS, LOOPBACK
from lima.domain.template import PortForward

MAX_STATIC = 64
"""Ports of one static rule: each costs two processes whenever ssh connects."""
_OFTEN_TAKEN = frozenset(
    {(PortProtocol.TCP, 53), *((PortProtocol.UDP, number) for number in (53, 323, 5353, 5355))}
)  # fmt: skip

GuestEnd: TypeAlias = GuestPort | str
"""A str is the path of a unix socket in the guest."""


@dataclass(frozen=True, slots=True)
class Place:
    """What may listen once on a host."""

    protocol: PortProtocol
    end: HostEnd

    def __str__(self) -> str:
        return f"{self.protocol.upper()} {self.end}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to listen and where each leads, and ports that stay in the guest and of which somebody should know."""

    forwards: Mapping[Place, GuestEnd]
    refused: frozenset[GuestPort]


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardPlan:
    """`static`: what OpenSSH forwards, agent or not. `sockets`: of the guest, from the time its agent is there.
    `reverse`: sockets that listen in the guest, and the host's that each leads to. `omitted`: sentences about rules that come to nothing."""

    rules: ForwardRules
    static: Mapping[Place, GuestPort]
    sockets: Mapping[Place, str]
    reverse: Mapping[str, str]
    omitted: tuple[str, ...] = ()

    def wanted(self, ports: Iterable[GuestPort], *, standing: Mapping[Place, GuestEnd]) -> Wanted:
        """`standing`: where the present forwards lead. Of several ports with one place on the host, the one that has it
        keeps it, else the first in order gets it."""
        forwards: dict[Place, GuestEnd] = dict(self.sockets)
        refused = set()
        for port in sorted(ports):
            end = self.rules.decide(port)
            if isinstance(end, Refusal):
                if not end.is_quiet:
                    refused.add(port)
                continue
            if isinstance(end, HostSocket) and port.protocol is PortProtocol.UDP:
                refused.add(port)  # a stream keeps no datagrams apart
                continue
            place = Place(port.protocol, end)
            if place not in self.static and (place not in forwards or standing.get(place) == port):
                forwards[place] = port
        return Wanted(forwards=forwards, refused=frozenset(refused))


def forward_plan(
    forwards: Sequence[PortForward], *, ssh_local_port: int, implicit: bool = True, plain: bool = False
) -> ForwardPlan:
    """`forwards` are filled."""
    reverse = tuple(forward for forward in forwards if forward.reverse)
    forwards = tuple(forward for forward in forwards if not forward.reverse)
    return ForwardPlan(
        rules=forward_rules(forwards, ssh_local_port=ssh_local_port, implicit=implicit),
        static={place: port for forward in forwards for place, port in _static(forward)},
        sockets={
            Place(PortProtocol.TCP, _end(forward)): forward.guest_socket
            for forward in forwards
            if forward.guest_socket and not forward.ignore
        },
        reverse={
            forward.guest_socket: forward.host_socket
            for forward in reverse
            if forward.guest_socket and forward.host_socket and not forward.ignore
        },
        omitted=tuple(
            f"Not forwarding {_name(forward)}: without a guest agent only single TCP ports can be forwarded"
            for forward in forwards
            if plain and not forward.ignore and not any(_static(forward))
        ),
    )


def is_often_taken(guest: GuestEnd) -> bool:
    """Whether hosts have a service of their own there, as a rule."""
    return isinstance(guest, GuestPort) and (guest.protocol, guest.port) in _OFTEN_TAKEN


def _static(forward: PortForward) -> Iterator[tuple[Place, GuestPort]]:
    first, last = forward.guest_port_range or ALL_PORTS
    if not forward.static or forward.ignore or forward.guest_socket or forward.host_socket:
        return
    if forward.proto == PortProtocol.UDP or last - first >= MAX_STATIC:
        return
    host = (forward.host_port_range or (first, last))[0]
    for number in range(first, last + 1):
        end = HostPort(ip=forward.host_ip or LOOPBACK, port=host + number - first)
        yield Place(PortProtocol.TCP, end), GuestPort(PortProtocol.TCP, forward.guest_ip or LOOPBACK, number)


def _end(forward: PortForward) -> HostEnd:
    if forward.host_socket:
        return HostSocket(path=forward.host_socket)
    return HostPort(ip=forward.host_ip or LOOPBACK, port=(forward.host_port_range or ALL_PORTS)[0])


def _name(forward: PortForward) -> str:
    first, last = forward.guest_port_range or ALL_PORTS
    ports = str(first) if first == last else f"{first}-{last}"
    return forward.guest_socket or f"{(forward.proto or 'any').upper()} {forward.guest_ip or LOOPBACK}:{ports}"
