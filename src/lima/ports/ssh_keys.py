"""The keys that ssh needs: the user's own pair and the host key of each instance."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class HostKey:
    """An ed25519 host key: `private` in OpenSSH's own format, `public` as `ssh-ed25519 AAAA…` without a comment."""

    private: str
    public: str


class SshKeys(Protocol):
    """Makes and reads keys. Nothing secret leaves it but through the return value."""

    async def identity(self) -> str:
        """Path of the private key for all guests (`_config/user`), made on first use under a lock.

        Raises:
            MissingToolError: no ssh-keygen. StorageError: it could not be written.
        """
        ...

    def authorized(self, *, with_dot_ssh: bool) -> tuple[str, ...]:
        """Public keys that guests accept: ours, and with `with_dot_ssh` every sound `~/.ssh/*.pub`."""
        ...

    def extra_identities(self) -> tuple[str, ...]:
        """Private keys beside sound `~/.ssh/*.pub` files."""
        ...

    async def new_host_key(self) -> HostKey:
        """A fresh host key. Raises: MissingToolError."""
        ...
