"""The SystemNames port: getaddrinfo, in threads, since it waits as long as it likes."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
MAX_LOOKUPS = 16
"""Look-ups under way at once. One that hangs keeps its place; when all do, the next ones wait."""
_NO_SUCH_NAME = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}


class GetaddrinfoNames:
    """Threads are daemons: a look-up that hangs does not keep the program from ending."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(MAX_LOOKUPS)

    async def addresses(self, name: str, *, ipv6: bool) -> Sequence[str] | None:
        family = socket.AF_INET6 if ipv6 else socket.AF_INET
        try:
            found = await self._in_thread(lambda: socket.getaddrinfo(name, None, family, socket.SOCK_STREAM))
        except socket.gaierror as error:
            return () if error.errno in _NO_SUCH_NAME else None
        except (OSError, UnicodeError):
            return None
        return tuple(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))

    async def canonical_name(self, name: str) -> str | None:
        try:
            found = await self._in_thread(
                lambda: socket.getaddrinfo(name, None, 0, socket.SOCK_STREAM, 0, socket.AI_CANONNAME)
            )
        except (OSError, UnicodeError):
            return None
        other = found[0][3].lower().rstrip(".")
        return other if other and other != name.lower().rstrip(".") else None

    async def name_of(self, address: str) -> str | None:
        try:
            return (await self._in_thread(lambda: socket.getnameinfo((address, 0), socket.NI_NAMEREQD)))[0]
        except (OSError, UnicodeError):
            return None

    async def _in_thread(self, look_up: Callable[[], T]) -> T:
        await self._places.acquire()
        loop = asyncio.get_running_loop()
        result: asyncio.Future[T] = loop.create_future()

        def settle(value: T | None, error: Exception | None) -> None:
            self._places.release()
            if result.done():
                return  # whoever asked has given up
            if error is not None:
                result.set_exception(error)
            else:
                result.set_result(value)  # type: ignore[arg-type]  # one of the two is there

        def run() -> None:
            value, failure = None, None
            try:
                value = look_up()
            except Exception as error:  # noqa: BLE001  the one who waits gets it
                failure = error
            with contextlib.suppress(RuntimeError):  # the loop may have ended meanwhile
                loop.call_soon_threadsafe(settle, value, failure)

        threading.Thread(target=run, name="lima-getaddrinfo", daemon=True).start()
        return await result
