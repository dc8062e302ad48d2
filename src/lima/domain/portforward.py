"""Port forwards: their defaults and their rules. Source: reference, config §1.7 and §4.1."""

import posixpath
from collections.abc import Iterator

import msgspec

from lima.domain.instance import UNIX_PATH_MAX, quote
from lima.domain.machine import HostOS
from lima.domain.problem import Problem, field_problem
from lima.domain.template import PortForward, PortRange
from lima.domain.variables import Expander, Variables

ANY_ADDRESS = "0.0.0.0"  # noqa: S104  a rule about it, nothing binds here
LOOPBACK = "127.0.0.1"
ALL_PORTS: PortRange = (1, 65535)
_NONE: PortRange = (0, 0)
_WIDE = 10


def filled_forward(
    rule: PortForward, *, directory: str, host: Variables, guest: Variables, expand: Expander
) -> PortForward:
    """`directory` is the instance's: relative host sockets lie in its `sock/`."""
    guest_ip = rule.guest_ip or (ANY_ADDRESS if rule.guest_ip_must_be_zero else LOOPBACK)
    must_be_zero = rule.guest_ip_must_be_zero
    guest_port, host_port = rule.guest_port or 0, rule.host_port or 0
    guest_range = rule.guest_port_range or _NONE
    if guest_range == _NONE:
        guest_range = (guest_port, guest_port) if guest_port else ALL_PORTS
    host_range = rule.host_port_range or _NONE
    if host_range == _NONE and not rule.host_socket:
        host_range = (host_port, host_port) if host_port else guest_range
    return msgspec.structs.replace(
        rule,
        guest_ip=guest_ip,
        guest_ip_must_be_zero=guest_ip == ANY_ADDRESS if must_be_zero is None else must_be_zero,
        guest_port=guest_port or None,
        guest_port_range=guest_range,
        guest_socket=expand(rule.guest_socket, guest, "guestSocket") or None,
        host_ip=rule.host_ip or LOOPBACK,
        host_port=host_port or None,
        host_port_range=host_range,
        host_socket=_host_socket(expand(rule.host_socket, host, "hostSocket"), directory),
        proto=rule.proto or "any",
        reverse=rule.reverse or None,
        ignore=rule.ignore or None,
        static=rule.static or None,
    )


def _host_socket(path: str, directory: str) -> str | None:
    if not path or path.startswith("/"):
        return path or None
    return posixpath.normpath(posixpath.join(directory, "sock", path))


def forward_problems(rules: tuple[PortForward, ...], *, host_os: HostOS) -> Iterator[Problem]:
    """`rules` are filled."""
    for index, rule in enumerate(rules):
        yield from _rule_problems(rule, f"portForwards[{index}]", host_os)


def _rule_problems(rule: PortForward, field: str, host_os: HostOS) -> Iterator[Problem]:
    if rule.guest_ip_must_be_zero and rule.guest_ip != ANY_ADDRESS:
        yield field_problem(
            f"{field}.guestIPMustBeZero", f"can only be true when field `{field}.guestIP` is {ANY_ADDRESS}"
        )
    sides = (
        ("guest", rule.guest_port or 0, rule.guest_port_range or _NONE, rule.guest_socket),
        ("host", rule.host_port or 0, rule.host_port_range or _NONE, rule.host_socket),
    )
    for side, port, ports, socket in sides:
        if port and socket:
            yield field_problem(f"{field}.{side}Port", f"must be 0 when field `{field}.{side}Socket` is set")
        if port and port != ports[0]:
            yield field_problem(f"{field}.{side}Port", f"must match field `{field}.{side}PortRange[0]`")
    for side, port, ports, socket in sides:
        if port:
            yield from port_problems(f"{field}.{side}Port", port)
        if side == "guest" or not socket:
            for end, number in enumerate(ports):
                yield from port_problems(f"{field}.{side}PortRange[{end}]", number)
        if ports[1] < ports[0]:
            yield field_problem(
                f"{field}.{side}PortRange[1]", f"must be greater than or equal to field `{field}.{side}PortRange[0]`"
            )
    yield from _socket_problems(rule, field, host_os)
    if rule.proto not in ("tcp", "udp", "any"):
        yield field_problem(f"{field}.proto", "must be `tcp`, `udp`, or `any`")
    if rule.reverse:
        for socket in (rule.guest_socket, rule.host_socket):
            if not socket:
                yield field_problem(f"{field}.reverse", "must be false")


def _socket_problems(rule: PortForward, field: str, host_os: HostOS) -> Iterator[Problem]:
    guest_ports, host_ports = _length(rule.guest_port_range), _length(rule.host_port_range)
    if rule.guest_socket:
        if not rule.guest_socket.startswith("/"):
            yield field_problem(f"{field}.guestSocket", f"must be an absolute path, but is {quote(rule.guest_socket)}")
        if not rule.host_socket and host_ports > 1:
            yield field_problem(f"{field}.guestSocket", "can only be mapped to a single port or socket. not a range")
    if rule.host_socket:
        limit, length = UNIX_PATH_MAX.get(host_os, 104), len(rule.host_socket.encode(errors="surrogatepass"))
        if not rule.guest_socket and guest_ports > 1:
            yield field_problem(f"{field}.hostSocket", "can only be mapped from a single port or socket. not a range")
        if length >= limit:
            yield field_problem(
                f"{field}.hostSocket", f"must be less than UNIX_PATH_MAX={limit} characters, but is {length}"
            )
    elif guest_ports != host_ports:
        yield field_problem(
            f"{field}.hostPortRange", f"must specify the same number of ports as field `{field}.guestPortRange`"
        )


def _length(ports: PortRange | None) -> int:
    low, high = ports or _NONE
    return high - low + 1


def port_problems(field: str, port: int) -> Iterator[Problem]:
    """The rule that every port number keeps."""
    rules = (
        (port < 0, "be > 0"),
        (port == 0, "be set"),
        (port == 22, "not be 22"),
        (port > 65535, "be < 65536"),
    )
    yield from (field_problem(field, f"must {rule}") for broken, rule in rules if broken)


def plain_mode_warnings(rules: tuple[PortForward, ...]) -> Iterator[str]:
    """In plain mode no guest agent says which ports are open: all of a range are forwarded."""
    for index, rule in enumerate(rules):
        guest, host = _length(rule.guest_port_range), _length(rule.host_port_range)
        if rule.static and max(guest, host) > _WIDE:
            yield (
                f"[plain mode] portForwards[{index}] covers a range of more than {_WIDE} ports"
                f" (guest: {guest}, host: {host})."
                " All ports will be forwarded unconditionally, which may be inefficient."
            )
