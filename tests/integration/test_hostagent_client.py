"""Asking many host agents at once: none of them can cost more than the deadline."""

import contextlib
import json
import os
import pathlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lima.adapters.hostagent.client import SocketHostAgentClient, is_complete, parse_answer
from lima.domain.status import AgentAnswer

NOBODY = AgentAnswer(answered=False)
INFO = {"sshLocalPort": 60022, "phase": "booting", "waitingFor": "ssh", "errors": ["one", "two"]}
KNOWN = AgentAnswer(answered=True, ssh_port=60022, phase="booting", waiting_for="ssh", errors=("one", "two"))


def http(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    head = "\r\n".join([f"HTTP/1.1 {status}", "Content-Type: application/json", *headers])
    return f"{head}\r\n\r\n".encode() + body


def sized(info: object) -> bytes:
    body = json.dumps(info).encode()
    return http(body, f"Content-Length: {len(body)}")


class Peers:
    """Stand-ins for host agents, each a thread that talks to one client after the other."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.sockets: dict[str, str] = {}
        self.requests: list[bytes] = []
        self._over = contextlib.ExitStack()

    def add(self, name: str, talk: Callable[[socket.socket], None], *, backlog: int = 100) -> None:
        self.sockets[name] = f"{self.folder}/{name}"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.sockets[name])
        listener.listen(backlog)

        def serve() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                with client, contextlib.suppress(OSError):
                    talk(client)

        thread = threading.Thread(target=serve)
        thread.start()

        def end() -> None:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            thread.join()

        self._over.callback(end)

    def answer(self, content: bytes, *, keep_open: bool = False) -> Callable[[socket.socket], None]:
        def talk(client: socket.socket) -> None:
            self.requests.append(client.recv(65536))
            client.sendall(content)
            if keep_open:
                client.recv(1)

        return talk

    def close(self) -> None:
        self._over.close()


@pytest.fixture
def peers(tmp_path: pathlib.Path) -> Iterator[Peers]:
    peers = Peers(tmp_path)
    yield peers
    peers.close()


def test_an_answer_is_understood(peers: Peers) -> None:
    peers.add("a", peers.answer(sized(INFO)))

    assert SocketHostAgentClient().ask(peers.sockets) == {"a": KNOWN}
    request = peers.requests[0]
    assert request.startswith(b"GET /v1/info HTTP/1.1\r\nHost: lima-hostagent\r\n")
    assert request.endswith(b"\r\n\r\n")


def test_a_peer_that_keeps_the_connection_open_is_not_waited_for(peers: Peers) -> None:
    peers.add("sized", peers.answer(sized(INFO), keep_open=True))
    body = json.dumps(INFO).encode()
    chunks = b"5\r\n" + body[:5] + b"\r\n" + f"{len(body) - 5:x};x=y\r\n".encode() + body[5:] + b"\r\n0\r\n\r\n"
    peers.add("chunked", peers.answer(http(chunks, "Transfer-Encoding: chunked"), keep_open=True))
    began = time.monotonic()

    answers = SocketHostAgentClient().ask(peers.sockets, deadline_s=30)

    assert answers == {"sized": KNOWN, "chunked": KNOWN}
    assert time.monotonic() - began < 15


def test_upstreams_agent_has_no_phase(peers: Peers) -> None:
    peers.add("a", peers.answer(sized({"autoStartedIdentifier": "x", "sshLocalPort": 22022})))
    peers.add("b", peers.answer(sized({})))

    answers = SocketHostAgentClient().ask(peers.sockets)

    assert answers["a"] == AgentAnswer(answered=True, ssh_port=22022)
    assert answers["b"] == AgentAnswer(answered=True)


BAD = {
    "closes": b"",
    "garbage": b"\0\xff" * 500,
    "no json": http(b"hello"),
    "a list": sized([1]),
    "an error": http(b'{"message":"x"}', status="500 Internal Server Error"),
    "cut": http(b'{"sshLocalPort":1}', "Content-Length: 500"),
    "too much": http(b'{"x":"' + b"y" * 100_000 + b'"}'),
    "endless headers": b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 50_000,
    "deep": http(b"[" * 50_000),
    "bad chunks": http(b"zz\r\n\r\n", "Transfer-Encoding: chunked"),
}


def test_one_that_is_well_is_heard_among_the_dead_the_hung_and_the_mad(peers: Peers) -> None:
    for name, content in BAD.items():
        peers.add(name, peers.answer(content))
    release = threading.Event()
    peers.add("hangs", lambda _: release.wait(60) and None)
    peers.add("dribbles", lambda client: dribble(client, release))
    peers.add("well", peers.answer(sized(INFO)))
    gone = socket.socket(socket.AF_UNIX)
    gone.bind(f"{peers.folder}/gone")
    gone.close()
    pathlib.Path(peers.folder, "file").touch()
    sockets = {
        **peers.sockets,
        "gone": f"{peers.folder}/gone",
        "missing": f"{peers.folder}/missing",
        "file": f"{peers.folder}/file",
        "too long": f"{peers.folder}/{'x' * 200}",
        "no path": "a\0b",
    }
    before = len(os.listdir("/proc/self/fd"))
    began = time.monotonic()

    answers = SocketHostAgentClient().ask(sockets, deadline_s=1.0)

    took = time.monotonic() - began
    release.set()
    assert answers == {name: KNOWN if name == "well" else NOBODY for name in sockets}
    assert 0.9 < took < 3
    assert len(os.listdir("/proc/self/fd")) <= before + len(peers.sockets)


def dribble(client: socket.socket, release: threading.Event) -> None:
    client.sendall(b"HTTP/1.1 200 OK\r\n")
    while not release.wait(0.05):
        client.sendall(b"X: y\r\n")


def test_a_hung_peer_with_a_full_queue_costs_no_more_than_the_deadline(tmp_path: pathlib.Path) -> None:
    path = f"{tmp_path}/full"
    with socket.socket(socket.AF_UNIX) as listener, contextlib.ExitStack() as stack:
        listener.bind(path)
        listener.listen(0)
        while True:
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            if client.connect_ex(path):
                break
        began = time.monotonic()

        assert SocketHostAgentClient().ask({"a": path}, deadline_s=0.3) == {"a": NOBODY}
        assert 0.25 < time.monotonic() - began < 3


def test_a_peer_whose_queue_was_full_for_a_moment_is_heard(tmp_path: pathlib.Path) -> None:
    path = f"{tmp_path}/full"
    with socket.socket(socket.AF_UNIX) as listener, contextlib.ExitStack() as stack:
        listener.bind(path)
        listener.listen(0)
        while True:
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            if client.connect_ex(path):
                break

        def serve() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                with client, contextlib.suppress(OSError):
                    client.setblocking(False)
                    with contextlib.suppress(BlockingIOError):
                        client.recv(65536)
                    client.setblocking(True)
                    client.sendall(sized(INFO))

        thread = threading.Timer(0.1, serve)
        thread.start()
        answers = SocketHostAgentClient().ask({"a": path}, deadline_s=30)
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()

    assert answers == {"a": KNOWN}


def test_more_than_fit_at_once_are_all_heard(peers: Peers) -> None:
    peers.add("a", peers.answer(sized(INFO)), backlog=1000)
    many = {f"n{i}": peers.sockets["a"] for i in range(450)}

    answers = SocketHostAgentClient().ask(many, deadline_s=60)

    assert set(answers) == set(many)
    assert set(answers.values()) == {KNOWN}


def test_nobody_to_ask_is_no_question() -> None:
    assert SocketHostAgentClient().ask({}) == {}


@given(st.binary(max_size=200) | st.binary(max_size=100).map(lambda body: http(body)))
def test_no_bytes_make_the_reader_fail(content: bytes) -> None:
    is_complete(content)
    parse_answer(content)


@given(
    st.dictionaries(
        st.sampled_from(["sshLocalPort", "phase", "waitingFor", "errors"]),
        st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.integers() | st.text()),
    )
)
def test_whatever_stands_in_the_answer_the_value_is_of_its_types(info: dict[str, object]) -> None:
    answer = parse_answer(sized(info))

    assert answer.answered
    assert 0 <= answer.ssh_port < 65536
    assert all(
        isinstance(text, str) and len(text) <= 500 for text in (answer.phase, answer.waiting_for, *answer.errors)
    )
