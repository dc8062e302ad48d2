"""Names that a guest asks for: those of the instance, and those that only the host's resolver knows."""

import os
import signal
import time

import pytest

from tests.e2e.conftest import Home, is_alive, wait_for
from tests.e2e.one_guest.guest import NAME
from tests.e2e.one_guest.name_server import SILENT

pytestmark = [pytest.mark.guest, pytest.mark.needs_qemu]

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


def guest(home: Home, *words: str) -> str:
    return home.ok("shell", NAME, *words).out.strip()


def ask(home: Home, name: str, kind: str = "udp") -> str:
    return guest(home, "python3", "-c", ASK, name, kind)


@pytest.mark.parametrize("kind", ["udp", "tcp"])
@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("host.lima.internal", "192.168.5.2"),
        ("lima-default.internal", "192.168.5.15"),
        ("lima-default", "192.168.5.15"),
        ("DB.test", "10.0.0.7"),
        ("only-there.test", "192.0.2.9"),
    ],
)
def test_the_name_server_of_the_guest_is_ours(debian: Home, name: str, address: str, kind: str) -> None:
    assert ask(debian, name, kind) == f"0 {address}"


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("host.lima.internal", "192.168.5.2"),
        ("db.test", "10.0.0.7"),
        ("only-there.test", "192.0.2.9"),
    ],
)
def test_programs_of_the_guest_find_names(debian: Home, name: str, address: str) -> None:
    assert guest(debian, "getent", "ahostsv4", name).split()[0] == address
    found = guest(debian, "python3", "-c", f"import socket; print(socket.getaddrinfo({name!r}, 80)[0][4][0])")
    assert found == address


def test_aliases_that_lead_in_a_circle_have_no_address(debian: Home) -> None:
    assert debian.limactl("shell", NAME, "getent", "ahostsv4", "loop.test").code == 2


def test_a_host_that_says_nothing_blocks_nobody(debian: Home) -> None:
    began = time.monotonic()
    with debian.spawn("shell", NAME, "getent", "ahostsv4", SILENT) as slow:
        while slow.poll() is None:
            asked = time.monotonic()
            assert ask(debian, "db.test") == "0 10.0.0.7"
            assert time.monotonic() - asked < 4
        slow.communicate()
    assert slow.returncode == 2
    # twice the five seconds that a guest's resolver waits, and a login
    assert time.monotonic() - began < 15


def test_a_guest_whose_host_agent_died_finds_names_again(debian: Home) -> None:
    agent = debian.pid(NAME, "ha.pid")
    os.kill(agent, signal.SIGKILL)
    wait_for(lambda: not is_alive(agent), seconds=10, what="the host agent ends")
    debian.ok("start", "--tty=false", NAME)
    assert ask(debian, "db.test") == "0 10.0.0.7"
    assert ask(debian, "only-there.test", "tcp") == "0 192.0.2.9"
