"""Programs run by asyncio, each in a session of its own."""

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import Callable, Mapping

from lima.domain.errors import MissingToolError
from lima.ports.process_runner import Finished

OUTPUT_LIMIT = 1 << 20
POLITE_S = 3.0
PASSED_ON = ("PATH", "HOME", "TMPDIR", "XDG_CACHE_HOME", "http_proxy", "https_proxy", "no_proxy", "ftp_proxy")
SBIN = "/usr/local/sbin:/usr/sbin:/sbin"
"""mke2fs and its like are not on an ordinary user's PATH on Debian."""


class AsyncProcessRunner:
    """Keeps at most 1 MiB of each output, reads and drops the rest."""

    def find(self, program: str, *, purpose: str) -> str:
        found = shutil.which(program) or shutil.which(program, path=SBIN)
        if found is None:
            raise MissingToolError(
                f"`{program}` is not installed; it is needed for {purpose}",
                tools=(program,),
                hint="`limactl doctor` shows the one command that installs what is missing",
            )
        return found

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
        environment = dict(os.environ) if inherit_env else _clean_environment()
        given = asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL
        try:
            program = self.find(argv[0], purpose="this step")
            process = await asyncio.create_subprocess_exec(
                program,
                *argv[1:],
                stdin=given if stdio is None else stdio,
                stdout=asyncio.subprocess.PIPE if stdio is None else stdio,
                stderr=asyncio.subprocess.PIPE,
                env=environment | dict(env or {}),
                cwd=cwd,
                start_new_session=True,
            )
        finally:
            if stdio is not None:
                os.close(stdio)
        try:
            stdout, stderr, _ = await asyncio.gather(
                _bounded(process.stdout, None), _bounded(process.stderr, on_line), _feed(process.stdin, stdin)
            )
            code = await process.wait()
        except BaseException:
            await _kill(process)
            raise
        return Finished(argv=argv, exit_code=code, stdout=stdout, stderr=stderr)


def _clean_environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    kept["PATH"] = f"{kept.get('PATH', '/usr/bin:/bin')}:{SBIN}"
    return kept | {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}


async def _kill(process: asyncio.subprocess.Process) -> None:
    """Politely first: mmdebstrap removes what only its own user namespace can remove."""
    for number, seconds in ((signal.SIGTERM, POLITE_S), (signal.SIGKILL, None)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        ended = asyncio.ensure_future(process.wait())
        await asyncio.shield(asyncio.wait((ended,), timeout=seconds))
        if ended.done():
            return
        ended.cancel()


async def _bounded(stream: asyncio.StreamReader | None, on_line: Callable[[str], None] | None) -> bytes:
    """The tail of the output, OUTPUT_LIMIT bytes at most; `on_line` hears each line (progress bars end theirs in CR)."""
    kept = bytearray()
    pending = b""
    while stream is not None and (chunk := await stream.read(65536)):
        kept += chunk
        if len(kept) > 2 * OUTPUT_LIMIT:
            del kept[:-OUTPUT_LIMIT]
        if on_line is not None:
            *lines, pending = (pending[-4096:] + chunk).replace(b"\r", b"\n").split(b"\n")
            for line in lines:
                if line.strip():
                    on_line(line.decode(errors="replace").strip())
    return bytes(kept[-OUTPUT_LIMIT:])


async def _feed(stream: asyncio.StreamWriter | None, data: bytes) -> None:
    if stream is None:
        return
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        stream.write(data)
        await stream.drain()
    stream.close()
