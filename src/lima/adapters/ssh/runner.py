"""Runs the ssh programs: bounded output, own process group, never left behind by a cancelled call."""

import asyncio
import contextlib
import os
import shutil
import signal
from dataclasses import dataclass

from lima.domain.errors import MissingToolError

OUTPUT_LIMIT = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What a program left. Outputs are cut at OUTPUT_LIMIT bytes."""

    exit_code: int
    stdout: bytes
    stderr: bytes

    @property
    def complaint(self) -> str:
        """The last line of stderr that says something."""
        lines = [line.strip() for line in self.stderr.decode(errors="replace").splitlines() if line.strip()]
        return lines[-1] if lines else f"exit status {self.exit_code}"


def program(name: str, *, purpose: str) -> str:
    """The absolute path of a program. Raises: MissingToolError."""
    found = shutil.which(name)
    if found is None:
        raise MissingToolError(
            f"`{name}` is not installed; it is needed for {purpose}",
            tools=(name,),
            hint="`limactl doctor` shows the command that installs what is missing",
        )
    return found


async def run(argv: tuple[str, ...], *, stdin: bytes = b"") -> Finished:
    """Run to the end. A cancelled call kills and reaps the whole process group."""
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        stdout, stderr, _ = await asyncio.gather(
            _bounded(process.stdout), _bounded(process.stderr), _feed(process.stdin, stdin)
        )
        code = await process.wait()
    except BaseException:
        await kill(process)
        raise
    return Finished(exit_code=code, stdout=stdout, stderr=stderr)


async def kill(process: asyncio.subprocess.Process) -> None:
    """End a program that runs in its own session, and reap it."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await asyncio.shield(process.wait())


async def _bounded(stream: asyncio.StreamReader | None) -> bytes:
    kept = bytearray()
    while stream is not None and (chunk := await stream.read(65536)):
        kept += chunk[: OUTPUT_LIMIT - len(kept)]
    return bytes(kept)


async def _feed(stream: asyncio.StreamWriter | None, data: bytes) -> None:
    if stream is None:
        return
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        stream.write(data)
        await stream.drain()
    stream.close()
