"""Ports that containers publish without a listening socket: rules that rewrite the destination (DNAT).

docker-proxy, rootlessport and podman's conmon hold listening sockets, which are found as any other. CNI's portmap
plugin, docker without its proxy and podman without its port reservation have nothing but rules: those of iptables
(either backend) and of nftables are read with the guest's own tools, when the kernel says that rules changed.
"""

import asyncio
import contextlib
import json
import re

from . import log, tools
from .sockets import Port

TYPE_CHECKING = False  # the module of that name costs start time
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

MOST = 4 << 20
SECONDS = 5.0
MOST_PORTS = 4096
SETTLE_S = 0.03
"""One command is told of in pieces, a rule at a time."""
ALLOWANCE_S, SHARE = 3.0, 1 / 16
"""Rules that never rest (kube-proxy's) are read for so many seconds at once, and from then on for this share of the time."""
AGAIN_S = 9.0
"""Rules of the old iptables backend change without an event; looked at only where that backend is in use."""
LEGACY = ("/proc/net/ip_tables_names", "/proc/net/ip6_tables_names")
NOT_CONTAINERS = ("LIMADNS", "KUBE-")
"""Chains of the host resolver's rules and of kube-proxy, whose services kubernetes.py reports."""
_ANYWHERE = {4: "0.0.0.0", 6: "::"}


class Allowance:
    """Seconds of work: `most` may be spent at once, and `share` of the time that passes comes back."""

    def __init__(self, most: float, share: float, now: float) -> None:
        self._most = self._left = most
        self._share = share
        self._then = now

    def spend(self, seconds: float, now: float) -> float:
        """`seconds` of work have ended `now`; returns how long to rest before there is any more."""
        earned = (now - self._then) * self._share
        self._left = min(self._left + earned, self._most) - seconds
        self._then = now
        return max(-self._left / self._share, 0.0)


class PublishedPorts:
    """A source of ports: those of the last reading."""

    def __init__(self, loop: "asyncio.AbstractEventLoop") -> None:
        self._loop = loop
        self._found = set()
        self._stale = asyncio.Event()
        self._wake = None

    def start(self, wake: "Callable[[], None]") -> None:
        self._wake = wake

    def stop(self) -> None:
        self._wake = None

    def changed(self) -> None:
        """The rules are others now."""
        self._stale.set()

    def ports(self, known: "set[Port]") -> "set[Port]":
        """Those that no socket in `known` stands for already."""
        taken = {(port.protocol, port.port) for port in known}
        return {port for port in self._found if (port.protocol, port.port) not in taken}

    async def run(self) -> None:
        """Read the rules at first and whenever they changed, at once as long as the allowance lasts."""
        allowance = Allowance(ALLOWANCE_S, SHARE, self._loop.time())
        while True:
            await asyncio.sleep(SETTLE_S)
            self._stale.clear()
            started = self._loop.time()
            found = await read_rules()
            ended = self._loop.time()
            if found != self._found:
                self._found = found
                if self._wake is not None:
                    self._wake()
            await asyncio.sleep(allowance.spend(ended - started, ended))
            await self._change(AGAIN_S if _uses_legacy() else None)

    async def _change(self, seconds: "float | None") -> None:
        """Return when the rules have changed, or might have."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._stale.wait(), seconds)


def _uses_legacy() -> bool:
    for path in LEGACY:
        try:
            with open(path) as file:
                if "nat" in file.read().split():
                    return True
        except OSError:
            pass
    return False


async def read_rules() -> "set[Port]":
    """Every published port that the guest's tools show."""
    found = set()
    for ports in await asyncio.gather(_iptables("iptables-save", 4), _iptables("ip6tables-save", 6), _nft()):
        found |= ports
    return set(sorted(found)[:MOST_PORTS])


async def _iptables(program: str, version: int) -> "set[Port]":
    path = tools.find(program)
    text = await tools.output([path, "-t", "nat"], most=MOST, seconds=SECONDS) if path else None
    return ports_in_iptables(text.decode("utf-8", "replace"), version) if text else set()


async def _nft() -> "set[Port]":
    path = tools.find("nft")
    text = await tools.output([path, "-j", "list", "ruleset"], most=MOST, seconds=SECONDS) if path else None
    try:
        return ports_in_nft(json.loads(text.decode("utf-8", "replace"))) if text else set()
    except (ValueError, RecursionError) as error:
        log.debug("nft printed no rules: %s" % error)
        return set()


def ports_in_iptables(text: str, version: int) -> "set[Port]":
    """Ports of the DNAT rules in the output of iptables-save."""
    found = set()
    for line in text.splitlines():
        rule = re.match(r"-A (\S+) (.*-j DNAT\b.*)", line)
        if rule is None or rule.group(1).startswith(NOT_CONTAINERS):
            continue
        words = rule.group(2).split()
        protocol = _after(words, "-p", "--protocol")
        ports = _after(words, "--dport", "--dports")
        if protocol in ("tcp", "udp") and ports:
            ip = (_after(words, "-d", "--destination") or _ANYWHERE[version]).split("/")[0]
            found |= {Port(protocol, ip, port) for piece in ports.split(",") for port in _range(*piece.split(":"))}
    return found


def _after(words: "list[str]", *options: str) -> str:
    """The word after one of `options`, unless it is negated."""
    for index, word in enumerate(words[:-1]):
        if word in options and (index == 0 or words[index - 1] != "!"):
            return words[index + 1]
    return ""


def _range(first: object, last: object = None) -> "range":
    try:
        low = int(first)
        high = low if last is None else int(last)
    except (TypeError, ValueError):
        return range(0)
    return range(low, min(high, low + MOST_PORTS - 1) + 1) if 0 < low <= high < 65536 else range(0)


def ports_in_nft(ruleset: object) -> "set[Port]":
    """Ports of the dnat rules in the JSON of `nft list ruleset`. Any other shape is passed over."""
    found = set()
    for entry in _list(_member(ruleset, "nftables")):
        rule = _member(entry, "rule")
        if str(_member(rule, "chain") or "").startswith(NOT_CONTAINERS):
            continue
        expressions = _list(_member(rule, "expr"))
        targets = [e["dnat"] for e in expressions if isinstance(e, dict) and "dnat" in e]
        if targets:
            family = _member(targets[0], "family") or _member(rule, "family")
            found |= _ports_of_matches(expressions, 6 if family == "ip6" else 4)
    return found


def _ports_of_matches(expressions: "list[object]", version: int) -> "set[Port]":
    ip, protocol, ports = _ANYWHERE[version], "", set()
    for expression in expressions:
        match = _member(expression, "match")
        payload = _member(_member(match, "left"), "payload")
        field, right = _member(payload, "field"), _member(match, "right")
        if _member(match, "op") not in ("==", "in"):
            continue
        if field == "dport" and _member(payload, "protocol") in ("tcp", "udp"):
            protocol = payload["protocol"]
            for value in _list(_member(right, "set")) or [right]:
                ports |= set(_range(*(_list(_member(value, "range"))[:2] or [value])))
        elif field == "daddr" and isinstance(right, str):
            ip = right
    return {Port(protocol, ip, port) for port in ports}


def _member(value: object, key: str) -> "Any":
    return value.get(key) if isinstance(value, dict) else None


def _list(value: object) -> "list[Any]":
    return value if isinstance(value, list) else []
