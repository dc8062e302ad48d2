"""A virtio-serial port, played by two FIFOs: like the port, reading one gives nothing while its other end is closed,
and it can be opened again. The real port is in tests/e2e/test_agent.py."""

import contextlib
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator

import grpc
import pytest
from tests.agent_process import AGENT, Client, Server, data, echo, hello, until
from tests.integration.agent.test_agent import PREFACE, headers_frame

PORT = """
import asyncio, os, sys
agent, to_guest, from_guest, runtime_dir = sys.argv[1:]
sys.path[:0] = [agent, agent + "/vendor/py39"]
sys.modules["ssl"] = None
from lima_guestagent import channel, cli, daemon
options = cli.Options()
options.runtime_dir, options.tick_s = runtime_dir, 0.2
loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
class Port(daemon.Daemon):
    def _listen(self):
        read_fd = os.open(to_guest, os.O_RDONLY | os.O_NONBLOCK)
        write_fd = os.open(from_guest, os.O_RDWR | os.O_NONBLOCK)
        self.serve(channel.SerialChannel(self._loop, read_fd, write_fd), endless=True)
loop.run_until_complete(Port(loop, options, most_tunnels=100, most_pins=100).run())
"""


class Chardev:
    """QEMU's side: a unix socket for one host at a time, whose bytes go to the port and back.

    `tells` is whether the guest learns that a host went; a slow guest may see the next one's bytes at once. `is_late`: it
    sees the first bytes of a host before it learns that one is there.
    """

    def __init__(self, folder: str, *, tells: bool, is_late: bool = False) -> None:
        self._is_late = is_late
        self.path = os.path.join(folder, "ga.sock")
        self._to_guest, self._from_guest = os.path.join(folder, "to"), os.path.join(folder, "from")
        os.mkfifo(self._to_guest)
        os.mkfifo(self._from_guest)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen()
        self._kept = -1 if tells else os.open(self._to_guest, os.O_RDWR)
        self._read = os.open(self._from_guest, os.O_RDONLY | os.O_NONBLOCK)
        with open(os.path.join(folder, "log"), "ab") as log:
            argv = [sys.executable, "-IS", "-c", PORT, AGENT, self._to_guest, self._from_guest, folder]
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=log)
        self.hosts = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while True:
                # like QEMU: what nobody takes is dropped
                ready, _, _ = select.select([self._listener, self._read], [], [])
                if self._read in ready:
                    os.read(self._read, 1 << 16)
                if self._listener not in ready:
                    continue
                host = self._listener.accept()[0]
                with host:
                    if self._is_late:
                        self._say_early(host.recv(1 << 16))
                    to_guest = os.open(self._to_guest, os.O_WRONLY)
                    os.set_blocking(to_guest, False)
                    self._pump(host, to_guest)
                os.close(to_guest)
                self.hosts += 1

    def _say_early(self, first: bytes) -> None:
        """Bytes, and no host."""
        with open(self._to_guest, "wb") as to_guest:
            to_guest.write(first)
        time.sleep(0.05)  # the agent reads that nobody is there

    def _pump(self, host: socket.socket, to_guest: int) -> None:
        """Neither way waits for the other: a host that does not read is still read from."""
        inward = outward = b""
        with contextlib.suppress(ConnectionError):
            while True:
                readable = [each for each, kept in ((host, inward), (self._read, outward)) if not kept]
                writable = [each for each, kept in ((to_guest, inward), (host, outward)) if kept]
                readable, writable, _ = select.select(readable, writable, [])
                if host in readable:
                    inward = host.recv(1 << 16)
                    if not inward:
                        return
                if self._read in readable:
                    outward = os.read(self._read, 1 << 16)
                if to_guest in writable:
                    inward = inward[os.write(to_guest, inward) :]
                if host in writable:
                    outward = outward[host.send(outward, socket.MSG_DONTWAIT) :]

    def say(self, said: bytes) -> None:
        """A host that says this, and vanishes."""
        before = self.hosts
        with socket.socket(socket.AF_UNIX) as host:
            host.connect(self.path)
            host.sendall(said)
        until(lambda: self.hosts > before, "the host is gone")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._listener.close()


MODES = {"told": {"tells": True}, "not-told": {"tells": False}, "late": {"tells": True, "is_late": True}}


@pytest.fixture(params=MODES)
def port(request: pytest.FixtureRequest) -> Iterator[Chardev]:
    folder = tempfile.mkdtemp(prefix="ga-", dir="/tmp")
    chardev = Chardev(folder, **MODES[request.param])
    try:
        yield chardev
        assert chardev.process.poll() is None
    finally:
        chardev.close()
        shutil.rmtree(folder)


def test_hosts_come_one_after_the_other(port: Chardev) -> None:
    server = Server(echo)
    for number in range(3):
        payload = os.urandom(2 << 20)
        with Client(port.path) as client:
            assert ("tcp", "127.0.0.1", server.port) in client.info()
            assert b"".join(m.data for m in client.tunnel(iter([hello(server.address), data(payload)]))) == payload
        until(lambda number=number: port.hosts > number, "the host is gone")
    server.close()


CALL = headers_frame("/GuestService/Tunnel")


@pytest.mark.parametrize(
    "said",
    [
        b"\n\nnoise of a boot loader",
        PREFACE[:10],
        PREFACE + CALL[:5],
        PREFACE + CALL + b"\0\x40\0\0\0\0\0\0\1" + bytes(5000),
        PREFACE + CALL + b"\0\0\x80\0\0\0\0\0\1" + bytes(100),
        PREFACE + CALL + b"\0\0\x18\0\0\0\0\0\1",
        PREFACE + b"\0\0\x03\x06\0\0\0\0\0xyz",
        os.urandom(1 << 15),
    ],
    ids=["noise", "half-a-preface", "half-a-header", "half-a-frame", "short-frame", "aligned", "refused", "random"],
)  # fmt: skip
def test_a_host_that_vanished_in_the_middle_does_not_stop_the_next(port: Chardev, said: bytes) -> None:
    port.say(said)
    until(lambda: served(port), "the next host is served", 40)


def served(port: Chardev) -> bool:
    """Whether a host gets an answer. What the agent said to the one before may still be under way: hosts try again."""
    with Client(port.path) as client, contextlib.suppress(grpc.RpcError):
        return bool(client.info(timeout=10))
    return False


def test_a_tunnelled_preface_is_only_bytes(port: Chardev) -> None:
    server = Server(echo)
    payload = PREFACE * 3 + CALL
    with Client(port.path) as client:
        assert b"".join(m.data for m in client.tunnel(iter([hello(server.address), data(payload)]))) == payload
        assert client.info()
    server.close()


def test_a_host_that_never_read_and_left_is_followed_by_the_next(port: Chardev) -> None:
    # 100,000 pings want 100,000 answers
    port.say(PREFACE + (b"\0\0\x08\x06\0\0\0\0\0" + bytes(8)) * 100_000)
    until(lambda: served(port), "the next host is served", 40)


def test_a_port_without_a_host_is_waited_for_without_spinning(port: Chardev) -> None:
    with Client(port.path) as client:
        assert client.info()
    until(lambda: port.hosts == 1, "the host is gone")
    before = cpu_ticks(port.process.pid)
    with pytest.raises(subprocess.TimeoutExpired):
        port.process.wait(2)
    # a reader that spins takes all of the two seconds
    assert cpu_ticks(port.process.pid) - before < 0.5 * os.sysconf("SC_CLK_TCK")


def cpu_ticks(pid: int) -> int:
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
