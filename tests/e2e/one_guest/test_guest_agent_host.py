"""The host's end of the guest agent on a real guest: ports, clock, a host agent that dies, an agent that restarts, ssh."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from tests.e2e.conftest import COLD_S, Home, is_alive, wait_for
from tests.e2e.one_guest.guest import NAME, PORTS, ask, is_attended, notes
from tests.e2e.one_guest.programs import Programs

pytestmark = [pytest.mark.guest, pytest.mark.needs_qemu]
FIRST, ONE, TWO, THREE, FOUR, FIVE = PORTS[:6]
OPENED_S = 0.5
CLOSED_S = 1.0
CLOCK_S = 12.0
CLOCK_ERROR_S = 1.0
FLOOD = """
import asyncio, sys
from lima.adapters.guestagent.client import GrpcGuestAgent
from lima.domain.guest_ports import GuestPort, PortProtocol

async def main():
    agent = GrpcGuestAgent()
    await agent.connect(sys.argv[1])
    tunnel = await agent.tunnel(GuestPort(PortProtocol.UDP, "127.0.0.1", 9))
    sent = 0
    while True:
        await tunnel.send(bytes(60_000))
        sent += 1
        if sent == 50:
            print("flowing", flush=True)

asyncio.run(main())
"""


def ports(home: Home) -> set[tuple[str, str, int]]:
    return {(port["protocol"], port["ip"], port["port"]) for port in ask(home, "/v1/ports")["ports"]}


def log(home: Home) -> list[str]:
    return [note for note in notes(home) if "agent" in note]


def root(home: Home, script: str) -> str:
    return home.ok("shell", NAME, "sudo", "sh", "-c", script).out.strip()


@pytest.fixture
def programs(debian: Home, programs: Programs) -> Programs:
    # imports and the first round trip are not what is measured
    programs.tell("open", "tcp", "127.0.0.1", FIRST)
    wait_for(lambda: ("tcp", "127.0.0.1", FIRST) in ports(debian), seconds=10, what="the first port")
    return programs


def seconds_until(condition: Callable[[], bool], *, within: float, what: str) -> float:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < within, f"not within {within} s: {what}"
        time.sleep(0.02)
    return time.monotonic() - began


@pytest.mark.parametrize(
    ("kind", "address", "port"),
    [("tcp", "127.0.0.1", ONE), ("tcp", "0.0.0.0", TWO), ("udp", "127.0.0.1", THREE), ("tcp", "::1", FOUR), ("udp", "::", FIVE)],
    ids=["tcp", "tcp-anywhere", "udp", "tcp6", "udp6-anywhere"],
)  # fmt: skip
def test_a_port_is_seen_as_it_opens_and_as_it_closes(
    debian: Home, programs: Programs, kind: str, address: str, port: int
) -> None:
    seen = (kind, address, port)
    programs.tell("open", kind, address, port)
    opened = seconds_until(lambda: seen in ports(debian), within=OPENED_S, what=f"{seen} is open")
    programs.tell("close", kind, address, port)
    closed = seconds_until(lambda: seen not in ports(debian), within=CLOSED_S, what=f"{seen} is closed")
    print(f"\n{seen}: opened {opened:.2f} s, closed {closed:.2f} s")


def test_sshd_is_among_them(debian: Home) -> None:
    assert ("tcp", "0.0.0.0", 22) in ports(debian)


def clock_error_s(home: Home) -> float:
    """How far the guest's clock is from the host's at least; what it takes to ask is no error."""
    before = time.time()
    guest = float(root(home, "date +%s.%N"))
    return max(before - guest, guest - time.time(), 0.0)


def assert_clock_is_right_in_time(home: Home) -> None:
    began = time.monotonic()
    wait_for(lambda: clock_error_s(home) < CLOCK_ERROR_S, seconds=CLOCK_S, what="the guest's clock is right")
    took = time.monotonic() - began
    # and stays so: what follows a correction is no swing
    time.sleep(1)
    assert clock_error_s(home) < CLOCK_ERROR_S
    print(f"\nthe guest's clock was right after {took:.1f} s")


def test_a_clock_that_was_set_back_is_right_again(debian: Home) -> None:
    assert clock_error_s(debian) < CLOCK_ERROR_S
    root(debian, "date -s @$(($(date +%s) - 3600))")
    assert_clock_is_right_in_time(debian)


def monitor(home: Home, command: str) -> None:
    with socket.socket(socket.AF_UNIX) as peer, peer.makefile("rw", encoding="utf-8") as lines:
        peer.settimeout(10)
        peer.connect(os.path.join(home.path, "qmp.sock"))
        assert "QMP" in json.loads(lines.readline())
        for name in ("qmp_capabilities", command):
            lines.write(json.dumps({"execute": name}) + "\n")
            lines.flush()
            while "return" not in json.loads(lines.readline()):
                pass


@pytest.mark.parametrize("seconds", [3, pytest.param(60, marks=pytest.mark.e2e_all)])
def test_a_clock_is_right_after_a_pause(debian: Home, seconds: int) -> None:
    monitor(debian, "stop")
    time.sleep(seconds)
    monitor(debian, "cont")
    assert_clock_is_right_in_time(debian)


def test_a_restarted_agent_is_found_at_once(debian: Home, programs: Programs) -> None:
    root(debian, "systemctl restart lima-guestagent")
    programs.tell("open", "tcp", "127.0.0.1", ONE)
    wait_for(lambda: ("tcp", "127.0.0.1", ONE) in ports(debian), seconds=8, what="the new agent's report")
    assert is_attended(debian)


def test_an_agent_that_was_killed_comes_back(debian: Home, programs: Programs) -> None:
    root(debian, "systemctl kill -s KILL lima-guestagent")
    programs.tell("open", "udp", "127.0.0.1", TWO)
    wait_for(lambda: ("udp", "127.0.0.1", TWO) in ports(debian), seconds=20, what="the new agent's report")


@contextlib.contextmanager
def without_host_agent(home: Home) -> Iterator[None]:
    """The host agent dies, and another takes its place."""
    pid = home.pid(NAME, "ha.pid")
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not is_alive(pid), seconds=10, what="the host agent dies")
    yield
    home.ok("start", "--tty=false", NAME)
    wait_for(lambda: is_attended(home), seconds=15, what=f"attended again: {log(home)}")


def test_a_host_agent_that_was_killed_is_followed_by_one_that_knows_the_ports(debian: Home) -> None:
    with without_host_agent(debian):
        pass
    assert ("tcp", "0.0.0.0", 22) in ports(debian)


def test_a_peer_that_was_killed_in_the_middle_of_a_frame_leaves_nothing_behind(debian: Home) -> None:
    """What it had begun to say is still in the serial port when the next host agent says hello."""
    with (
        without_host_agent(debian),
        subprocess.Popen(
            [sys.executable, "-c", FLOOD, debian.file(NAME, "ga.sock")], stdout=subprocess.PIPE, env=debian.env()
        ) as flood,
    ):
        assert flood.stdout is not None
        assert flood.stdout.readline() == b"flowing\n"
        flood.kill()
    assert ("tcp", "0.0.0.0", 22) in ports(debian)


def test_an_agent_without_a_serial_port_is_reached_over_ssh(debian: Home) -> None:
    root(debian, "systemctl stop lima-guestagent")
    wait_for(lambda: not is_attended(debian), seconds=10, what="the agent is gone")
    root(debian, "systemd-run --unit=ga-unix $(command -v lima-guestagent) daemon --socket-owner 1000")
    try:
        wait_for(lambda: is_attended(debian), seconds=60, what=f"attended over ssh: {log(debian)}")
        assert os.path.exists(debian.file(NAME, "ga-ssh.sock"))
    finally:
        root(debian, "systemctl stop ga-unix; systemctl start lima-guestagent")
    wait_for(lambda: is_attended(debian), seconds=20, what=f"attended over the port again: {log(debian)}")


@pytest.mark.e2e_all
def test_after_a_reboot_the_agent_is_attended_again(debian: Home) -> None:
    debian.limactl("shell", NAME, "sudo", "systemctl", "reboot")
    wait_for(lambda: not is_attended(debian), seconds=60, what="the guest goes down")
    wait_for(lambda: is_attended(debian), seconds=COLD_S, what=f"attended after the reboot: {log(debian)}")
    assert ("tcp", "0.0.0.0", 22) in ports(debian)
