"""Which port of the guest becomes which address of the host. Source: reference, runtime §9.1 and §9.2.

The rules of a template are filled (`portforward.filled_forward`); around them stand implicit ones. The first rule that
fits a port decides.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lima.domain.guest_ports import GuestPort, PortProtocol
from lima.domain.portforward import ALL_PORTS, ANY_ADDRESS, LOOPBACK
from lima.domain.template import PortForward, PortRange

_UNSPECIFIED = frozenset({ANY_ADDRESS, "::"})
_LOOPBACK_6 = "::1"
_SSH_PORT = 22


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSocket:
    """A unix socket of the host. `path` is absolute."""

    path: str

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPort:
    """A port of the host."""

    ip: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.ip}]" if ":" in self.ip else self.ip
        return f"{host}:{self.port}"


HostEnd = HostSocket | HostPort


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A port that stays in the guest. `is_quiet`: the template ignores all of its kind, so that nobody needs to be told."""

    is_quiet: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardRule:
    """One rule with everything filled in. `host` is where the first port of `guest_ports` goes, None where the ports are
    ignored; `protocol` None is any."""

    guest_ip: str
    host: HostEnd | None
    guest_ports: PortRange = ALL_PORTS
    protocol: PortProtocol | None = None
    must_be_zero: bool = False

    def fits(self, port: GuestPort) -> bool:
        """Whether the rule speaks of this port, be it to forward or to ignore it."""
        first, last = self.guest_ports
        if self.protocol not in (None, port.protocol) or not first <= port.port <= last:
            return False
        return (
            _is_on_every_address(port)
            or port.address == self.guest_ip
            or (port.address == _LOOPBACK_6 and self.guest_ip == LOOPBACK)
            or (self.guest_ip == ANY_ADDRESS and not self.must_be_zero)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardRules:
    """All rules of an instance, in order. `quiet`: protocols of which ignored ports are not worth a line."""

    rules: tuple[ForwardRule, ...]
    quiet: frozenset[PortProtocol] = frozenset()

    def decide(self, port: GuestPort) -> HostEnd | Refusal:
        """What becomes of a port: the first rule that fits it says so."""
        for rule in self.rules:
            if not rule.fits(port):
                continue
            if rule.host is not None:
                return _shifted(rule.host, port.port - rule.guest_ports[0])
            if _is_on_every_address(port) and rule.guest_ip not in _UNSPECIFIED:
                continue  # the rule takes one address away, the others are still there
            break
        return Refusal(is_quiet=port.protocol in self.quiet)


def _shifted(end: HostEnd, by: int) -> HostEnd:
    """Ports keep their distance from the start of the range."""
    return HostPort(ip=end.ip, port=end.port + by) if isinstance(end, HostPort) else end


def _is_on_every_address(port: GuestPort) -> bool:
    return port.address in _UNSPECIFIED


def forward_rules(forwards: Sequence[PortForward], *, ssh_local_port: int, implicit: bool = True) -> ForwardRules:
    """`forwards` are filled. `implicit`: whether ports of the guest's loopback that no rule names are forwarded to the
    same port of the host's. The guest's sshd is never forwarded: it has its own way."""
    never = tuple(
        ForwardRule(guest_ip=ANY_ADDRESS, guest_ports=(number, number), host=None)
        for number in (_SSH_PORT, ssh_local_port)
        if number
    )
    own = tuple(_rule(forward) for forward in forwards if not forward.guest_socket)
    last = (ForwardRule(guest_ip=LOOPBACK, host=HostPort(ip=LOOPBACK, port=ALL_PORTS[0])),) if implicit else ()
    return ForwardRules(rules=(*never, *own, *last), quiet=_quiet(forwards))


def _rule(forward: PortForward) -> ForwardRule:
    ports = forward.guest_port_range or ALL_PORTS
    return ForwardRule(
        guest_ip=forward.guest_ip or LOOPBACK,
        guest_ports=ports,
        host=None if forward.ignore else _host_end(forward, ports),
        protocol=None if forward.proto in (None, "any") else PortProtocol(forward.proto),
        must_be_zero=bool(forward.guest_ip_must_be_zero),
    )


def _host_end(forward: PortForward, ports: PortRange) -> HostEnd:
    if forward.host_socket:
        return HostSocket(path=forward.host_socket)
    return HostPort(ip=forward.host_ip or LOOPBACK, port=(forward.host_port_range or ports)[0])


def _quiet(forwards: Iterable[PortForward]) -> frozenset[PortProtocol]:
    """Only the unbroken run of rules at the start that ignore every port counts."""
    quiet: set[PortProtocol] = set()
    for forward in forwards:
        if not forward.ignore or forward.guest_port_range not in (None, ALL_PORTS):
            break
        quiet |= set(PortProtocol) if forward.proto in (None, "any") else {PortProtocol(forward.proto)}
    return frozenset(quiet)
