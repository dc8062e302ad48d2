"""The guest agent in a real guest, over its real virtio-serial port. Boots Debian 13 once, 12 and 11 in `make e2e-all`.

The host agent is killed first (its guest outlives it), so that the port is this test's alone. Times are the guest's own:
an emulated guest on a busy machine is slow, but its clock compares with itself.
"""

import contextlib
import hashlib
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from lima.adapters.guestagent._generated import guestservice_pb2 as wire
from tests.agent_process import Client, data, hello, ports
from tests.e2e.conftest import COLD_S, REPO, WARM_S, Home, fresh_home, is_alive, wait_for

pytestmark = [pytest.mark.guest, pytest.mark.needs_qemu]
NAME = "agent"
SECOND = 10**9
OPENED_WITHIN, CLOSED_WITHIN = SECOND // 2, SECOND
IDLE_S = 60


class Guest:
    """A guest whose host agent is gone."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.socket_path = home.file(NAME, "ga.sock")

    def command(self, *words: str) -> list[str]:
        return ["ssh", "-F", self.home.file(NAME, "ssh.config"), f"lima-{NAME}", shlex.join(words)]

    def run(self, script: str, *, timeout: float = WARM_S) -> str:
        done = subprocess.run(
            self.command("sudo", "sh", "-c", script), capture_output=True, text=True, timeout=timeout, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def python(self, code: str) -> "subprocess.Popen[str]":
        """A program in the guest, whose lines come as it prints them."""
        return subprocess.Popen(
            self.command("sudo", "python3", "-ISuc", code), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def pid(self) -> int:
        return int(self.run("systemctl show -p MainPID --value lima-guestagent"))

    def cpu_ticks(self) -> int:
        fields = self.run(f"cat /proc/{self.pid()}/stat").rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])


def without_host_agent(home: Home) -> None:
    pid = home.pid(NAME, "ha.pid")
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not is_alive(pid), seconds=10, what="the host agent is gone")


@pytest.fixture(
    scope="module",
    params=["default", *(pytest.param(name, marks=pytest.mark.e2e_all) for name in ("debian-12", "debian-11"))],
)
def guest(request: pytest.FixtureRequest) -> Iterator[Guest]:
    with fresh_home() as home:
        home.ok("start", "--tty=false", f"--name={NAME}", f"template:{request.param}", timeout=COLD_S)
        without_host_agent(home)
        yield Guest(home)


@pytest.fixture
def client(guest: Guest) -> Iterator[Client]:
    with Client(guest.socket_path) as connection:
        wait_for(lambda: answers(connection), seconds=60, what="the agent answers")
        yield connection


def answers(client: Client) -> bool:
    with contextlib.suppress(Exception):
        return bool(client.info(timeout=20))
    return False


def test_it_is_installed_unpacked_and_runs_as_a_service(guest: Guest, client: Client) -> None:
    assert guest.run("systemctl is-active lima-guestagent; systemctl is-enabled lima-guestagent") == "active\nenabled"
    assert "io.lima-vm.guest_agent.0" in guest.run(f"cat /proc/{guest.pid()}/cmdline | tr '\\0' ' '")
    assert guest.run("ls /usr/local/lib/lima-guestagent/lima_guestagent/__pycache__ | grep -c grpc_server") == "1"
    assert ("tcp", "0.0.0.0", 22) in client.info()


OPEN = """
import socket, sys, time
kinds = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
for protocol, address, port in (("tcp", "127.0.0.1", 8081), ("udp", "0.0.0.0", 8082), ("tcp", "::", 8083), ("udp", "::1", 8084)):
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kinds[protocol]) as s:
        s.bind((address, port))
        if protocol == "tcp":
            s.listen()
        print(time.time_ns(), protocol, address, port)
        sys.stdin.readline()
    print(time.time_ns())
    sys.stdin.readline()
"""


def test_ports_are_reported_within_half_a_second_and_their_end_within_one(guest: Guest, client: Client) -> None:
    guest.run("rm -f /run/lima-guestagent/event-state.json")
    events = client.events()
    next(events)
    with guest.python(OPEN) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        for _ in range(4):
            opened, protocol, address, number = program.stdout.readline().split()
            port = (protocol, address, int(number))
            event = next(e for e in events if port in ports(e.added_local_ports))
            assert event.time.ToNanoseconds() - int(opened) <= OPENED_WITHIN
            print("\n", file=program.stdin, end="", flush=True)
            closed = int(program.stdout.readline())
            event = next(e for e in events if port in ports(e.removed_local_ports))
            assert event.time.ToNanoseconds() - closed <= CLOSED_WITHIN
            print("\n", file=program.stdin, end="", flush=True)


PUBLISH = """
import subprocess, sys, time
RULES = {
    "nft": (
        "nft add table ip t; nft 'add chain ip t c { type nat hook prerouting priority -100; }';"
        " nft add rule ip t c tcp dport 8085 dnat to 10.88.0.9:80",
        "nft delete table ip t",
    ),
    "iptables": (
        "iptables -t nat -A PREROUTING -p tcp --dport 8086 -j DNAT --to-destination 10.88.0.9:80",
        "iptables -t nat -D PREROUTING 1",
    ),
}
for publish, withdraw in RULES.values():
    for command in (publish, withdraw):
        subprocess.run(command, shell=True, check=True)
        print(time.time_ns())
        sys.stdin.readline()
"""


@pytest.mark.e2e_all
def test_ports_published_by_rules_alone_are_reported_in_the_same_time(
    guest: Guest, request: pytest.FixtureRequest
) -> None:
    # a host agent looks up names for the guest
    guest.home.ok("start", "--tty=false", NAME)
    guest.run(
        "apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -yq nftables iptables", timeout=COLD_S
    )
    without_host_agent(guest.home)
    # told of nothing yet, the agent begins with what there is
    guest.run("rm -f /run/lima-guestagent/event-state.json")
    events = request.getfixturevalue("client").events()
    next(events)
    with guest.python(PUBLISH) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        for number in (8085, 8086):
            published = int(program.stdout.readline())
            event = next(e for e in events if number in {port[2] for port in ports(e.added_local_ports)})
            took = event.time.ToNanoseconds() - published
            print("\n", file=program.stdin, end="", flush=True)
            withdrawn = int(program.stdout.readline())
            event = next(e for e in events if number in {port[2] for port in ports(e.removed_local_ports)})
            took_end = event.time.ToNanoseconds() - withdrawn
            print("\n", file=program.stdin, end="", flush=True)
            print(
                f"port {number} published by a rule: seen after {took / SECOND:.2f} s, gone after {took_end / SECOND:.2f} s"
            )
            assert took <= OPENED_WITHIN
            assert took_end <= CLOSED_WITHIN


def test_kernel_events_are_on_while_somebody_watches(guest: Guest, client: Client) -> None:
    # in /sys/kernel/tracing/instances: another's tracing is not touched
    instance = "/sys/kernel/tracing/instances/lima-guestagent"
    events = client.events()
    probe = f"cat {instance}/events/lima_guestagent/inet_bind/enable 2>/dev/null || true"
    wait_for(lambda: guest.run(probe) == "1", seconds=20, what="tracing is on")
    # which ends emulated kernels when it is switched
    assert guest.run(f"cat {instance}/events/syscalls/sys_exit_bind/enable") == "0"
    events.cancel()
    wait_for(
        lambda: guest.run(f"test -d {instance} && echo on || echo off") == "off", seconds=20, what="tracing is off"
    )


def test_eight_megabytes_each_way_are_intact(guest: Guest, client: Client) -> None:
    code = (
        "import hashlib, os, socket\n"
        "l = socket.create_server(('127.0.0.1', 0)); print(l.getsockname()[1])\n"
        "c = l.accept()[0]; heard = hashlib.sha256(); said = os.urandom(8 << 20)\n"
        "while True:\n"
        " piece = c.recv(1 << 16)\n"
        " if not piece: break\n"
        " heard.update(piece)\n"
        "print(heard.hexdigest(), hashlib.sha256(said).hexdigest()); c.sendall(said); c.close()\n"
    )
    payload = os.urandom(8 << 20)
    with guest.python(code) as program:
        assert program.stdout is not None
        address = f"127.0.0.1:{int(program.stdout.readline())}"
        pieces = (payload[at : at + (1 << 16)] for at in range(0, len(payload), 1 << 16))
        received = hashlib.sha256()
        for message in client.tunnel(iter([hello(address), *map(data, pieces)])):
            received.update(message.data)
        heard, said = program.stdout.readline().split()
    assert heard == hashlib.sha256(payload).hexdigest()
    assert said == received.hexdigest()


def test_a_killed_host_is_followed_by_the_next(guest: Guest) -> None:
    code = (
        "import sys; sys.path[:0] = sys.argv[2:]\n"
        "from tests.agent_process import Client, hello, data\n"
        "c = Client(sys.argv[1]); print(len(c.info(timeout=60)), flush=True)\n"
        "import threading; begin = threading.Event()\n"
        "def host():\n yield hello('127.0.0.1:22'); begin.wait()\n while True: yield data(bytes(1 << 16))\n"
        "for message in c.tunnel(host()): print('going', flush=True); begin.set()\n"
    )
    for _ in range(3):
        argv = [sys.executable, "-c", code, guest.socket_path, REPO, os.path.join(REPO, "src")]
        with subprocess.Popen(argv, stdout=subprocess.PIPE) as host:
            assert host.stdout is not None
            assert host.stdout.readline().strip().isdigit()
            assert host.stdout.readline() == b"going\n"
            host.kill()
        with Client(guest.socket_path) as client:
            wait_for(lambda client=client: answers(client), seconds=60, what="the next host is served")


def test_the_clock_is_set_from_the_host(guest: Guest, client: Client) -> None:
    guest.run("date -s '2021-02-03 04:05:06'")
    request = wire.TimeSyncRequest()
    request.host_time.FromNanoseconds(time.time_ns())
    answer = client.unary("SyncTime", request, timeout=60)
    assert (answer.adjusted, answer.error) == (True, "")
    assert answer.drift_ms < -365 * 24 * 3600 * 1000
    assert abs(int(guest.run("date +%s")) - time.time()) < 60


def test_times_of_files_are_replayed(guest: Guest, client: Client) -> None:
    guest.run("touch /tmp/replayed")
    message = wire.Inotify(mount_path="/tmp/replayed")
    message.time.FromNanoseconds(1_600_000_000_000_000_000)
    client.inotify([message])
    assert guest.run("stat -c %Y /tmp/replayed") == "1600000000"


@pytest.mark.e2e_all
def test_idle_it_stays_within_its_budget(guest: Guest, client: Client) -> None:
    events = client.events()
    guest.run("true")
    pid, before, started = guest.pid(), guest.cpu_ticks(), float(guest.run("cut -d' ' -f1 /proc/uptime"))
    guest.run(f"sleep {IDLE_S}")
    used = (guest.cpu_ticks() - before) / int(guest.run("getconf CLK_TCK"))
    passed = float(guest.run("cut -d' ' -f1 /proc/uptime")) - started
    resident = int(guest.run(f"awk '/^Rss:/ {{print $2}}' /proc/{pid}/smaps_rollup"))
    events.cancel()
    print(f"idle: {resident} KiB resident, {100 * used / passed:.2f} % of a core")
    assert resident <= 30 << 10
    assert used / passed < 0.005


def test_it_ends_cleanly_and_is_started_again(guest: Guest, client: Client) -> None:
    old = guest.pid()
    guest.run("systemctl restart lima-guestagent")
    assert guest.pid() != old
    assert guest.run("journalctl -u lima-guestagent -o cat | grep -c Traceback || true") == "0"
    guest.run(f"kill -9 {guest.pid()}")
    wait_for(
        lambda: guest.run("systemctl is-active lima-guestagent || true") == "active", seconds=60, what="it is back"
    )
    wait_for(lambda: answers(client), seconds=60, what="the agent answers again")
