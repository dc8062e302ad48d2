"""The HTTP client, behind one alias: httpx has had no release for long and may be replaced in a day."""

import httpx
from httpx import AsyncClient, HTTPError, InvalidURL

from lima._version import __version__

__all__ = ["AsyncClient", "HTTPError", "InvalidURL", "client", "did_not_answer"]

CONNECT_S = 5.0
READ_S = 30.0


def client() -> AsyncClient:
    """Follows redirects, honours the proxy variables of the environment, gives up on a silent host after 5 s."""
    return AsyncClient(
        follow_redirects=True,
        max_redirects=10,
        timeout=httpx.Timeout(READ_S, connect=CONNECT_S, pool=CONNECT_S),
        headers={"User-Agent": f"lima/{__version__}", "Accept-Encoding": "identity"},
    )


def did_not_answer(error: Exception) -> bool:
    """Whether the host was not there at all, so that its other files need no try."""
    return isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError))
