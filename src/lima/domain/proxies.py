"""Which proxy settings a guest gets. Source: reference, runtime §6.4, last lines."""

from collections.abc import Mapping
from urllib.parse import urlsplit, urlunsplit

GATEWAY = "192.168.5.2"
PROXY_NAMES = ("ftp_proxy", "http_proxy", "https_proxy", "no_proxy")
_LOOPBACK = ("localhost", "::1", "0.0.0.0")  # noqa: S104  a name to compare with, nothing is bound


def guest_proxies(env: tuple[tuple[str, str], ...], host_env: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Pairs for the guest's environment, sorted, in lower and upper case.

    `host_env` (empty where the host's are not passed on) wins over the template's `env`; lower case wins over upper;
    an empty value removes; a proxy on the host's loopback becomes the gateway's address.
    """
    result: dict[str, str] = {}
    template = dict(env)
    for name in PROXY_NAMES:
        value: str | None = None
        for source in (template, host_env):
            for spelling in (name.upper(), name):
                value = source.get(spelling, value)
        if value:
            seen_from_guest = value if name == "no_proxy" else _through_gateway(value)
            result[name] = result[name.upper()] = seen_from_guest
    return tuple(sorted(result.items()))


def _through_gateway(url: str) -> str:
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return url
    if host not in _LOOPBACK and not host.startswith("127."):
        return url
    user = parts.netloc.rpartition("@")[0]
    netloc = (f"{user}@" if user else "") + GATEWAY + (f":{port}" if port else "")
    return urlunsplit(parts._replace(netloc=netloc))
