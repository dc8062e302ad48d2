"""Whom a request connects to: the server, or the proxy that the environment names."""

import pytest

from lima.adapters.images.reach import peer


@pytest.mark.parametrize(
    ("location", "environment", "expected"),
    [
        ("https://github.com/x.tgz", {}, ("github.com", 443)),
        ("http://h.test:8080/x", {}, ("h.test", 8080)),
        ("http://user:secret@h.test/x", {}, ("h.test", 80)),
        ("https://[::1]/x", {}, ("::1", 443)),
        ("https://github.com/x", {"https_proxy": "http://p.test:3128"}, ("p.test", 3128)),
        ("https://github.com/x", {"https_proxy": "p.test:3128"}, ("p.test", 3128)),
        ("https://github.com/x", {"http_proxy": "http://p.test:3128"}, ("github.com", 443)),
        ("https://github.com/x", {"all_proxy": "socks5://p.test"}, ("p.test", 1080)),
        ("https://h.test/x", {"https_proxy": "http://p.test:3128", "no_proxy": "h.test"}, ("h.test", 443)),
        ("https://h.test:99999/x", {}, ("h.test", 443)),
    ],
)
def test_the_peer_is_the_proxy_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch, location: str, environment: dict[str, str], expected: tuple[str, int]
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert peer(location) == expected
