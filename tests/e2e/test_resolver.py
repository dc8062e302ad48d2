"""Names that a guest asks for: those of the instance, and those that only the host's resolver knows. One Debian guest."""

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from dnslib import QTYPE, RCODE, RR, A, DNSRecord

from tests.e2e.conftest import COLD_S, Home, fresh_home, is_alive, wait_for

pytestmark = [pytest.mark.guest, pytest.mark.needs_qemu]

TEMPLATE = """\
base: template:default
cpus: 2
memory: 1GiB
hostResolver:
  hosts:
    db.test: 10.0.0.7
    www.test: alias.test
    alias.test: only-there.test
    Loop.test: loop.test
"""
SILENT = "silent.test"
ASK = r"""
import socket, struct, sys
name, kind = sys.argv[1:]
labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
query = b"\x12\x34\x01\x00\0\1\0\0\0\0\0\0" + labels + b"\0\0\1\0\1"
with socket.socket(socket.AF_INET, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM) as server:
    server.settimeout(10)
    server.connect(("192.168.5.3", 53))
    if kind == "tcp":
        server.sendall(struct.pack("!H", len(query)) + query)
        answer = server.recv(512)[2:]
    else:
        server.send(query)
        answer = server.recv(512)
assert answer[:2] == query[:2], answer
print(answer[3] & 15, ".".join(str(byte) for byte in answer[-4:]))
"""
"""Asks the address of the guest's name server itself: /etc/hosts knows some of these names too."""


@contextlib.contextmanager
def name_server() -> Iterator[int]:
    """On a port of loopback, UDP alone: knows one name, says nothing at all about another."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))

        def serve() -> None:
            while True:
                packet, sender = server.recvfrom(4096)
                if not packet:
                    return
                query = DNSRecord.parse(packet)
                name = str(query.q.qname).rstrip(".")
                if name == SILENT:
                    continue
                reply = query.reply()
                if name != "only-there.test":
                    reply.header.rcode = RCODE.NXDOMAIN
                elif query.q.qtype == QTYPE.A:
                    reply.add_answer(RR(name, QTYPE.A, rdata=A("192.0.2.9"), ttl=60))
                server.sendto(reply.pack(), sender)

        thread = threading.Thread(target=serve)
        thread.start()
        port = server.getsockname()[1]
        try:
            yield port
        finally:
            server.sendto(b"", ("127.0.0.1", port))
            thread.join()


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    folder = tmp_path_factory.mktemp("resolver")
    template = folder / "box.yaml"
    template.write_text(TEMPLATE)
    with name_server() as port:
        resolv_conf = folder / "resolv.conf"
        resolv_conf.write_text(f"nameserver [127.0.0.1]:{port}\n")
        with fresh_home(LIMA_RESOLV_CONF=str(resolv_conf)) as home:
            home.ok("start", "--tty=false", "--name=box", str(template), timeout=COLD_S)
            yield home
            home.ok("stop", "box")


def guest(home: Home, *words: str) -> str:
    return home.ok("shell", "box", *words).out.strip()


def ask(home: Home, name: str, kind: str = "udp") -> str:
    return guest(home, "python3", "-c", ASK, name, kind)


@pytest.mark.parametrize("kind", ["udp", "tcp"])
@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("host.lima.internal", "192.168.5.2"),
        ("lima-box.internal", "192.168.5.15"),
        ("lima-box", "192.168.5.15"),
        ("DB.test", "10.0.0.7"),
        ("only-there.test", "192.0.2.9"),
    ],
)
def test_the_name_server_of_the_guest_is_ours(box: Home, name: str, address: str, kind: str) -> None:
    assert ask(box, name, kind) == f"0 {address}"


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("host.lima.internal", "192.168.5.2"),
        ("db.test", "10.0.0.7"),
        ("only-there.test", "192.0.2.9"),
    ],
)
def test_programs_of_the_guest_find_names(box: Home, name: str, address: str) -> None:
    assert guest(box, "getent", "ahostsv4", name).split()[0] == address
    found = guest(box, "python3", "-c", f"import socket; print(socket.getaddrinfo({name!r}, 80)[0][4][0])")
    assert found == address


def test_aliases_that_lead_in_a_circle_have_no_address(box: Home) -> None:
    assert box.limactl("shell", "box", "getent", "ahostsv4", "loop.test").code == 2


def test_a_host_that_says_nothing_blocks_nobody(box: Home) -> None:
    began = time.monotonic()
    with box.spawn("shell", "box", "getent", "ahostsv4", SILENT) as slow:
        while slow.poll() is None:
            asked = time.monotonic()
            assert ask(box, "db.test") == "0 10.0.0.7"
            assert time.monotonic() - asked < 4
        slow.communicate()
    assert slow.returncode == 2
    # twice the five seconds that a guest's resolver waits, and a login
    assert time.monotonic() - began < 15


def test_a_guest_whose_host_agent_died_finds_names_again(box: Home) -> None:
    agent = box.pid("box", "ha.pid")
    os.kill(agent, signal.SIGKILL)
    wait_for(lambda: not is_alive(agent), seconds=10, what="the host agent ends")
    box.ok("start", "--tty=false", "box")
    assert ask(box, "db.test") == "0 10.0.0.7"
    assert ask(box, "only-there.test", "tcp") == "0 192.0.2.9"
