"""The name server of one instance, which the guest asks instead of the host's."""

from collections.abc import Sequence
from typing import Protocol

from lima.domain.hostnames import NameServerPorts


class NameServer(Protocol):
    """Answers on loopback for as long as it runs."""

    async def start(self, ports: NameServerPorts | None = None) -> NameServerPorts:
        """Listen on these ports, without them on any. Raises: NetworkError where they cannot be had."""
        ...

    async def stop(self) -> None:
        """Listen no longer. Doing it twice is no error."""
        ...


class SystemNames(Protocol):
    """The resolver of this host, with all that it knows: hosts file, search domains, mDNS, split DNS."""

    async def addresses(self, name: str, *, ipv6: bool) -> Sequence[str] | None:
        """The addresses of one family, empty where there are none, None where the resolver could not say."""
        ...

    async def canonical_name(self, name: str) -> str | None:
        """The name that an alias stands for, None where it is none or the resolver could not say."""
        ...

    async def name_of(self, address: str) -> str | None:
        """The name of an address, None where it has none or the resolver could not say."""
        ...


class UpstreamServers(Protocol):
    """The name servers that this host is configured with, asked directly."""

    async def ask(self, query: bytes, *, stream: bool) -> bytes | None:
        """The first answer to a query in wire format, with the query's id, or None where none came. `stream`: whoever
        asks can take an answer of any length."""
        ...
