"""The guest's name server on real sockets, with stand-ins for the host's resolver and a test server upstream."""

import asyncio
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from dnslib import MX, QTYPE, RCODE, RR, SRV, TXT, A, DNSQuestion, DNSRecord
from hypothesis import given, settings
from hypothesis import strategies as st

from lima.adapters.dns import answers as answers_module
from lima.adapters.dns.answers import Answers
from lima.adapters.dns.server import MAX_QUESTIONS, LoopbackNameServer
from lima.adapters.dns.system import GetaddrinfoNames
from lima.adapters.dns.upstreams import DirectUpstreams, configured_servers, servers_of
from lima.domain.hostnames import NameServerPorts, host_names

NAMES = host_names(
    {"db": "10.0.0.7", "six": "fd00::1", "www": "system.test", "alias": "db", "loop": "loop"},
    instance="box",
    gateway="192.168.5.2",
    guest_ip="192.168.5.15",
)


@dataclass
class Resolver:
    """A host's resolver that knows what it is told."""

    v4: dict[str, list[str]] = field(default_factory=dict)
    v6: dict[str, list[str]] = field(default_factory=dict)
    canonical: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    is_down: bool = False
    hangs: bool = False
    asked: list[str] = field(default_factory=list)

    async def addresses(self, name: str, *, ipv6: bool) -> Sequence[str] | None:
        self.asked.append(name)
        if self.hangs:
            await asyncio.Event().wait()
        return None if self.is_down else (self.v6 if ipv6 else self.v4).get(name, [])

    async def canonical_name(self, name: str) -> str | None:
        return self.canonical.get(name)

    async def name_of(self, address: str) -> str | None:
        return self.names.get(address)


@dataclass
class Upstream:
    """A name server on loopback, UDP and TCP on one port; `zone` answers, `silent` never does."""

    zone: dict[tuple[str, str], list[RR]] = field(default_factory=dict)
    silent: bool = False
    udp_silent: bool = False
    questions: list[str] = field(default_factory=list)
    port: int = 0

    def reply(self, packet: bytes, *, udp: bool) -> bytes | None:
        query = DNSRecord.parse(packet)
        kind = QTYPE.get(query.q.qtype)
        self.questions.append(f"{'udp' if udp else 'tcp'} {query.q.qname} {kind}")
        if self.silent or (udp and self.udp_silent):
            return None
        reply = query.reply()
        records = self.zone.get((str(query.q.qname).rstrip("."), kind))
        if records is None:
            reply.header.rcode = RCODE.NXDOMAIN
        reply.add_answer(*records or [])
        packed = reply.pack()
        if udp and len(packed) > 512:
            short = query.reply()
            short.header.tc = 1
            return bytes(short.pack())
        return bytes(packed)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Upstream"]:
        outer = self

        class Datagrams(asyncio.DatagramProtocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                self.transport = transport

            def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
                if answer := outer.reply(data, udp=True):
                    self.transport.sendto(answer, addr)  # type: ignore[attr-defined]

        async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            (length,) = struct.unpack("!H", await reader.readexactly(2))
            if answer := self.reply(await reader.readexactly(length), udp=False):
                writer.write(struct.pack("!H", len(answer)) + answer)
                await writer.drain()
            else:
                await reader.read()
            writer.close()

        server = await asyncio.start_server(converse, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(Datagrams, local_addr=("127.0.0.1", self.port))
        try:
            yield self
        finally:
            transport.close()
            server.close()


@asynccontextmanager
async def serving(
    resolver: Resolver, upstream: Upstream | None = None, *, ipv6: bool = False
) -> AsyncIterator[NameServerPorts]:
    servers = [("127.0.0.1", upstream.port)] if upstream else []
    answers = Answers(names=NAMES, ipv6=ipv6, system=resolver, upstreams=DirectUpstreams(lambda: servers))
    server = LoopbackNameServer(answers)
    ports = await server.start()
    try:
        yield ports
    finally:
        await server.stop()
        await server.stop()


async def by_udp(port: int, packet: bytes, *, seconds: float = 8.0) -> bytes:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.setblocking(False)
        own.connect(("127.0.0.1", port))
        await loop.sock_sendall(own, packet)
        async with asyncio.timeout(seconds):
            return await loop.sock_recv(own, 65535)


async def by_tcp(port: int, packet: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(struct.pack("!H", len(packet)) + packet)
    (length,) = struct.unpack("!H", await reader.readexactly(2))
    answer = await reader.readexactly(length)
    writer.close()
    await writer.wait_closed()
    return answer


Ask = Callable[[int, bytes], Awaitable[bytes]]


async def look_up(ports: NameServerPorts, name: str, kind: str = "A", *, tcp: bool = False) -> DNSRecord:
    query = DNSRecord(q=DNSQuestion(name, getattr(QTYPE, kind)))
    packed = query.pack()
    reply = DNSRecord.parse(await (by_tcp(ports.tcp, packed) if tcp else by_udp(ports.udp, packed)))
    assert reply.header.id == query.header.id
    assert reply.q == query.q
    return reply


def data(reply: DNSRecord) -> list[str]:
    return [f"{QTYPE.get(rr.rtype)} {rr.rdata}" for rr in reply.rr]


@pytest.mark.parametrize("tcp", [False, True])
@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("host.lima.internal", "A", ["A 192.168.5.2"]),
        ("HOST.lima.INTERNAL", "A", ["A 192.168.5.2"]),
        ("lima-box.internal", "A", ["A 192.168.5.15"]),
        ("alias", "A", ["CNAME db.", "A 10.0.0.7"]),
        ("www", "A", ["CNAME system.test.", "A 192.0.2.1"]),
        ("www", "CNAME", ["CNAME system.test."]),
        ("db", "CNAME", []),
        ("db", "MX", []),
        ("loop", "A", []),
        ("six", "A", []),
        ("six", "AAAA", ["AAAA fd00::1"]),
        ("db", "AAAA", []),
        ("system.test", "A", ["A 192.0.2.1"]),
        ("system.test", "AAAA", ["AAAA 2001:db8::1"]),
        ("real.test", "CNAME", ["CNAME other.test."]),
        ("2.5.168.192.in-addr.arpa", "PTR", ["PTR host.lima.internal."]),
        ("1.2.0.192.in-addr.arpa", "PTR", ["PTR system.test."]),
        (f"1{'.0' * 27}.0.0.d.f.ip6.arpa", "PTR", ["PTR six."]),
    ],
)
async def test_what_we_and_the_host_know(name: str, kind: str, expected: list[str], tcp: bool) -> None:
    resolver = Resolver(
        v4={"system.test": ["192.0.2.1"]},
        v6={"system.test": ["2001:db8::1"]},
        canonical={"real.test": "other.test"},
        names={"192.0.2.1": "system.test"},
    )
    async with serving(resolver, ipv6=True) as ports:
        reply = await look_up(ports, name, kind, tcp=tcp)
    assert (reply.header.rcode, data(reply)) == (RCODE.NOERROR, expected)
    assert all(rr.ttl == 5 for rr in reply.rr)


async def test_without_ipv6_no_name_has_such_an_address_and_nobody_is_asked() -> None:
    resolver = Resolver(v6={"system.test": ["2001:db8::1"]})
    async with Upstream().running() as upstream, serving(resolver, upstream) as ports:
        assert data(await look_up(ports, "system.test", "AAAA")) == []
        assert data(await look_up(ports, "six", "AAAA")) == []
    assert (resolver.asked, upstream.questions) == ([], [])


async def test_other_types_and_unknown_names_are_the_hosts_servers_matter() -> None:
    zone = {
        ("mail.test", "MX"): [RR("mail.test", QTYPE.MX, rdata=MX("mx.mail.test", 10), ttl=300)],
        ("mail.test", "TXT"): [RR("mail.test", QTYPE.TXT, rdata=TXT(b"v=1"), ttl=300)],
        ("_x._tcp.test", "SRV"): [RR("_x._tcp.test", QTYPE.SRV, rdata=SRV(1, 2, 80, "mail.test"), ttl=300)],
        ("only-there.test", "A"): [RR("only-there.test", QTYPE.A, rdata=A("192.0.2.9"), ttl=300)],
    }
    async with Upstream(zone).running() as upstream, serving(Resolver(), upstream) as ports:
        assert data(await look_up(ports, "mail.test", "MX")) == ["MX 10 mx.mail.test."]
        assert data(await look_up(ports, "mail.test", "TXT")) == ['TXT "v=1"']
        assert data(await look_up(ports, "_x._tcp.test", "SRV")) == ["SRV 1 2 80 mail.test."]
        assert data(await look_up(ports, "only-there.test")) == ["A 192.0.2.9"]
        assert (await look_up(ports, "nowhere.test")).header.rcode == RCODE.NXDOMAIN


async def test_an_answer_too_long_for_a_datagram_comes_over_tcp() -> None:
    many = [RR("big.test", QTYPE.A, rdata=A(f"10.0.0.{n}"), ttl=60) for n in range(100)]
    async with Upstream({("big.test", "A"): many}).running() as upstream, serving(Resolver(), upstream) as ports:
        short = await look_up(ports, "big.test")
        assert (short.header.tc, len(short.rr)) == (1, 0)
        assert len((await look_up(ports, "big.test", tcp=True)).rr) == 100
    resolver = Resolver(v4={"wide.test": [f"10.1.0.{n}" for n in range(100)]})
    async with serving(resolver) as ports:
        assert (await look_up(ports, "wide.test")).header.tc == 1
        assert len((await look_up(ports, "wide.test", tcp=True)).rr) == 100


async def test_servers_that_speak_tcp_alone_are_heard() -> None:
    zone = {("t.test", "A"): [RR("t.test", QTYPE.A, rdata=A("192.0.2.9"))]}
    async with Upstream(zone, udp_silent=True).running() as upstream, serving(Resolver(), upstream) as ports:
        assert data(await look_up(ports, "t.test")) == ["A 192.0.2.9"]


@pytest.mark.parametrize("resolver", [Resolver(hangs=True), Resolver(is_down=True)], ids=["hangs", "down"])
async def test_a_host_that_does_not_answer_is_a_failure_before_the_guest_gives_up(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers_module, "DEADLINE_S", 0.3)
    monkeypatch.setattr(answers_module, "SYSTEM_WAIT_S", 0.1)
    async with Upstream(silent=True).running() as upstream, serving(resolver, upstream) as ports:
        slow = asyncio.ensure_future(look_up(ports, "slow.test"))
        # and whoever asks for something else meanwhile is not kept waiting
        assert data(await look_up(ports, "host.lima.internal")) == ["A 192.168.5.2"]
        assert not slow.done()
        assert (await slow).header.rcode == RCODE.SERVFAIL


def test_the_deadline_is_within_a_guests_patience() -> None:
    assert answers_module.SYSTEM_WAIT_S < answers_module.DEADLINE_S < 5


async def test_a_name_without_anybody_to_ask_has_no_address() -> None:
    async with serving(Resolver()) as ports:
        reply = await look_up(ports, "nowhere.test")
    assert (reply.header.rcode, reply.rr) == (RCODE.NOERROR, [])


async def test_several_questions_on_one_connection() -> None:
    async with serving(Resolver()) as ports:
        reader, writer = await asyncio.open_connection("127.0.0.1", ports.tcp)
        for name in ("db", "host.lima.internal"):
            packed = DNSRecord(q=DNSQuestion(name)).pack()
            writer.write(struct.pack("!H", len(packed)) + packed)
        found = []
        for _ in range(2):
            (length,) = struct.unpack("!H", await reader.readexactly(2))
            found += data(DNSRecord.parse(await reader.readexactly(length)))
        writer.close()
        await writer.wait_closed()
    assert found == ["A 10.0.0.7", "A 192.168.5.2"]


async def test_a_flood_is_dropped_and_then_all_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers_module, "SYSTEM_WAIT_S", 0.2)
    resolver = Resolver(hangs=True)
    async with serving(resolver) as ports:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
            for number in range(MAX_QUESTIONS + 100):
                own.sendto(DNSRecord(q=DNSQuestion(f"n{number}.test")).pack(), ("127.0.0.1", ports.udp))
                if number % 50 == 0:
                    await asyncio.sleep(0)
        async with asyncio.timeout(5):
            while True:
                try:
                    assert data(
                        DNSRecord.parse(await by_udp(ports.udp, DNSRecord(q=DNSQuestion("db")).pack(), seconds=0.3))
                    ) == ["A 10.0.0.7"]
                    break
                except TimeoutError:
                    continue
    assert len(resolver.asked) <= MAX_QUESTIONS


async def test_an_answer_is_no_question_and_junk_is_harmless() -> None:
    async with serving(Resolver()) as ports:
        answer = DNSRecord(q=DNSQuestion("db")).reply()
        with pytest.raises(TimeoutError):
            await by_udp(ports.udp, answer.pack(), seconds=0.2)
        truncated = DNSRecord(q=DNSQuestion("host.lima.internal")).pack()[:14]
        assert DNSRecord.parse(await by_udp(ports.udp, truncated)).header.rcode == RCODE.FORMERR
        assert data(await look_up(ports, "db")) == ["A 10.0.0.7"]


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=600) | st.binary(max_size=200).map(lambda tail: b"\x12\x34\x01\x00" + tail))
def test_no_packet_makes_it_fail(packet: bytes) -> None:
    answers = Answers(names=NAMES, ipv6=True, system=Resolver(), upstreams=DirectUpstreams(list))
    reply = asyncio.run(answers.to(packet, stream=False))
    assert reply is None or reply[:2] == packet[:2]


async def test_the_hosts_own_resolver_reads_the_hosts_file() -> None:
    names = GetaddrinfoNames()
    assert "127.0.0.1" in (await names.addresses("localhost", ipv6=False) or ())
    assert await names.name_of("127.0.0.1")
    assert not await names.addresses("no-such-name.invalid", ipv6=False)
    assert not await names.addresses("x" * 300, ipv6=False)
    assert await names.canonical_name("no-such-name.invalid") is None


def test_the_name_server_alone() -> None:
    command = [sys.executable, "-m", "lima", "debug", "dns"]
    with subprocess.Popen([*command, "0", "--ipv6"], stdout=subprocess.PIPE, text=True) as alone:
        assert alone.stdout is not None
        words = alone.stdout.readline().split()
        ports = NameServerPorts(udp=int(words[2].rstrip(",")), tcp=int(words[4]))
        for tcp in (False, True):
            reply = asyncio.run(look_up(ports, "host.lima.internal", tcp=tcp))
            assert data(reply) == ["A 192.168.5.2"]
        taken = subprocess.run([*command, str(ports.udp)], capture_output=True, text=True, check=False)
        assert (taken.returncode, taken.stderr.count("in use")) == (1, 1)
        alone.send_signal(signal.SIGINT)
        assert alone.wait(10) == 0
    for words in ([], ["x"], ["65536"], ["1", "2", "3"]):
        refused = subprocess.run([*command, *words], capture_output=True, text=True, check=False)
        assert refused.returncode != 0
        assert "Traceback" not in refused.stderr


def test_servers_of_a_resolv_conf(tmp_path: object) -> None:
    text = "# nameserver 9.9.9.9\nsearch a b\nnameserver 10.0.0.1\nnameserver fe80::1%eth0\nnameserver\nnameserver [::1]:5353\n"
    assert servers_of(text) == (("10.0.0.1", 53), ("fe80::1%eth0", 53), ("::1", 5353))
    assert configured_servers(f"{tmp_path}/none") == (("8.8.8.8", 53), ("1.1.1.1", 53))
