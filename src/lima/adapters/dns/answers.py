"""Questions and answers in wire format: what we know ourselves, what the host's resolver knows, what its servers say."""

import asyncio
import ipaddress
import itertools

from dnslib import AAAA, CNAME, PTR, QTYPE, RCODE, RR, A, DNSError, DNSHeader, DNSRecord

from lima.domain.hostnames import HostNames
from lima.ports.name_server import SystemNames, UpstreamServers

TTL_S = 5
DEADLINE_S = 4.5
"""A guest's resolver waits for 5 s before it asks again."""
SYSTEM_WAIT_S = 2.0
_PLAIN_UDP, _MOST_UDP = 512, 1232
_QUERY = 0


class Answers:
    """Answers one question at a time, as many at once as it is asked.

    Args:
        names: the instance's own.
        ipv6: whether AAAA is answered; where not, every name has none, so that guests without IPv6 do not try it.
    """

    def __init__(self, *, names: HostNames, ipv6: bool, system: SystemNames, upstreams: UpstreamServers) -> None:
        self._names = names
        self._ipv6 = ipv6
        self._system = system
        self._upstreams = upstreams

    async def to(self, packet: bytes, *, stream: bool) -> bytes | None:
        """The answer to a packet, None for what is no question. Comes within DEADLINE_S, as a failure if need be."""
        try:
            query = DNSRecord.parse(packet)
        except (DNSError, ValueError, IndexError, UnicodeError):
            return _malformed(packet)
        if query.header.qr:
            return None
        try:
            async with asyncio.timeout(DEADLINE_S):
                reply = await self._answer(query, packet, stream=stream)
        except TimeoutError:
            reply = _failure(query)
        return reply if stream else _fitting(reply, query)

    async def _answer(self, query: DNSRecord, packet: bytes, *, stream: bool) -> bytes:
        own: list[RR] | None = None
        could_say = True
        if query.header.opcode == _QUERY and len(query.questions) == 1:
            try:
                async with asyncio.timeout(SYSTEM_WAIT_S):
                    own = await self._own(query)
            except (TimeoutError, _CouldNotSayError):
                could_say = False
        if own is not None:
            reply = query.reply(ra=1, aa=0)
            reply.add_answer(*own)
            return bytes(reply.pack())
        forwarded = await self._upstreams.ask(packet, stream=stream)
        if forwarded is not None:
            return forwarded
        # the host's resolver had its say, and there is nobody else to ask
        return bytes(query.reply(ra=1, aa=0).pack()) if could_say else _failure(query)

    async def _own(self, query: DNSRecord) -> list[RR] | None:
        """Records, none of them where a name has none of that type, None where others must be asked."""
        name, kind = str(query.q.qname), int(query.q.qtype)
        if kind == QTYPE.AAAA and not self._ipv6:
            return []
        if kind in (QTYPE.A, QTYPE.AAAA):
            return await self._addresses(name, ipv6=kind == QTYPE.AAAA)
        if kind == QTYPE.CNAME:
            return await self._alias(name)
        if kind == QTYPE.PTR:
            return await self._pointer(name)
        return None if self._names.find(name) is None else []

    async def _addresses(self, name: str, *, ipv6: bool) -> list[RR] | None:
        found = self._names.find(name)
        aliases = found.aliases if found else (name,)
        records = [_record(alias, QTYPE.CNAME, CNAME(target)) for alias, target in itertools.pairwise(aliases)]
        if found is not None and found.is_dead_end:
            return []
        if found is not None and found.address is not None:
            addresses = [found.address] if (":" in found.address) == ipv6 else []
        else:
            known = await self._system.addresses(aliases[-1].rstrip("."), ipv6=ipv6)
            if known is None:
                raise _CouldNotSayError
            if not known and not records:
                return None
            addresses = list(known)
        kind, data = (QTYPE.AAAA, AAAA) if ipv6 else (QTYPE.A, A)
        return records + [_record(aliases[-1], kind, data(address)) for address in addresses]

    async def _alias(self, name: str) -> list[RR] | None:
        found = self._names.find(name)
        if found is not None:
            return [_record(name, QTYPE.CNAME, CNAME(found.aliases[1]))] if len(found.aliases) > 1 else []
        target = await self._system.canonical_name(name.rstrip("."))
        return [_record(name, QTYPE.CNAME, CNAME(target))] if target else None

    async def _pointer(self, name: str) -> list[RR] | None:
        address = _address_of(name)
        if address is None:
            return None
        found = self._names.name_of(address) or await self._system.name_of(address)
        return [_record(name, QTYPE.PTR, PTR(found))] if found else None


class _CouldNotSayError(Exception):
    """The host's resolver failed, which says nothing about the name."""


def _record(name: str, kind: int, data: A | AAAA | CNAME | PTR) -> RR:
    return RR(name, kind, rdata=data, ttl=TTL_S)


def _address_of(name: str) -> str | None:
    """The address that a name below in-addr.arpa or ip6.arpa stands for."""
    labels = name.lower().rstrip(".").split(".")
    if labels[-2:] == ["in-addr", "arpa"]:
        text = ".".join(reversed(labels[:-2]))
    elif labels[-2:] == ["ip6", "arpa"]:
        digits = "".join(reversed(labels[:-2]))
        text = ":".join(digits[start : start + 4] for start in range(0, len(digits), 4))
    else:
        return None
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


def _failure(query: DNSRecord) -> bytes:
    reply = query.reply(ra=1, aa=0)
    reply.header.rcode = RCODE.SERVFAIL
    return bytes(reply.pack())


def _malformed(packet: bytes) -> bytes | None:
    """That we did not understand, where there is at least an id to say it to."""
    if len(packet) < 12 or packet[2] & 0x80:
        return None
    header = DNSHeader(id=int.from_bytes(packet[:2], "big"), qr=1, rcode=RCODE.FORMERR)
    return bytes(DNSRecord(header).pack())


def _fitting(reply: bytes, query: DNSRecord) -> bytes:
    """A reply that fits a datagram, else one that says to ask over TCP."""
    offered = next((extra.edns_len for extra in query.ar if extra.rtype == QTYPE.OPT), _PLAIN_UDP)
    if len(reply) <= min(max(offered, _PLAIN_UDP), _MOST_UDP):
        return reply
    short = query.reply(ra=1, aa=0)
    short.header.tc = 1
    return bytes(short.pack())
