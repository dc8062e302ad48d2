"""The templates for docker and podman, from the distribution's packages: a container made of an archive runs, its
published port is reported, and the host drives the engine over its socket."""

import json
import socket
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import COLD_S, Home, fresh_home, wait_for

pytestmark = [pytest.mark.guest, pytest.mark.needs_qemu, pytest.mark.e2e_all]

PORT = 8080
ARCHIVE = """\
set -e
command -v busybox >/dev/null || sudo apt-get install -y -q --no-install-recommends busybox-static >/dev/null
dir=$(mktemp -d)
mkdir -p $dir/bin $dir/www
cp /bin/busybox $dir/bin/
for name in sh httpd; do ln -s busybox $dir/bin/$name; done
echo hello from a container >$dir/www/index.html
tar -C $dir -cf /tmp/archive.tar .
"""
FETCH = f"""\
import socket
peer = socket.create_connection(("127.0.0.1", {PORT}), 20)
peer.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
answer = b""
while piece := peer.recv(65536):
    answer += piece
print(answer.decode())
"""


@pytest.fixture(params=["docker", "podman", "docker-rootful", "podman-rootful"])
def engine(request: pytest.FixtureRequest) -> Iterator[tuple[Home, str, str]]:
    """A home, its instance and the command in it."""
    with fresh_home() as home:
        result = home.ok("start", "--tty=false", f"template:{request.param}", timeout=2 * COLD_S)
        assert f"limactl shell {request.param}" in result.err + result.out, "the template's message"
        command = {"podman-rootful": "sudo podman"}.get(request.param, request.param.partition("-")[0])
        yield home, request.param, command


def asked(path: str, target: str) -> bytes:
    """What an HTTP server on a socket of the host answers."""
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(30)
        peer.connect(path)
        peer.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while piece := peer.recv(65536):
            answer += piece
    return answer.partition(b"\r\n\r\n")[2]


def reported(home: Home, name: str) -> set[tuple[str, int]]:
    ports = json.loads(asked(home.file(name, "ha.sock"), "/v1/ports"))["ports"]
    return {(port["protocol"], port["port"]) for port in ports}


def test_a_published_port_is_reported_while_the_container_runs(engine: tuple[Home, str, str]) -> None:
    home, name, command = engine

    def guest(script: str) -> str:
        return home.ok("shell", name, "sh", "-c", script, timeout=COLD_S).out

    guest(ARCHIVE)
    guest(f"{command} import /tmp/archive.tar box")
    assert ("tcp", PORT) not in reported(home, name)
    guest(f"{command} run -d --name web -p {PORT}:80 box /bin/httpd -f -p 80 -h /www")
    wait_for(lambda: ("tcp", PORT) in reported(home, name), seconds=5, what="the published port is reported")
    assert "hello from a container" in home.ok("shell", name, "python3", "-c", FETCH).out
    sock = home.file(name, f"sock/{name.partition('-')[0]}.sock")
    assert asked(sock, "/_ping") == b"OK"
    assert b'/web"' in asked(sock, "/v1.40/containers/json")
    if "docker" in name:
        assert "192.168.5.2" in guest("getent hosts host.docker.internal")
    guest(f"{command} kill web && {command} rm -f web")
    wait_for(lambda: ("tcp", PORT) not in reported(home, name), seconds=10, what="the port is gone")
