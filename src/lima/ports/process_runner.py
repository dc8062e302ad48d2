"""Runs programs to their end: the one way in which adapters do so."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What a program left. Outputs are cut at 1 MiB each."""

    argv: tuple[str, ...]
    exit_code: int
    stdout: bytes
    stderr: bytes

    @property
    def log_tail(self) -> tuple[str, ...]:
        """The last 20 lines of stderr, or of stdout where stderr is empty, without control characters."""
        text = (self.stderr or self.stdout).decode(errors="replace")
        lines = ("".join(c for c in line if c.isprintable() or c == "\t").rstrip() for line in text.splitlines())
        return tuple(line for line in lines if line)[-20:]

    @property
    def complaint(self) -> str:
        """The last line that says something, else the exit status."""
        return self.log_tail[-1] if self.log_tail else f"exit status {self.exit_code}"


class ProcessRunner(Protocol):
    """argv lists only, stdin closed unless given, an environment that is built up rather than passed on."""

    def find(self, program: str, *, purpose: str) -> str:
        """The absolute path of a program. Raises: MissingToolError, naming `purpose`."""
        ...

    async def run(
        self,
        argv: tuple[str, ...],
        *,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        inherit_env: bool = False,
        on_line: Callable[[str], None] | None = None,
        stdio: int | None = None,
    ) -> Finished:
        """Run to the end; a non-zero exit is a result. `stdio`: a descriptor that becomes the program's stdin and
        stdout, and is closed here. `on_line` hears stderr as it comes. `inherit_env` passes the
        user's own environment on (ssh, editors). A cancelled call kills and reaps the whole process group.

        Raises: MissingToolError where the program is not there.
        """
        ...
