"""The sandbox: what is in it reaches nothing of the host that is not named. One Debian guest."""

import contextlib
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import COLD_S, Home, fresh_home, wait_for

pytestmark = [pytest.mark.guest, pytest.mark.needs_qemu, pytest.mark.e2e_all]
NAME = "sandbox"
NAMED = 7803
HOST_LOOPBACK = "192.168.5.2"
REFUSED = "No route to host"
"""What the fence answers, at once."""
CONNECT = """\
import socket, sys
try:
    peer = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)
    print(peer.recv(100).decode())
except OSError as error:
    print(error.strerror or error)
"""
SERVE = """\
import socket, sys, threading
for port in sys.argv[1:]:
    listener = socket.create_server(("0.0.0.0", int(port)))
    def serve(listener=listener):
        while True:
            listener.accept()[0].sendall(b"of the guest")
    threading.Thread(target=serve, daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def service() -> Iterator[int]:
    """A service on the host's loopback that asks nobody for a password."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    peer = listener.accept()[0]
                    peer.sendall(b"of the host")
                    peer.close()

        threading.Thread(target=serve, daemon=True).start()
        port: int = listener.getsockname()[1]
        yield port
        listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def named() -> int:
    """A free port of the host, for the one forward that is named."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def sandbox(named: int) -> Iterator[Home]:
    with fresh_home(SSH_AUTH_SOCK="/nowhere/agent.sock") as home:
        template = f"base: template:sandbox\nportForwards:\n- {{guestPort: {NAMED}, hostPort: {named}, static: true}}\n"
        home.ok("start", "--tty=false", f"--name={NAME}", "-", stdin=template.encode(), timeout=2 * COLD_S)
        yield home


def guest(home: Home, *command: str) -> str:
    return home.ok("shell", "--workdir=/", NAME, *command).out.strip()


def connect(home: Home, address: str, port: int) -> str:
    """What a program of the guest gets to hear there."""
    return guest(home, "python3", "-c", CONNECT, address, str(port))


def heard(port: int) -> bytes:
    """What a client of the host hears at its own loopback; empty where nobody listens."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 10) as peer:
        return peer.recv(100)
    return b""


def test_its_user_is_not_the_hosts_and_has_no_way_to_root(sandbox: Home) -> None:
    assert guest(sandbox, "sh", "-c", "id -un; id -nG; pwd -P; echo ~").split() == [NAME, NAME, "/", f"/home/{NAME}"]
    refused = sandbox.limactl("shell", "--workdir=/", NAME, "sudo", "-n", "true")
    assert refused.code != 0
    assert guest(sandbox, "sh", "-c", "ls -A ~ | grep password || :") == ".lima-password-set"
    assert "SSH_AUTH_SOCK" not in guest(sandbox, "env")


def test_nothing_of_the_host_is_mounted(sandbox: Home) -> None:
    kinds = set(guest(sandbox, "findmnt", "--noheadings", "--list", "--output", "FSTYPE").split())
    assert "ext4" in kinds
    assert not {"9p", "virtiofs", "fuse.sshfs", "nfs"} & kinds
    assert guest(sandbox, "sh", "-c", "test -e /usr/local/bin/lima-guestagent || echo none") == "none"


def test_it_reaches_the_world_but_not_the_host_nor_its_neighbours(sandbox: Home, service: int) -> None:
    assert heard(service) == b"of the host"
    for address in (HOST_LOOPBACK, "192.168.5.3", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254"):
        assert connect(sandbox, address, service) == REFUSED, address
    # where its packages came from
    mirror = guest(sandbox, "sh", "-c", "sed -n 's/^URIs: //p' /etc/apt/sources.list.d/*.sources | head -n 1")
    fetch = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).status)"
    assert guest(sandbox, "python3", "-c", fetch, f"{mirror.rstrip('/')}/dists/trixie/Release") == "200"


def test_only_the_named_port_comes_to_the_host(sandbox: Home, named: int) -> None:
    server = subprocess.Popen(
        sandbox.command("shell", "--workdir=/", NAME, "python3", "-c", SERVE, str(NAMED), "7804", "7805"),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=sandbox.env(),
    )  # fmt: skip
    try:
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        wait_for(lambda: heard(named) == b"of the guest", seconds=20, what="the named port is forwarded")
        assert [heard(port) for port in (NAMED, 7804, 7805)] == [b"", b"", b""]
        assert not os.path.exists(os.path.join(sandbox.directory(NAME), "sock"))
    finally:
        # the end of its input is the end of the program
        server.communicate(timeout=30)


def test_what_is_allowed_and_wanted_is_there_at_the_next_start(sandbox: Home, service: int) -> None:
    sandbox.ok("stop", NAME)
    path = Path(sandbox.file(NAME, "lima.yaml"))
    text = path.read_text()
    changed = text.replace('allow: ""', f"allow: {HOST_LOOPBACK}").replace('packages: ""', "packages: hello tree")
    assert changed.count(HOST_LOOPBACK) > text.count(HOST_LOOPBACK)
    path.write_text(changed)
    sandbox.ok("start", NAME, timeout=COLD_S)
    assert connect(sandbox, HOST_LOOPBACK, service) == "of the host"
    assert connect(sandbox, "10.0.0.1", service) == REFUSED
    assert guest(sandbox, "sh", "-c", "hello && command -v tree").splitlines() == ["Hello, world!", "/usr/bin/tree"]
    assert sandbox.limactl("shell", "--workdir=/", NAME, "sudo", "-n", "true").code != 0
