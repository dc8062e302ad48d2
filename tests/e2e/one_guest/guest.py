"""One Debian guest for all tests of this folder: with the rules, the names and the second monitor that they ask for.

Tests may stop what they need not find running, host agent and guest included: whoever comes next finds it attended.
"""

import contextlib
import json
import socket
from collections.abc import Iterator
from typing import Any

from tests.e2e.conftest import COLD_S, Home, fresh_home, is_alive, wait_for
from tests.e2e.one_guest.name_server import name_server
from tests.free_ports import free_block

NAME = "default"
PORTS = free_block(400)
"""Free on this host: a port of the guest has the same number here, unless a rule says otherwise."""
STATIC, STATIC_HOST, IGNORED, NAMED, NAMED_HOST = PORTS[-5:]
TEMPLATE = f"""\
base: template:default
cpus: 2
memory: 1GiB
portForwards:
- {{guestPort: {STATIC}, hostPort: {STATIC_HOST}, static: true}}
- {{guestPort: {IGNORED}, ignore: true}}
- {{guestPort: {NAMED}, hostPort: {NAMED_HOST}}}
- {{guestSocket: /tmp/echo.sock, hostSocket: echo.sock}}
- {{guestSocket: /tmp/host.sock, hostSocket: HOME/host.sock, reverse: true}}
hostResolver:
  hosts:
    db.test: 10.0.0.7
    www.test: alias.test
    alias.test: only-there.test
    Loop.test: loop.test
"""


@contextlib.contextmanager
def booted() -> Iterator[Home]:
    """The guest, in a home of its own."""
    with name_server() as port, fresh_home() as home:
        resolv_conf, template = f"{home.path}/_config/resolv.conf", f"{home.path}/_config/guest.yaml"
        with open(resolv_conf, "w", encoding="ascii") as file:
            file.write(f"nameserver [127.0.0.1]:{port}\n")
        with open(template, "w", encoding="ascii") as file:
            file.write(TEMPLATE.replace("HOME", home.path))
        home.extra_env["LIMA_RESOLV_CONF"] = resolv_conf
        # a second monitor: the host agent holds the first
        home.extra_env["QEMU_SYSTEM_X86_64"] = f"qemu-system-x86_64 -qmp unix:{home.path}/qmp.sock,server=on,wait=off"
        home.ok("start", "--tty=false", f"--name={NAME}", template, timeout=COLD_S)
        yield home


def be_attended(home: Home) -> None:
    """Started anew where a test has ended it."""
    if not is_alive(home.pid(NAME, "ha.pid")):
        home.ok("start", "--tty=false", NAME, timeout=COLD_S)
    wait_for(lambda: is_attended(home), seconds=60, what=f"the agent is attended: {notes(home)}")


def ask(home: Home, path: str) -> dict[str, Any]:
    """What the host agent answers."""
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(5)
        peer.connect(home.file(NAME, "ha.sock"))
        peer.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while piece := peer.recv(65536):
            answer += piece
    body: dict[str, Any] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return body


def is_attended(home: Home) -> bool:
    """Whether the host agent and the guest agent talk."""
    with contextlib.suppress(OSError):
        return bool(ask(home, "/v1/info").get("guestAgent") == "running")
    return False


def notes(home: Home) -> list[str]:
    """What the host agent logs."""
    return [json.loads(line)["msg"] for line in home.read(NAME, "ha.stderr.log").splitlines()]
