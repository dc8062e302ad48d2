"""The guest agent as a child process, asked by grpcio: each call, its bounds, and hosts that behave badly."""

import contextlib
import hashlib
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import grpc
import pytest
from tests.agent_process import (
    AGENT,
    REPO,
    AgentProcess,
    Client,
    Server,
    agent,
    data,
    echo,
    hello,
    interpreters,
    ports,
    until,
)

from lima.adapters.guestagent._generated import guestservice_pb2 as wire

HALF_CLOSE = (("lima-half-close", "1"),)


@pytest.fixture(scope="module")
def running() -> Iterator[AgentProcess]:
    with agent() as process:
        yield process
        assert process.process.poll() is None, process.log()
        assert "Traceback" not in process.log()


@pytest.fixture
def client(running: AgentProcess) -> Iterator[Client]:
    with Client(running.socket_path) as connection:
        yield connection


def now() -> wire.TimeSyncRequest:
    request = wire.TimeSyncRequest()
    request.host_time.FromNanoseconds(time.time_ns())
    return request


# --- every interpreter


@pytest.mark.parametrize("python", interpreters(), ids=lambda path: path)
def test_all_calls_on_every_interpreter_of_this_machine(python: str, tmp_path) -> None:
    server = Server(echo)
    with agent(python) as process, Client(process.socket_path) as client:
        assert ("tcp", "127.0.0.1", server.port) in client.info()
        events = client.events()
        assert ("tcp", "127.0.0.1", server.port) in ports(next(events).added_local_ports)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.bind(("127.0.0.1", 0))
            port = ("udp", "127.0.0.1", udp.getsockname()[1])
            assert port in ports(next(events).added_local_ports)
        assert port in ports(next(events).removed_local_ports)
        answer = client.unary("SyncTime", now())
        assert (answer.adjusted, answer.error) == (False, "")
        assert abs(answer.drift_ms) <= 100
        (tmp_path / "file").write_text("")
        touched = wire.Inotify(mount_path=str(tmp_path / "file"))
        touched.time.FromNanoseconds(1_600_000_000_123_456_789)
        client.inotify([touched])
        assert os.stat(tmp_path / "file").st_mtime_ns == 1_600_000_000_123_456_789
        payload = os.urandom(300_000)
        assert b"".join(m.data for m in client.tunnel(iter([hello(server.address), data(payload)]))) == payload
        process.process.send_signal(signal.SIGTERM)
        assert process.process.wait(10) == 0
        assert "Traceback" not in process.log()
    server.close()


# --- events


def test_a_host_that_comes_again_is_told_the_differences(tmp_path) -> None:
    with agent() as process:
        with Client(process.socket_path) as client:
            next(client.events())
        first = socket.create_server(("127.0.0.1", 0))
        with Client(process.socket_path) as client:
            event = next(client.events())
            assert ("tcp", "127.0.0.1", first.getsockname()[1]) in ports(event.added_local_ports)
            assert abs(event.time.ToNanoseconds() - time.time_ns()) < 60 * 10**9
        process.kill()
        first.close()
        process.start()
        with Client(process.socket_path) as client:
            event = next(client.events())
            assert ("tcp", "127.0.0.1", first.getsockname()[1] if first.fileno() >= 0 else 0) not in ports(
                event.added_local_ports
            )
            assert event.removed_local_ports


# --- tunnels


def test_a_host_that_half_closes_still_gets_its_answer(client: Client) -> None:
    def answer_at_the_end(connection: socket.socket) -> None:
        heard = b""
        while piece := connection.recv(1 << 16):
            heard += piece
        connection.sendall(hashlib.sha256(heard).hexdigest().encode())

    server = Server(answer_at_the_end)
    call = client.tunnel(iter([hello(server.address), data(b"a" * 70_000), data(b"b")]))
    assert b"".join(m.data for m in call) == hashlib.sha256(b"a" * 70_000 + b"b").hexdigest().encode()
    server.close()


def test_a_guest_that_half_closes_still_hears_the_host_if_that_asked_for_it(client: Client) -> None:
    heard = threading.Event()

    def end_first(connection: socket.socket) -> None:
        connection.sendall(b"hello")
        connection.shutdown(socket.SHUT_WR)
        if connection.recv(100) == b"and you" and connection.recv(100) == b"":
            heard.set()

    server = Server(end_first)
    ended = threading.Event()

    def host() -> Iterator[wire.TunnelMessage]:
        yield hello(server.address)
        assert ended.wait(10)
        yield data(b"and you")

    call = client.tunnel(host(), HALF_CLOSE)
    assert ("lima-half-close", "1") in [(key, value) for key, value in call.initial_metadata()]
    assert next(call).data == b"hello"
    assert next(call).data == b""
    ended.set()
    assert list(call) == []
    assert heard.wait(10)
    # for any other host, the end of the guest's side is the end of the call
    never = threading.Event()
    call = client.tunnel(_then_wait(hello(server.address), never))
    assert [m.data for m in call] == [b"hello"]
    assert call.code() is grpc.StatusCode.OK
    never.set()
    server.close()


def _then_wait(first: wire.TunnelMessage, event: threading.Event) -> Iterator[wire.TunnelMessage]:
    yield first
    event.wait(20)


def test_large_tunnels_both_ways_at_once_are_intact(client: Client) -> None:
    size, piece = 48 << 20, os.urandom(1 << 17)
    server = Server(echo)

    def host() -> Iterator[wire.TunnelMessage]:
        yield hello(server.address)
        for _ in range(size // len(piece)):
            yield data(piece)

    digest, count = hashlib.sha256(), 0
    for message in client.tunnel(host()):
        digest.update(message.data)
        count += len(message.data)
    expected = hashlib.sha256()
    for _ in range(size // len(piece)):
        expected.update(piece)
    assert (count, digest.digest()) == (size, expected.digest())
    server.close()


def test_datagrams_keep_their_bounds_and_a_closed_port_is_no_end(client: Client) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        udp.settimeout(10)
        address = f"127.0.0.1:{udp.getsockname()[1]}"
        done = threading.Event()
        sent = [b"one", b"", b"x" * 60_000]

        def host() -> Iterator[wire.TunnelMessage]:
            yield hello(address, "udp")
            yield from map(data, sent)
            done.wait(20)

        call = client.tunnel(host())
        for expected in sent:
            got, peer = udp.recvfrom(1 << 16)
            assert got == expected
            udp.sendto(got, peer)
            assert next(call).data == expected
        done.set()


def test_unix_sockets_can_be_dialled(client: Client, tmp_path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        call = client.tunnel(iter([hello(path, "unix"), data(b"ping")]))
        peer = listener.accept()[0]
        assert peer.recv(10) == b"ping"
        peer.sendall(b"pong")
        peer.close()
        assert [m.data for m in call] == [b"pong"]


@pytest.mark.parametrize(
    ("first", "code", "text"),
    [
        (hello("127.0.0.1:1"), grpc.StatusCode.UNKNOWN, "dial tcp 127.0.0.1:1: connect: connection refused"),
        (hello("127.0.0.1"), grpc.StatusCode.UNKNOWN, "dial tcp 127.0.0.1: missing port in address"),
        (hello("/no/such", "unix"), grpc.StatusCode.UNKNOWN, "dial unix /no/such: connect: no such file or directory"),
        (hello("/" + "x" * 300, "unix"), grpc.StatusCode.UNKNOWN, "path too long"),
        (hello("h:1", "sctp"), grpc.StatusCode.INVALID_ARGUMENT, "unknown network sctp"),
        (hello("a\0b:1"), grpc.StatusCode.UNKNOWN, "dial tcp"),
        (hello("x" * 70_000 + ":1"), grpc.StatusCode.UNKNOWN, "dial tcp"),
    ],
)  # fmt: skip
def test_what_cannot_be_dialled_says_why(client: Client, first: wire.TunnelMessage, code: object, text: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        list(client.tunnel(iter([first])))
    assert (caught.value.code(), text in caught.value.details()) == (code, True), caught.value.details()


def test_five_hundred_tunnels_at_once(running: AgentProcess, client: Client) -> None:
    server = Server(echo)
    assert client.info()
    before = running.descriptors()
    release = threading.Event()

    def host(number: int) -> Iterator[wire.TunnelMessage]:
        yield hello(server.address)
        yield data(b"%d" % number)
        release.wait(60)

    # each stream of a synchronous client is a thread there: several hundred are enough for one machine
    calls = [client.tunnel(host(number)) for number in range(500)]
    assert [next(call).data for call in calls] == [b"%d" % number for number in range(500)]
    assert running.descriptors() >= before + 500
    assert client.info()
    release.set()
    assert all(list(call) == [] for call in calls)
    until(lambda: running.descriptors() <= before, "every socket was closed")
    server.close()


def test_a_program_that_does_not_read_costs_no_memory_and_holds_up_nobody(
    running: AgentProcess, client: Client
) -> None:
    release = threading.Event()
    server = Server(lambda _connection: release.wait(60) and None)
    before = running.rss_bytes()
    sent = 0

    def host() -> Iterator[wire.TunnelMessage]:
        nonlocal sent
        yield hello(server.address)
        while sent < 256 << 20 and not release.is_set():
            sent += 1 << 17
            yield data(bytes(1 << 17))

    call = client.tunnel(host())
    stopped = until(
        lambda: (seen := sent) > 0 and time.sleep(0.5) is None and sent == seen and seen, "the host is stopped"
    )
    assert stopped < 64 << 20
    assert client.info(timeout=5)
    assert running.rss_bytes() - before < 32 << 20
    release.set()
    call.cancel()
    server.close()


def test_a_host_that_does_not_read_stops_the_program(running: AgentProcess) -> None:
    written = 0

    def pour(connection: socket.socket) -> None:
        nonlocal written
        while written < 256 << 20:
            written += connection.send(bytes(1 << 16))

    server = Server(pour)
    before = running.rss_bytes()
    with Client(running.socket_path) as client:
        release = threading.Event()
        call = client.tunnel(_then_wait(hello(server.address), release))
        until(lambda: (seen := written) > 0 and time.sleep(0.5) is None and written == seen, "the program is stopped")
        assert written < 128 << 20
        assert client.info(timeout=5)
        release.set()
        call.cancel()
    assert running.rss_bytes() - before < 32 << 20
    server.close()


# --- bounds


def test_messages_up_to_four_mebibytes(client: Client) -> None:
    server = Server(echo)
    overhead = len(data(b"x" * (4 << 20)).SerializeToString()) - (4 << 20)
    payload = os.urandom((4 << 20) - overhead)
    largest = data(payload)
    assert len(largest.SerializeToString()) == 4 << 20
    assert b"".join(m.data for m in client.tunnel(iter([hello(server.address), largest]))) == payload
    with pytest.raises(grpc.RpcError) as caught:
        list(client.tunnel(iter([hello(server.address), data(payload + b"x")])))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert client.info()
    server.close()


def test_what_is_no_message_ends_its_call_alone(client: Client) -> None:
    for method in ("GetInfo", "SyncTime", "Tunnel", "PostInotify", "GetEvents"):
        call = client.channel.stream_stream(f"/GuestService/{method}")(iter([b"\xff\xff"]), timeout=10)
        with pytest.raises(grpc.RpcError) as caught:
            list(call)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    with pytest.raises(grpc.RpcError) as caught:
        client.channel.unary_unary("/GuestService/Nope")(b"", timeout=10)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert client.info()


def test_times_that_are_none_are_errors_in_the_answer(client: Client) -> None:
    assert client.unary("SyncTime", wire.TimeSyncRequest()).error == "the request has no time"
    absurd = wire.TimeSyncRequest()
    absurd.host_time.seconds = 2**62
    assert "no point in time" in client.unary("SyncTime", absurd).error


def test_files_that_cannot_be_touched_are_logged(running: AgentProcess, client: Client) -> None:
    late = wire.Inotify(mount_path="/")
    late.time.seconds = 2**62
    client.inotify([wire.Inotify(mount_path="relative"), wire.Inotify(mount_path="/no/such/file"), late])
    assert "is no absolute path" in running.log()
    assert "no point in time" in running.log()


# --- hosts that behave badly


def raw(process: AgentProcess) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(process.socket_path)
    connection.settimeout(10)
    return connection


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        os.urandom(1 << 16),
        PREFACE + hashlib.sha512(b"garbage").digest() * 1024,
        PREFACE + b"\xff\xff\xff\0\0\0\0\0\1",
        PREFACE + b"\0\0\5\4\0\0\0\0\0hello",
        PREFACE
        + b"\0\0\x0a\1\0\0\0\0\1"
        + b"\x82" * 10
        + b"\0\xf0\0\x09\0\0\0\0\1"
        + bytes(0xF000)
        + b"\0\xf0\0\x09\0\0\0\0\1",
        PREFACE + b"\0\0\4\1\4\0\0\0\1\xff\xff\xff\xff",
    ],
)
def test_garbage_closes_its_connection_and_no_other(running: AgentProcess, client: Client, said: bytes) -> None:
    assert client.info()
    with raw(running) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(said)
        with contextlib.suppress(ConnectionResetError):
            while connection.recv(1 << 16):
                pass
    assert client.info()


def test_a_message_without_end_is_cut_off(running: AgentProcess, client: Client) -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield bytes(1 << 20)

    before = running.rss_bytes()
    # one message whose length says 4 GiB, in frames: the client library cannot say that, so its bytes are made here
    call = client.channel.stream_stream("/GuestService/Tunnel")
    with pytest.raises(grpc.RpcError):
        list(call(endless(), timeout=20))
    said = PREFACE + headers_frame("/GuestService/Tunnel") + b"\0\0\5\0\0\0\0\0\1" + b"\0\xff\xff\xff\xff"
    with raw(running) as connection:
        connection.sendall(said)
        answer = b""
        while b"grpc-status" not in answer and b"larger than max" not in answer and len(answer) < 4096:
            piece = connection.recv(4096)
            assert piece, "closed without an answer"
            answer += piece
            if has_trailers(answer):
                break
        assert has_trailers(answer)
    assert client.info()
    assert running.rss_bytes() - before < 16 << 20


def has_trailers(stream: bytes) -> bool:
    """Whether a HEADERS frame with END_STREAM is in the frames so far."""
    at = 0
    while at + 9 <= len(stream):
        length, kind, flags = int.from_bytes(stream[at : at + 3], "big"), stream[at + 3], stream[at + 4]
        if kind == 1 and flags & 1:
            return True
        at += 9 + length
    return False


def headers_frame(path: str, stream: int = 1, authority: str = "") -> bytes:
    """The header block of a grpc-go client, without indexing: an `:authority` that is there and empty."""
    fields = [
        (":method", "POST"), (":scheme", "http"), (":path", path), (":authority", authority),
        ("content-type", "application/grpc"), ("user-agent", "grpc-go/1.80.0"), ("te", "trailers"),
    ]  # fmt: skip
    block = b"".join(
        b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode() for name, value in fields
    )
    return len(block).to_bytes(3, "big") + b"\1\4" + stream.to_bytes(4, "big") + block


def test_an_empty_authority_as_grpc_go_sends_it_is_served(running: AgentProcess) -> None:
    with raw(running) as connection:
        connection.sendall(PREFACE + headers_frame("/GuestService/GetInfo") + b"\0\0\5\0\1\0\0\0\1" + bytes(5))
        answer = b""
        while not has_trailers(answer):
            piece = connection.recv(1 << 16)
            assert piece, "closed without an answer"
            answer += piece
        # HPACK's static table: index 8 is `:status 200`
        assert b"\x88" in answer


def test_a_host_that_is_killed_leaves_nothing(running: AgentProcess, client: Client) -> None:
    closed = threading.Event()

    def talk(connection: socket.socket) -> None:
        try:
            echo(connection)
        finally:
            closed.set()

    server = Server(talk)
    assert client.info()
    before = running.descriptors()
    code = (
        "import sys; sys.path[:0] = sys.argv[3:]\n"
        "from tests.agent_process import Client, hello, data\n"
        "c = Client(sys.argv[1]); e = c.events(); next(e)\n"
        "def host():\n yield hello(sys.argv[2])\n while True: yield data(bytes(1 << 16))\n"
        "for n, _ in enumerate(c.tunnel(host())):\n if n == 20: print('going', flush=True)\n"
    )
    argv = [sys.executable, "-c", code, running.socket_path, server.address, REPO, os.path.join(REPO, "src")]
    with agent_state_forgotten(running), subprocess.Popen(argv, stdout=subprocess.PIPE) as host:
        assert host.stdout is not None
        assert host.stdout.readline() == b"going\n"
        host.kill()
    assert closed.wait(10)
    until(lambda: running.descriptors() <= before, "every socket was closed")
    assert client.info()
    server.close()


@contextlib.contextmanager
def agent_state_forgotten(process: AgentProcess) -> Iterator[None]:
    """The next host is told of every port, whoever was told before."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(process.runtime_dir, "event-state.json"))
    yield


# --- the socket, and the end


def test_the_socket_is_for_its_owner_alone_and_a_stale_one_is_replaced() -> None:
    with agent() as process:
        assert stat.S_IMODE(os.stat(process.socket_path).st_mode) == 0o600
        process.kill()
        assert os.path.exists(process.socket_path)
        process.start()
        with Client(process.socket_path) as client:
            assert client.info() is not None


@pytest.mark.needs_root
def test_the_socket_is_given_to_the_user() -> None:
    with agent(sys.executable, "--socket-owner", "1000") as process:
        assert os.stat(process.socket_path).st_uid == 1000


def test_a_file_in_the_way_is_left_alone(tmp_path) -> None:
    (tmp_path / "sock").write_text("precious")
    argv = [
        sys.executable,
        "-IS",
        AGENT,
        "daemon",
        "--socket-path",
        str(tmp_path / "sock"),
        "--runtime-dir",
        str(tmp_path / "run"),
    ]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert "is in the way" in done.stderr
    assert (tmp_path / "sock").read_text() == "precious"


def test_sigterm_ends_calls_with_a_word() -> None:
    with agent() as process, Client(process.socket_path) as client:
        events = client.events()
        next(events)
        process.process.send_signal(signal.SIGTERM)
        assert process.process.wait(10) == 0
        with pytest.raises(grpc.RpcError) as caught:
            list(events)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert caught.value.details() == "the guest agent is stopping"
        assert not os.path.exists(process.socket_path)


def test_a_port_that_is_not_there_is_a_sentence(tmp_path) -> None:
    argv = [
        sys.executable,
        "-IS",
        AGENT,
        "daemon",
        "--virtio-port",
        "no.such.port",
        "--socket-path",
        "x",
        "--runtime-dir",
        str(tmp_path),
    ]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr.splitlines()[-1].partition("msg=")[2]) == (
        1,
        '"this machine has no virtio port named no.such.port"',
    )


@pytest.mark.parametrize("shell", ["sh", "bash", "busybox sh"])
def test_the_file_runs_itself_under_any_shell(shell: str) -> None:
    words = shell.split()
    if subprocess.run(["which", words[0]], capture_output=True, check=False).returncode != 0:
        pytest.skip(f"no {words[0]} on this machine")
    done = subprocess.run([*words, AGENT, "--version"], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.startswith("lima-guestagent version ")
