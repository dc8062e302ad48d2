"""Names that a guest can look up and no other name server knows. Source: reference, runtime §9.6."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass

from lima.domain.config import InstanceConfig

HOST = "host.lima.internal"
DOMAIN = "lima.internal"


@dataclass(frozen=True, slots=True, kw_only=True)
class NameServerPorts:
    """Where an instance's name server listens, on the host's loopback."""

    udp: int
    tcp: int


def wants_name_server(config: InstanceConfig) -> bool:
    """Whether the guest is to ask us. A plain guest has no boot script that would lead its questions here."""
    return config.host_resolver.enabled and not config.dns and not config.plain and config.vm_type == "qemu"


def canonical(name: str) -> str:
    """As names are compared: without regard to case and to the dot at the end."""
    return name.lower().rstrip(".")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What is known of a name. `aliases` are the names that it stands for, in order, itself first.

    `address` is where they lead, or None where the last of `aliases` is another server's matter (`is_dead_end` False)
    or where they lead in a circle (`is_dead_end` True).
    """

    aliases: tuple[str, ...]
    address: str | None = None
    is_dead_end: bool = False


@dataclass(frozen=True, slots=True)
class HostNames:
    """A table of names: addresses as canonical text, or other names."""

    table: Mapping[str, str]

    def find(self, name: str) -> Found | None:
        """What the table says of a name, None where it says nothing."""
        aliases = [canonical(name)]
        while (value := self.table.get(aliases[-1])) is not None:
            address = _address(value)
            if address is not None:
                return Found(aliases=tuple(aliases), address=address)
            target = canonical(value)
            if target in aliases:
                return Found(aliases=tuple(aliases), is_dead_end=True)
            aliases.append(target)
        return Found(aliases=tuple(aliases)) if len(aliases) > 1 else None

    def name_of(self, address: str) -> str | None:
        """The first name that has this address itself, of those that the table has."""
        wanted = _address(address)
        return next((name for name, value in self.table.items() if wanted and _address(value) == wanted), None)


def host_names(hosts: Mapping[str, str], *, instance: str, gateway: str, guest_ip: str) -> HostNames:
    """The names of an instance: the host, the guest itself, and those of `hostResolver.hosts`, which win."""
    own = {HOST: gateway, f"lima-{instance}.internal": guest_ip, f"lima-{instance}": guest_ip}
    table = {name: address for name, address in own.items() if address}
    return HostNames(table | {canonical(name): value for name, value in hosts.items()})


def _address(value: str) -> str | None:
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        return None
