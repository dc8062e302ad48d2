"""The way into a running guest."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteResult:
    """What a remote command left. Outputs are cut at 1 MiB each."""

    exit_code: int
    stdout: bytes
    stderr: bytes


class Transport(Protocol):
    """One guest's ssh, over one shared connection.

    All methods raise UnreachableError while nobody answers, AuthenticationError where the guest refuses the key,
    HostKeyMismatchError where somebody else answers and MissingToolError where this host has no ssh client.
    """

    async def probe(self) -> str:
        """The server's banner (`SSH-2.0-…`), read on a connection of its own: a port that accepts proves nothing.

        Raises:
            UnreachableError: no banner within the adapter's short limit (2 s).
        """
        ...

    async def connect(self) -> None:
        """Return once the shared connection stands. A live one is kept, one that has died is replaced."""
        ...

    async def is_connected(self) -> bool:
        """Whether the shared connection answers."""
        ...

    async def wait_lost(self) -> None:
        """Return when the shared connection has ended, at once where there is none."""
        ...

    async def run(
        self, argv: tuple[str, ...], *, stdin: bytes = b"", on_line: Callable[[str], None] | None = None
    ) -> RemoteResult:
        """Run a command (words, not a shell line) over the shared connection. A non-zero exit is a result.
        `on_line` hears its stderr as it comes; a cancelled call closes the command's pipes."""
        ...

    async def attach(self, argv: tuple[str, ...], stdio: int) -> RemoteResult:
        """As `run`, for a command that talks to the other end of `stdio`, a descriptor that is closed here; its result
        has no stdout. A cancelled call ends the command's input and output."""
        ...

    async def forward(self, listen: str, connect: str, *, reverse: bool = False) -> None:
        """An address of this host that leads to one in the guest, over the shared connection and for its life; with
        `reverse`, one in the guest that leads to this host. Each is the path of a unix socket or `IP:PORT`. A socket
        at `listen` is replaced, and so is an earlier forward of the same.

        Raises:
            RemoteCommandError: the connection stands, and the forward was refused.
        """
        ...

    async def carries_ports(self) -> bool:
        """Whether the guest's sshd lets connections to its own ports through (`AllowTcpForwarding no` does not). True
        where that cannot be found out because the connection is gone."""
        ...

    async def cancel(self, listen: str, connect: str, *, reverse: bool = False) -> None:
        """End a forward; connections that go through it go on. One that there is not is no error, nor is it when
        nothing is connected."""
        ...

    async def close(self) -> None:
        """End the shared connection. Doing it twice is no error."""
        ...
