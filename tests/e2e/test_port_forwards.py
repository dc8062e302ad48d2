"""Port forwards of a real guest: servers on its addresses, datagrams, sockets, taken ports, many clients at once."""

import asyncio
import concurrent.futures
import contextlib
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.e2e.conftest import COLD_S, Home, fresh_home, wait_for

pytestmark = [pytest.mark.guest, pytest.mark.needs_qemu]
NAME = "default"
OPENED_S = 0.5
CLOSED_S = 1.0
CLIENTS = 1000
PIECE = 1000
FORWARDS = 50
MANY = 200
ALONE = ("-o", "ControlMaster=no", "-o", "ControlPath=none")
WHO = {"false": "agent", "true": "openssh"}
BACK_S = 2.0
"""Over a fresh ssh login."""
PROGRAM = """
import resource, socket, sys, threading

_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
threading.stack_size(256 << 10)

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

def flood(peer, size):
    block = bytes(1 << 20)
    for _ in range(size):
        peer.sendall(block)
    peer.close()

def swallow(peer):
    heard = 0
    while piece := peer.recv(1 << 20):
        heard += len(piece)
    peer.sendall(b"%d" % heard)
    peer.close()

def stream(listener):
    # gives as many MiB as the first four bytes say, or counts what it is given
    while True:
        try:
            peer = listener.accept()[0]
        except OSError:
            return
        size = int.from_bytes(peer.recv(4), "big")
        threading.Thread(target=flood if size else swallow, args=(peer, size)[: 2 if size else 1], daemon=True).start()

held = {}
for line in sys.stdin:
    verb, kind, address, port = line.split()
    key = (kind, address, port)
    if verb == "ask":
        peer = socket.socket(socket.AF_UNIX)
        peer.connect(address)
        peer.sendall(b"hello")
        peer.shutdown(socket.SHUT_WR)
        print(peer.recv(99).decode() or "nothing", flush=True)
        continue
    if verb == "open":
        family = socket.AF_UNIX if kind == "unix" else socket.AF_INET6 if ":" in address else socket.AF_INET
        one = held[key] = socket.socket(family, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind(address if kind == "unix" else (address, int(port)))
        if kind != "udp":
            one.listen(1024)
        what = {"udp": echo, "stream": stream}.get(kind, serve)
        threading.Thread(target=what, args=(one,), daemon=True).start()
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
- {{guestSocket: /tmp/host.sock, hostSocket: HOME/host.sock, reverse: true}}
"""


class Programs:
    """A program in the guest that opens and closes ports when it is told."""

    def __init__(self, home: Home, *ssh_options: str) -> None:
        argv = home.command("shell", NAME, "python3", "-c", PROGRAM)
        if ssh_options:
            config = home.file(NAME, "ssh.config")
            argv = ["ssh", "-F", config, *ssh_options, f"lima-{NAME}", shlex.join(["python3", "-c", PROGRAM])]
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=home.env())

    def tell(self, verb: str, kind: str, address: str, port: int) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{verb} {kind} {address} {port}\n".encode())
        self._process.stdin.flush()
        assert self._process.stdout.readline() == b"done\n"

    def ask_host(self, path: str) -> str:
        """What a client in the guest hears from a socket there."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"ask unix {path} 0\n".encode())
        self._process.stdin.flush()
        return self._process.stdout.readline().decode().strip()

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture(scope="module")
def debian() -> Iterator[Home]:
    with fresh_home() as home:
        path = os.path.join(home.path, "forwards.yaml")
        with open(path, "w", encoding="ascii") as file:
            file.write(TEMPLATE.replace("HOME", home.path))
        home.ok("start", "--tty=false", f"--name={NAME}", path, timeout=COLD_S)
        wait_for(lambda: "Guest agent is running" in notes(home), seconds=60, what="the agent is attended")
        yield home


@pytest.fixture(scope="module", params=["false", "true"], ids=["agent", "openssh"])
def carrier(debian: Home, request: pytest.FixtureRequest) -> str:
    """Who carries the bytes: the guest goes on running, and gets another host agent."""
    if debian.extra_env.get("LIMA_SSH_PORT_FORWARDER", "false") != request.param:
        debian.extra_env["LIMA_SSH_PORT_FORWARDER"] = request.param
        os.kill(debian.pid(NAME, "ha.pid"), signal.SIGKILL)
        debian.ok("start", NAME)
    return str(request.param)


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
    said = {"forwarding", "stopping"}
    wait_for(
        lambda: said <= {e["type"] for e in events(debian) if e["hostAddr"] == f"127.0.0.1:{port}"},
        seconds=5, what="both are told",
    )  # fmt: skip


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


def test_a_socket_of_the_host_is_in_the_guest(debian: Home, programs: Programs) -> None:
    def answer(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                with listener.accept()[0] as peer:
                    while peer.recv(99):
                        pass
                    peer.sendall(b"host")

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.join(debian.path, "host.sock"))
        listener.listen()
        threading.Thread(target=answer, args=(listener,), daemon=True).start()
        assert programs.ask_host("/tmp/host.sock") == "host"
        assert "Forwarding TCP from " in "\n".join(notes(debian))
        kill_master(debian)
        again = Programs(debian)
        wait_for(lambda: again.ask_host("/tmp/host.sock") == "host", seconds=20, what="it is there again")
        again.close()
        listener.shutdown(socket.SHUT_RDWR)


# --- by OpenSSH and by the guest agent -------------------------------------------------------------------------------


def ssh(home: Home, *words: str) -> "subprocess.CompletedProcess[bytes]":
    argv = ["ssh", "-F", home.file(NAME, "ssh.config"), *words]
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)


def master(home: Home) -> int:
    found = re.search(rb"pid=(\d+)", ssh(home, "-O", "check", f"lima-{NAME}").stderr)
    return int(found[1]) if found else 0


def kill_master(home: Home) -> None:
    os.kill(master(home), signal.SIGKILL)


def login_s(home: Home) -> float:
    """A fresh login, as this guest takes it on this machine now."""
    began = time.monotonic()
    assert ssh(home, *ALONE, f"lima-{NAME}", "true").returncode == 0
    return time.monotonic() - began


def open_many(programs: Programs, first: int, count: int) -> range:
    ports = range(first, first + count)
    for port in ports:
        programs.tell("open", "tcp", "127.0.0.1", port)
    return ports


def unanswered(ports: range) -> list[int]:
    with concurrent.futures.ThreadPoolExecutor(FORWARDS) as pool:
        return [port for port, answered in zip(ports, pool.map(answers, ports), strict=True) if not answered]


def all_answer(ports: range) -> bool:
    return not unanswered(ports)


@contextlib.contextmanager
def programs_beyond_ssh(home: Home) -> Iterator[Programs]:
    """They go on when the control master is killed: over a connection of their own."""
    programs = Programs(home, *ALONE)
    yield programs
    programs.close()


@pytest.mark.e2e_all  # tests/integration/test_forwarding.py has it without a machine
def test_a_thousand_clients_at_once_lose_nothing(debian: Home, carrier: str, programs: Programs) -> None:
    programs.tell("open", "tcp", "127.0.0.1", 7030)
    wait_for(lambda: answers(7030), seconds=10, what="it is forwarded")

    async def client(number: int) -> bool:
        said = number.to_bytes(2, "big") * PIECE
        async with connecting:
            reader, writer = await asyncio.open_connection("127.0.0.1", 7030)
        writer.write(said)
        ready.append(number)
        # all are connected before any has said its last word
        async with asyncio.timeout(120):
            while len(ready) < CLIENTS:
                await asyncio.sleep(0.05)
        writer.write_eof()
        heard = await asyncio.wait_for(reader.read(), 120)
        writer.close()
        return heard == said

    async def all_clients() -> list[bool]:
        return await asyncio.gather(*map(client, range(CLIENTS)))

    ready: list[int] = []
    # OpenSSH lets 128 wait to be accepted (SSH_LISTEN_BACKLOG); the kernel resets some of those beyond
    connecting = asyncio.Semaphore(CLIENTS if carrier == "false" else 64)
    began = time.monotonic()
    assert all(asyncio.run(all_clients()))
    print(f"\n{WHO[carrier]}: {CLIENTS} clients in {time.monotonic() - began:.1f} s")
    programs.tell("close", "tcp", "127.0.0.1", 7030)


def test_two_hundred_ports_at_once(debian: Home, carrier: str, programs: Programs) -> None:
    ports = open_many(programs, 7400, MANY)
    # each question to one that listens is a tunnel: the last one is asked first
    took = seconds_until(lambda: all(map(listens, reversed(ports))), within=10, what="all are forwarded")
    print(f"\n{WHO[carrier]}: {MANY} ports in {took:.2f} s after the last was opened")
    assert unanswered(ports) == []
    for port in ports:
        programs.tell("close", "tcp", "127.0.0.1", port)
    took = seconds_until(lambda: not any(map(listens, ports)), within=10, what="none is forwarded")
    print(f"{WHO[carrier]}: gone {took:.2f} s after the last was closed")


@pytest.mark.e2e_all  # tests/integration/test_forwarding.py has it without a machine
def test_fifty_forwards_are_back_after_whatever_is_killed(debian: Home, carrier: str) -> None:
    with programs_beyond_ssh(debian) as programs:
        ports = open_many(programs, 7700, FORWARDS)
        wait_for(lambda: all_answer(ports), seconds=15, what="all are forwarded")
        before = held(debian)
        for what, kill in (("control master", kill_master), ("guest agent", kill_guest_agent)):
            login = login_s(debian)
            kill(debian)
            took = seconds_until(lambda: all_answer(ports), within=30, what=f"all are back after the {what}")
            print(f"\n{WHO[carrier]}: back {took:.2f} s after the {what} was killed; a login takes {login:.2f} s")
            assert took <= login + BACK_S
        login = login_s(debian)
        os.kill(debian.pid(NAME, "ha.pid"), signal.SIGKILL)
        debian.ok("start", NAME)
        took = seconds_until(lambda: all_answer(ports), within=30, what="all are back after the host agent")
        print(f"{WHO[carrier]}: back {took:.2f} s after the next start")
        assert took <= login + BACK_S
        assert held(debian)["processes"] <= before["processes"]


def kill_guest_agent(home: Home) -> None:
    home.ok("shell", NAME, "sudo", "systemctl", "kill", "-s", "KILL", "lima-guestagent")


def held(home: Home) -> dict[str, int]:
    """What the host agent and the control master hold at this moment."""
    agent, ssh_master = home.pid(NAME, "ha.pid"), master(home)
    return {
        "descriptors": len(os.listdir(f"/proc/{agent}/fd")),
        "of ssh": len(os.listdir(f"/proc/{ssh_master}/fd")),
        "threads": len(os.listdir(f"/proc/{agent}/task")),
        "processes": len(home.processes(NAME)),
    }


@pytest.mark.e2e_all  # tests/integration/test_forwarding.py has it without a machine
def test_a_hundred_rounds_leave_nothing_behind(debian: Home, carrier: str, programs: Programs) -> None:
    def round_trip() -> None:
        programs.tell("open", "tcp", "127.0.0.1", 7800)
        seconds_until(lambda: answers(7800), within=10, what="it is forwarded")
        programs.tell("close", "tcp", "127.0.0.1", 7800)
        seconds_until(lambda: not listens(7800), within=10, what="it is gone")

    round_trip()
    before = held(debian)
    for _ in range(100):
        round_trip()
    wait_for(lambda: all(now <= before[what] for what, now in held(debian).items()), seconds=15, what="as before")
    print(f"\n{WHO[carrier]}: {held(debian)}")


@pytest.mark.e2e_all
def test_a_gibibyte_is_whole_in_each_direction(debian: Home, carrier: str, programs: Programs) -> None:
    programs.tell("open", "stream", "127.0.0.1", 7900)
    wait_for(lambda: listens(7900), seconds=10, what="it is forwarded")
    size = 1024
    for down in (True, False):
        began = time.monotonic()
        with socket.create_connection(("127.0.0.1", 7900), timeout=120) as peer:
            peer.sendall((size if down else 0).to_bytes(4, "big"))
            if down:
                heard = 0
                while piece := peer.recv(1 << 20):
                    heard += len(piece)
            else:
                block = bytes(1 << 20)
                for _ in range(size):
                    peer.sendall(block)
                peer.shutdown(socket.SHUT_WR)
                heard = int(peer.recv(99))
        rate = size / (time.monotonic() - began)
        print(f"\n{WHO[carrier]}: {rate:.1f} MiB/s {'from' if down else 'to'} the guest")
        assert heard == size << 20
    programs.tell("close", "stream", "127.0.0.1", 7900)


# --- whatever carries them -------------------------------------------------------------------------------------------


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
    sockets = os.path.join(debian.directory(NAME), "sock")
    # the folder stays where the host agent that made it was killed
    assert not os.path.exists(sockets) or os.listdir(sockets) == []
