"""Programs of the guest, run with bounds."""

import asyncio
import contextlib
import os
import signal
from subprocess import DEVNULL, PIPE

ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C"}


def find(name: str) -> "str | None":
    """Path of a program, None where the guest has none."""
    paths = [os.path.join(folder, name) for folder in ENVIRONMENT["PATH"].split(":")]
    return next((path for path in paths if os.access(path, os.X_OK)), None)


async def start(argv: "list[str]", *, limit: int = 1 << 16, **environment: str) -> "asyncio.subprocess.Process":
    """A child whose output is read by the caller, at most `limit` bytes ahead."""
    return await asyncio.create_subprocess_exec(
        *argv,
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=DEVNULL,
        env=dict(ENVIRONMENT, **environment),
        limit=limit,
        start_new_session=True,
    )


async def end(process: "asyncio.subprocess.Process") -> int:
    """Kill what still runs, with all that it started, and reap it: a grandchild would keep the pipe open."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    # asyncio calls a process ended when its pipe is, and a reader that was stopped for its limit never sees that
    while True:
        try:
            if not await process.stdout.read(1 << 16):
                break
        except RuntimeError:
            await asyncio.sleep(0)  # Python 3.6: a reader that was cancelled leaves at the loop's next turn
    return await process.wait()


async def output(argv: "list[str]", *, most: int, seconds: float, **environment: str) -> "bytes | None":
    """What the program printed; None if it failed, printed more than `most` bytes or took longer than `seconds`."""
    try:
        process = await start(argv, **environment)
    except OSError:
        return None
    try:
        text = await asyncio.wait_for(_read(process.stdout, most), seconds)
        if text is None:
            return None
        return text if await asyncio.wait_for(process.wait(), seconds) == 0 else None
    except asyncio.TimeoutError:
        return None
    finally:
        await end(process)


async def _read(stream: "asyncio.StreamReader", most: int) -> "bytes | None":
    chunks = []
    size = 0
    while True:
        chunk = await stream.read(1 << 16)
        if not chunk:
            return b"".join(chunks)
        size += len(chunk)
        if size > most:
            return None
        chunks.append(chunk)


def readable_file(*paths: str) -> "str | None":
    """The first of `paths` that exists."""
    return next((path for path in paths if path and os.path.isfile(path)), None)
