"""A host network that several guests join."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkEndpoint:
    """Where a guest joins: a unix stream socket, the network's address and the gateway's."""

    socket: str
    subnet: str
    gateway: str


class NetworkDaemon(Protocol):
    """One network's daemon, shared by the instances on it."""

    async def ensure_running(self, network: str) -> NetworkEndpoint:
        """The endpoint of a running daemon, started if it was not. Raises: NetworkError."""
        ...

    async def is_running(self, network: str) -> bool:
        """Whether the daemon lives."""
        ...

    async def attach(self, network: str, instance: str) -> None:
        """Note that an instance uses the network. Doing it twice is no error. Raises: NetworkError."""
        ...

    async def detach(self, network: str, instance: str) -> None:
        """Note that it no longer does; the last one out stops the daemon. Doing it twice is no error."""
        ...
