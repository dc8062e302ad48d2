"""Ports that programs in the guest listen on, as its agent reports them. Pure; the guest is hostile.

Nothing here becomes a path or a name on the host: a port is a protocol, an address that is written one way only, and a
number. At most MAX_PORTS are known at a time.
"""

import ipaddress
from dataclasses import dataclass
from enum import StrEnum

MAX_PORTS = 4096
MAX_ERRORS = 20
MAX_TEXT = 200
_MAX_ADDRESS = 45
"""The longest text of an IPv6 address."""


class PortProtocol(StrEnum):
    """What a port speaks."""

    TCP = "tcp"
    UDP = "udp"


_PROTOCOLS = frozenset(str(protocol) for protocol in PortProtocol)


@dataclass(frozen=True, slots=True, order=True)
class GuestPort:
    """A port of the guest. `address` is an IP address in its shortest form, `port` 1 to 65535."""

    protocol: PortProtocol
    address: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PortsChanged:
    """One report of the agent: what is new, what is gone, and what it could not find out."""

    added: tuple[GuestPort, ...] = ()
    removed: tuple[GuestPort, ...] = ()
    errors: tuple[str, ...] = ()


def accepted_port(protocol: str, address: str, port: int) -> GuestPort | None:
    """The port that the guest names, or None for what cannot be one."""
    if protocol not in _PROTOCOLS or not 0 < port < 65536 or len(address) > _MAX_ADDRESS or "%" in address:
        return None
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return None
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return GuestPort(PortProtocol(protocol), str(ip), port)


def accepted_text(text: str) -> str:
    """What may be shown of a sentence from the guest: printable, one line, MAX_TEXT characters."""
    return "".join(c for c in text[:MAX_TEXT] if c.isprintable())


def after(ports: frozenset[GuestPort], change: PortsChanged) -> frozenset[GuestPort]:
    """The ports once `change` has happened. Removing what is not there and adding what is are no errors; what would be
    more than MAX_PORTS is not taken."""
    left = ports.difference(change.removed)
    new = [port for port in dict.fromkeys(change.added) if port not in left]
    return left.union(new[: max(MAX_PORTS - len(left), 0)])
