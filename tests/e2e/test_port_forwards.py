"""Port forwards of a real guest: servers on its addresses, datagrams, sockets, taken ports, many clients at once."""

import concurrent.futures
import contextlib
import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from tests.e2e.conftest import COLD_S, Home, fresh_home, wait_for

pytestmark = [pytest.mark.guest, pytest.mark.needs_qemu]
NAME = "default"
OPENED_S = 0.5
CLOSED_S = 1.0
CLIENTS = 100
PIECE = 20_000
PROGRAM = """
import socket, sys, threading

def serve(listener):
    while True:
        try:
            peer = listener.accept()[0]
        except OSError:
            return
        threading.Thread(target=answer, args=(peer,), daemon=True).start()

def answer(peer):
    # everything is heard before a word is said: needs a half-closed connection
    heard = b""
    while piece := peer.recv(65536):
        heard += piece
    peer.sendall(heard)
    peer.close()

def echo(bound):
    while True:
        try:
            data, peer = bound.recvfrom(65536)
        except OSError:
            return
        bound.sendto(data, peer)

held = {}
for line in sys.stdin:
    verb, kind, address, port = line.split()
    key = (kind, address, port)
    if verb == "open":
        family = socket.AF_UNIX if kind == "unix" else socket.AF_INET6 if ":" in address else socket.AF_INET
        one = held[key] = socket.socket(family, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind(address if kind == "unix" else (address, int(port)))
        if kind != "udp":
            one.listen(1024)
        threading.Thread(target=echo if kind == "udp" else serve, args=(one,), daemon=True).start()
    else:
        one = held.pop(key)
        if kind != "udp":
            one.shutdown(socket.SHUT_RDWR)
        one.close()
    print("done", flush=True)
"""


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port


STATIC, IGNORED, NAMED = free_port(), 7301, free_port()
TEMPLATE = f"""
base: template:default
portForwards:
- {{guestPort: 7300, hostPort: {STATIC}, static: true}}
- {{guestPort: {IGNORED}, ignore: true}}
- {{guestPort: 7302, hostPort: {NAMED}}}
- {{guestSocket: /tmp/echo.sock, hostSocket: echo.sock}}
"""


class Programs:
    """A program in the guest that opens and closes ports when it is told."""

    def __init__(self, home: Home) -> None:
        self._process = subprocess.Popen(
            home.command("shell", NAME, "python3", "-c", PROGRAM),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=home.env(),
        )  # fmt: skip

    def tell(self, verb: str, kind: str, address: str, port: int) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{verb} {kind} {address} {port}\n".encode())
        self._process.stdin.flush()
        assert self._process.stdout.readline() == b"done\n"

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture(scope="module")
def debian() -> Iterator[Home]:
    with fresh_home() as home:
        path = os.path.join(home.path, "forwards.yaml")
        with open(path, "w", encoding="ascii") as file:
            file.write(TEMPLATE)
        home.ok("start", "--tty=false", f"--name={NAME}", path, timeout=COLD_S)
        wait_for(lambda: "Guest agent is running" in notes(home), seconds=60, what="the agent is attended")
        yield home


@pytest.fixture
def programs(debian: Home) -> Iterator[Programs]:
    programs = Programs(debian)
    # imports and the first round trip are not what is measured
    programs.tell("open", "tcp", "127.0.0.1", 7399)
    wait_for(lambda: answers(7399), seconds=15, what=f"the first port: {notes(debian)}")
    yield programs
    programs.close()


def notes(home: Home) -> list[str]:
    return [json.loads(line)["msg"] for line in home.read(NAME, "ha.stderr.log").splitlines()]


def events(home: Home) -> list[dict[str, str]]:
    lines = (json.loads(line)["status"] for line in home.read(NAME, "ha.stdout.log").splitlines())
    return [{"hostAddr": "", **status["portForward"]} for status in lines if "portForward" in status]


def talk(address: "tuple[str, int] | str", said: bytes) -> bytes:
    """What a server says back once it has been told all."""
    with socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET) as peer:
        peer.settimeout(30)
        peer.connect(address)
        peer.sendall(said)
        peer.shutdown(socket.SHUT_WR)
        heard = b""
        while piece := peer.recv(65536):
            heard += piece
        return heard


def answers(port: int) -> bool:
    with contextlib.suppress(OSError):
        return talk(("127.0.0.1", port), b"hello") == b"hello"
    return False


def listens(port: int) -> bool:
    with socket.socket() as peer:
        return peer.connect_ex(("127.0.0.1", port)) == 0


def seconds_until(condition: Callable[[], bool], *, within: float, what: str) -> float:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < within, f"not within {within} s: {what}"
        time.sleep(0.02)
    return time.monotonic() - began


@pytest.mark.parametrize(
    ("address", "port"), [("127.0.0.1", 7001), ("0.0.0.0", 7002), ("::1", 7003), ("::", 7004)]
)  # fmt: skip
def test_a_server_is_on_the_host_as_it_opens_and_gone_as_it_closes(
    debian: Home, programs: Programs, address: str, port: int
) -> None:
    programs.tell("open", "tcp", address, port)
    opened = seconds_until(lambda: listens(port), within=OPENED_S, what=f"{address}:{port}: {notes(debian)}")
    assert talk(("127.0.0.1", port), b"hello") == b"hello"
    programs.tell("close", "tcp", address, port)
    closed = seconds_until(lambda: not listens(port), within=CLOSED_S, what=f"{address}:{port} is closed")
    print(f"\n{address}: opened {opened:.2f} s, closed {closed:.2f} s")
    assert {"forwarding", "stopping"} <= {e["type"] for e in events(debian) if e["hostAddr"] == f"127.0.0.1:{port}"}


def test_datagrams_come_back(debian: Home, programs: Programs) -> None:
    programs.tell("open", "udp", "127.0.0.1", 7010)
    wait_for(lambda: any("UDP from 127.0.0.1:7010" in n for n in notes(debian)), seconds=5, what="UDP is forwarded")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(10)
        client.connect(("127.0.0.1", 7010))
        for size in (1, 1400, 9000):
            client.send(bytes(size))
            assert client.recv(65536) == bytes(size)


def test_a_taken_port_is_had_once_it_is_free(debian: Home, programs: Programs) -> None:
    with socket.create_server(("127.0.0.1", 7020)):
        programs.tell("open", "tcp", "127.0.0.1", 7020)
        wait_for(lambda: any("7020" in e.get("error", "") for e in events(debian)), seconds=5, what="it is told")
    wait_for(lambda: answers(7020), seconds=10, what="it is forwarded after all")
    assert [e["type"] for e in events(debian) if e["hostAddr"] == "127.0.0.1:7020"] == ["failed", "forwarding"]


def test_a_hundred_clients_at_once_lose_nothing(debian: Home, programs: Programs) -> None:
    programs.tell("open", "tcp", "127.0.0.1", 7030)
    wait_for(lambda: answers(7030), seconds=5, what="it is forwarded")

    def client(number: int) -> bool:
        said = number.to_bytes(2, "big") * PIECE
        return talk(("127.0.0.1", 7030), said) == said

    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        assert all(pool.map(client, range(CLIENTS)))


def test_rules_decide(debian: Home, programs: Programs) -> None:
    for port in (7300, IGNORED, 7302):
        programs.tell("open", "tcp", "127.0.0.1", port)
    wait_for(lambda: answers(STATIC), seconds=10, what=f"ssh forwards the static port: {notes(debian)}")
    wait_for(lambda: answers(NAMED), seconds=5, what="the named port is forwarded")
    assert f"Not forwarding TCP 127.0.0.1:{IGNORED}" in notes(debian)
    assert not any(map(listens, (7300, IGNORED, 7302)))


def test_a_socket_of_the_guest(debian: Home, programs: Programs) -> None:
    programs.tell("open", "unix", "/tmp/echo.sock", 0)
    assert talk(os.path.join(debian.directory(NAME), "sock", "echo.sock"), b"hello") == b"hello"


def test_clients_of_a_restarted_agent_wait_for_it(debian: Home, programs: Programs) -> None:
    programs.tell("open", "tcp", "127.0.0.1", 7040)
    wait_for(lambda: answers(7040), seconds=5, what="it is forwarded")
    debian.ok("shell", NAME, "sudo", "systemctl", "restart", "lima-guestagent")
    wait_for(lambda: answers(7040), seconds=20, what="it is forwarded through the new agent")


def test_nothing_listens_after_the_end(debian: Home, programs: Programs) -> None:
    programs.tell("open", "tcp", "127.0.0.1", 7050)
    wait_for(lambda: answers(7050), seconds=5, what="it is forwarded")
    debian.ok("stop", NAME)
    assert not any(map(listens, (7050, STATIC)))
    assert not os.path.exists(os.path.join(debian.directory(NAME), "sock"))
