"""Templates from the web, with a server that is none."""

import itertools
from collections.abc import Callable, Iterator

import httpx
import pytest

from lima.adapters.templates import http
from lima.adapters.templates.http import fetch_text
from lima.domain.errors import LocatorError


def _fetch(answer: Callable[[httpx.Request], httpx.Response], url: str = "https://h/x.yaml", limit: int = 100) -> bytes:
    return fetch_text(url, limit, transport=httpx.MockTransport(answer))


def test_the_body_is_what_counts() -> None:
    assert _fetch(lambda request: httpx.Response(200, content=b"cpus: 1")) == b"cpus: 1"


def test_no_more_is_read_than_asked_for() -> None:
    endless = (b"x" * 60 for _ in itertools.count())

    class Body(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            return endless

    assert _fetch(lambda request: httpx.Response(200, stream=Body())) == b"x" * 100


@pytest.mark.parametrize("status", [404, 403, 500, 204])
def test_an_error_page_is_no_template(status: int) -> None:
    with pytest.raises(LocatorError, match=f"the server answered {status}") as caught:
        _fetch(lambda request: httpx.Response(status, content=b"cpus: 1"))
    assert caught.value.hint


def _redirect(to: str) -> Callable[[httpx.Request], httpx.Response]:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/x.yaml":
            return httpx.Response(302, headers={"Location": to})
        return httpx.Response(200, content=b"cpus: 2")

    return answer


def test_redirects_are_followed() -> None:
    assert _fetch(_redirect("https://other/y.yaml")) == b"cpus: 2"
    assert _fetch(_redirect("https://h/y.yaml"), "http://h/x.yaml") == b"cpus: 2"


def test_a_redirect_from_https_to_http_is_refused() -> None:
    with pytest.raises(LocatorError, match="an https URL redirects to plain http"):
        _fetch(_redirect("http://h/y.yaml"))


def test_redirects_have_an_end() -> None:
    with pytest.raises(LocatorError, match=r"cannot read https://h/x\.yaml"):
        _fetch(_redirect("https://h/x.yaml"))


def test_a_body_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(0, 20)
    monkeypatch.setattr(http.time, "monotonic", lambda: next(clock))

    class Body(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            return (b"x" for _ in itertools.count())

    with pytest.raises(LocatorError, match="no end within 30 s"):
        _fetch(lambda request: httpx.Response(200, stream=Body()))


@pytest.mark.parametrize(
    "error",
    [
        httpx.ConnectError,
        httpx.ConnectTimeout,
        httpx.ReadTimeout,
        httpx.ReadError,
        httpx.RemoteProtocolError,
        httpx.ProxyError,
        httpx.UnsupportedProtocol,
        httpx.DecodingError,
    ],
)
def test_no_error_of_the_library_gets_through(error: type[httpx.RequestError]) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise error("", request=request)

    with pytest.raises(LocatorError, match=f"cannot read https://h/x.yaml: {error.__name__}") as caught:
        _fetch(answer)
    assert caught.value.hint


@pytest.mark.parametrize("url", ["http://", "http://\x00/"])
def test_a_bad_url_is_an_error_of_ours(url: str) -> None:
    with pytest.raises(LocatorError):
        _fetch(lambda request: httpx.Response(200), url)
