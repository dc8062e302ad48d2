"""The end of a guest, for its ports and its agent."""

import os
import socket

import pytest

from tests.e2e.conftest import Home, wait_for
from tests.e2e.one_guest.guest import NAME, PORTS, STATIC_HOST
from tests.e2e.one_guest.programs import Programs

pytestmark = [pytest.mark.guest, pytest.mark.needs_qemu]


def listens(port: int) -> bool:
    with socket.socket() as peer:
        return peer.connect_ex(("127.0.0.1", port)) == 0


def test_stopping_waits_for_no_agent_and_nothing_listens_any_more(debian: Home, programs: Programs) -> None:
    programs.tell("open", "tcp", "127.0.0.1", PORTS[0])
    wait_for(lambda: listens(PORTS[0]), seconds=10, what="it is forwarded")
    assert listens(STATIC_HOST)
    debian.ok("shell", NAME, "sudo", "systemctl", "kill", "-s", "STOP", "lima-guestagent")
    debian.ok("stop", NAME)
    assert debian.status(NAME) == "Stopped"
    assert not any(map(listens, (PORTS[0], STATIC_HOST)))
    sockets = os.path.join(debian.directory(NAME), "sock")
    # the folder stays where the host agent that made it was killed
    assert not os.path.exists(sockets) or os.listdir(sockets) == []
