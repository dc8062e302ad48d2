"""Port forwards of a real guest: servers on its addresses, datagrams, sockets, taken ports, many clients at once."""

import asyncio
import concurrent.futures
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.e2e.conftest import Home, is_alive, wait_for
from tests.e2e.one_guest.guest import (
    IGNORED,
    NAME,
    NAMED,
    NAMED_HOST,
    PORTS,
    STATIC,
    STATIC_HOST,
    be_attended,
    notes,
)
from tests.e2e.one_guest.programs import Programs

pytestmark = [pytest.mark.guest, pytest.mark.needs_qemu]
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
FIRST, DATAGRAMS, TAKEN, CROWDED, RESTARTED, SHORT, LONG = PORTS[:7]
ADDRESSES = list(zip(("127.0.0.1", "0.0.0.0", "::1", "::"), PORTS[8:12], strict=True))
BACK, AT_ONCE = PORTS[20 : 20 + FORWARDS], PORTS[100 : 100 + MANY]


@pytest.fixture(scope="module", params=["false", "true"], ids=["agent", "openssh"])
def carrier(home_of_debian: Home, request: pytest.FixtureRequest) -> Iterator[str]:
    """Who carries the bytes: the guest goes on running, and gets another host agent."""
    choose(home_of_debian, request.param)
    yield str(request.param)
    if request.param == "true":
        choose(home_of_debian, "false")


def choose(home: Home, forwarder: str) -> None:
    if home.extra_env.get("LIMA_SSH_PORT_FORWARDER", "false") != forwarder:
        home.extra_env["LIMA_SSH_PORT_FORWARDER"] = forwarder
        pid = home.pid(NAME, "ha.pid")
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not is_alive(pid), seconds=10, what="the host agent dies")
        be_attended(home)


@pytest.fixture
def programs(programs: Programs) -> Programs:
    # imports and the first round trip are not what is measured
    programs.tell("open", "tcp", "127.0.0.1", FIRST)
    wait_for(lambda: answers(FIRST), seconds=15, what="the first port")
    return programs


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


@pytest.mark.parametrize(("address", "port"), ADDRESSES, ids=[address for address, _ in ADDRESSES])
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
    programs.tell("open", "udp", "127.0.0.1", DATAGRAMS)
    wait_for(
        lambda: any(f"UDP from 127.0.0.1:{DATAGRAMS}" in n for n in notes(debian)), seconds=5, what="UDP is forwarded"
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(10)
        client.connect(("127.0.0.1", DATAGRAMS))
        for size in (1, 1400, 9000):
            client.send(bytes(size))
            assert client.recv(65536) == bytes(size)


def test_a_taken_port_is_had_once_it_is_free(debian: Home, programs: Programs) -> None:
    with socket.create_server(("127.0.0.1", TAKEN)):
        programs.tell("open", "tcp", "127.0.0.1", TAKEN)
        wait_for(lambda: any(str(TAKEN) in e.get("error", "") for e in events(debian)), seconds=5, what="it is told")
    wait_for(lambda: answers(TAKEN), seconds=10, what="it is forwarded after all")
    assert [e["type"] for e in events(debian) if e["hostAddr"] == f"127.0.0.1:{TAKEN}"] == ["failed", "forwarding"]


def test_rules_decide(debian: Home, programs: Programs) -> None:
    for port in (STATIC, IGNORED, NAMED):
        programs.tell("open", "tcp", "127.0.0.1", port)
    wait_for(lambda: answers(STATIC_HOST), seconds=10, what=f"ssh forwards the static port: {notes(debian)}")
    wait_for(lambda: answers(NAMED_HOST), seconds=5, what="the named port is forwarded")
    assert f"Not forwarding TCP 127.0.0.1:{IGNORED}" in notes(debian)
    assert not any(map(listens, (STATIC, IGNORED, NAMED)))


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


def test_clients_of_a_restarted_agent_wait_for_it(debian: Home, programs: Programs) -> None:
    programs.tell("open", "tcp", "127.0.0.1", RESTARTED)
    wait_for(lambda: answers(RESTARTED), seconds=5, what="it is forwarded")
    debian.ok("shell", NAME, "sudo", "systemctl", "restart", "lima-guestagent")
    wait_for(lambda: answers(RESTARTED), seconds=20, what="it is forwarded through the new agent")


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


def open_all(programs: Programs, ports: range) -> range:
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
    programs.tell("open", "tcp", "127.0.0.1", CROWDED)
    wait_for(lambda: answers(CROWDED), seconds=10, what="it is forwarded")

    async def client(number: int) -> bool:
        said = number.to_bytes(2, "big") * PIECE
        async with connecting:
            reader, writer = await asyncio.open_connection("127.0.0.1", CROWDED)
        with contextlib.closing(writer):
            writer.write(said)
            # all are connected before any has said its last word
            await everybody.wait()
            writer.write_eof()
            return await reader.read() == said

    async def all_clients() -> list[bool | BaseException]:
        async with asyncio.timeout(240):
            return await asyncio.gather(*map(client, range(CLIENTS)), return_exceptions=True)

    everybody = asyncio.Barrier(CLIENTS)
    # OpenSSH lets 128 wait to be accepted (SSH_LISTEN_BACKLOG); the kernel resets some of those beyond
    connecting = asyncio.Semaphore(CLIENTS if carrier == "false" else 64)
    began = time.monotonic()
    heard = asyncio.run(all_clients())
    assert [each for each in heard if each is not True] == []
    print(f"\n{WHO[carrier]}: {CLIENTS} clients in {time.monotonic() - began:.1f} s")
    programs.tell("close", "tcp", "127.0.0.1", CROWDED)


def test_two_hundred_ports_at_once(debian: Home, carrier: str, programs: Programs) -> None:
    ports = open_all(programs, AT_ONCE)
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
        ports = open_all(programs, BACK)
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
        programs.tell("open", "tcp", "127.0.0.1", SHORT)
        seconds_until(lambda: answers(SHORT), within=10, what="it is forwarded")
        programs.tell("close", "tcp", "127.0.0.1", SHORT)
        seconds_until(lambda: not listens(SHORT), within=10, what="it is gone")

    round_trip()
    before = held(debian)
    for _ in range(100):
        round_trip()
    wait_for(lambda: all(now <= before[what] for what, now in held(debian).items()), seconds=15, what="as before")
    print(f"\n{WHO[carrier]}: {held(debian)}")


@pytest.mark.e2e_all
def test_a_gibibyte_is_whole_in_each_direction(debian: Home, carrier: str, programs: Programs) -> None:
    programs.tell("open", "stream", "127.0.0.1", LONG)
    wait_for(lambda: listens(LONG), seconds=10, what="it is forwarded")
    size = 1024
    for down in (True, False):
        began = time.monotonic()
        with socket.create_connection(("127.0.0.1", LONG), timeout=120) as peer:
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
    programs.tell("close", "stream", "127.0.0.1", LONG)
