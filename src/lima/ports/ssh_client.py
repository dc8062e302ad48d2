"""The ssh client program of this host."""

from typing import Protocol


class SshClient(Protocol):
    """What options the client understands."""

    @property
    def command(self) -> tuple[str, ...]:
        """Leading words of the command line: `$SSH` split, or `ssh`."""
        ...

    def version(self) -> tuple[int, int, int]:
        """Of OpenSSH; (0, 0, 0) where it cannot be told. Cached by the program's path, size and mtime."""
        ...

    def has_fast_aes(self) -> bool:
        """Whether the CPU accelerates AES: decides which ciphers come first."""
        ...
