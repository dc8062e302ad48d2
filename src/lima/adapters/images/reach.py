"""Whether a host answers at all, asked before anything heavy is loaded and without waiting for a resolver's time-out."""

import asyncio
import contextlib
import socket
import threading
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

CONNECT_S = 5.0


async def answers(location: str) -> bool:
    """Whether somebody accepts a connection where the file would be fetched from: its server, or the proxy for it.

    Cancelled, it returns at once; the thread that still waits for the resolver ends with the process.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[bool] = loop.create_future()

    def tell(accepted: bool) -> None:
        if not answer.done():
            answer.set_result(accepted)

    def ask() -> None:
        accepted = _accepts(*peer(location))
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(tell, accepted)

    threading.Thread(target=ask, daemon=True, name="reach").start()
    return await answer


def peer(location: str) -> tuple[str, int]:
    """Host and port that a request for this URL connects to, by the proxy settings of this host."""
    url = urlsplit(location)
    proxies = getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all", "")
    if proxy and not proxy_bypass(url.netloc.rpartition("@")[2]):
        url = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    try:
        port = url.port
    except ValueError:
        port = None
    return url.hostname or "", port or {"https": 443, "socks5": 1080, "socks5h": 1080}.get(url.scheme, 80)


def _accepts(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=CONNECT_S).close()
    except (OSError, UnicodeError):
        return False
    return True
