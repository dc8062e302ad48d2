"""Templates from the web. Apart from `source`, since httpx is slow to import and most templates are files."""

import time

import httpx

from lima.adapters.templates.github import Answer
from lima.domain.errors import LocatorError

CONNECT_S = 5.0
READ_S = 15.0
TOTAL_S = 30.0
_MAX_REDIRECTS = 5


def fetch_text(url: str, limit: int, *, transport: httpx.BaseTransport | None = None) -> bytes:
    """At most `limit` bytes of what `url` answers. An error page is no template: the status counts, which is ours.

    Raises: LocatorError.
    """
    timeout = httpx.Timeout(READ_S, connect=CONNECT_S)
    deadline = time.monotonic() + TOTAL_S
    try:
        with (
            httpx.Client(
                transport=transport,
                timeout=timeout,
                follow_redirects=True,
                max_redirects=_MAX_REDIRECTS,
                headers={"User-Agent": "lima"},
                event_hooks={"request": [_refuse_downgrade(url)]},
            ) as client,
            client.stream("GET", url) as response,
        ):
            if response.status_code != httpx.codes.OK:
                raise LocatorError(
                    f"cannot read {url}: the server answered {response.status_code} {response.reason_phrase}".rstrip(),
                    hint="check the URL in a browser",
                )
            content = b""
            for chunk in response.iter_bytes():
                content += chunk
                if len(content) >= limit:
                    return content[:limit]
                if time.monotonic() > deadline:
                    raise LocatorError(f"cannot read {url}: no end within {TOTAL_S:.0f} s", hint="try again later")
            return content
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise LocatorError(
            f"cannot read {url}: {_reason(error)}", hint="check the network and the proxy settings (HTTPS_PROXY)"
        ) from error
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise LocatorError(f"cannot read {url}: {_reason(error)}", hint="check the URL") from error


def ask(url: str, limit: int, headers: dict[str, str]) -> Answer:
    """Status and at most `limit` bytes, whatever the status. Raises: LocatorError where there is no answer."""
    timeout = httpx.Timeout(READ_S, connect=CONNECT_S)
    try:
        with (
            httpx.Client(
                timeout=timeout,
                follow_redirects=True,
                max_redirects=_MAX_REDIRECTS,
                headers={"User-Agent": "lima", **headers},
                event_hooks={"request": [_refuse_downgrade(url)]},
            ) as client,
            client.stream("GET", url) as response,
        ):
            content = b""
            for chunk in response.iter_bytes():
                content += chunk
                if len(content) >= limit:
                    break
            return Answer(response.status_code, content[:limit])
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise LocatorError(
            f"cannot read {url}: {_reason(error)}", hint="check the network and the proxy settings (HTTPS_PROXY)"
        ) from error


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


def _refuse_downgrade(url: str) -> "_Hook":
    return _Hook(secure=url.lower().startswith("https:"))


class _Hook:
    """Lets no redirect lead from https to plain http."""

    def __init__(self, *, secure: bool) -> None:
        self._secure = secure

    def __call__(self, request: httpx.Request) -> None:
        if self._secure and request.url.scheme != "https":
            raise LocatorError(f"cannot read {request.url}: an https URL redirects to plain {request.url.scheme}")
