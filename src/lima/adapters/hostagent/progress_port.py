"""The host end of the guest's progress port: QEMU's unix socket for the virtio-serial channel."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from lima.domain.guest_progress import MAX_LINE, MAX_LINES, GuestProgress, parse_line

RECONNECT_S = 1.0


class SocketProgressSource:
    """Reads lines from the socket; what is too long or no line of ours is dropped."""

    async def lines(self, socket_path: str) -> AsyncIterator[GuestProgress]:
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(socket_path, limit=2 * MAX_LINE)
            except OSError:
                await asyncio.sleep(RECONNECT_S)
                continue
            try:
                async for line in _bounded_lines(reader):
                    parsed = parse_line(line)
                    if parsed is not None:
                        yield parsed
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
            await asyncio.sleep(RECONNECT_S)


async def _bounded_lines(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Whole lines, MAX_LINES at most; after that the guest is read from and not listened to."""
    taken = 0
    skipping = False
    while True:
        try:
            line = await reader.readuntil(b"\n")
        except asyncio.LimitOverrunError as error:
            await reader.readexactly(max(error.consumed, 1))
            skipping = True
            continue
        except (asyncio.IncompleteReadError, OSError):
            return
        if not skipping and taken < MAX_LINES:
            taken += 1
            yield line.strip()
        skipping = False
