"""The guest agent as a process on this machine, and a gRPC client of it that shares no code with it."""

import contextlib
import glob
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Self

import grpc
from google.protobuf.empty_pb2 import Empty

from lima.adapters.guestagent._generated import guestservice_pb2 as wire

REPO = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
AGENT = os.path.join(REPO, "guest", "lima-guestagent")
WAIT_S = 20
UNARY = {"GetInfo": (Empty, wire.Info), "SyncTime": (wire.TimeSyncRequest, wire.TimeSyncResponse)}


def interpreters() -> list[str]:
    """Every Python from 3.6 on that this machine has, the oldest first."""
    found: dict[tuple[int, ...], str] = {}
    places = ("/usr/bin/python3.*", "/usr/local/bin/python3.*", os.path.expanduser("~/.pyenv/versions/*/bin/python3"))
    for path in [sys.executable, *(match for place in places for match in glob.glob(place))]:
        with contextlib.suppress(OSError, subprocess.CalledProcessError, ValueError):
            said = subprocess.check_output([path, "-ISc", "import sys; print(*sys.version_info[:3])"], timeout=30)
            version = tuple(int(part) for part in said.split())
            if version >= (3, 6):
                found.setdefault(version, path)
    return [path for _, path in sorted(found.items())]


def until(condition: Callable[[], Any], what: str, seconds: float = WAIT_S) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.01)
    raise AssertionError(f"not within {seconds} s: {what}")


class AgentProcess:
    """An agent on a unix socket in a folder of its own. `limits`: what a shell does before, as `ulimit -n 100`."""

    def __init__(self, folder: str, python: str = sys.executable, *arguments: str, limits: str = "") -> None:
        self.folder = folder
        self.socket_path = os.path.join(folder, "ga.sock")
        self.runtime_dir = os.path.join(folder, "run")
        self._argv = [
            python,
            "-IS",
            AGENT,
            "daemon",
            "--socket-path",
            self.socket_path,
            "--runtime-dir",
            self.runtime_dir,
        ]
        self._argv += arguments or ("--tick", "200ms")
        if limits:
            self._argv = ["sh", "-c", f'{limits} && exec "$0" "$@"', *self._argv]
        self.start()

    def start(self) -> None:
        with open(os.path.join(self.folder, "log"), "ab") as log:
            self.process = subprocess.Popen(self._argv, stdin=subprocess.DEVNULL, stderr=log)
        until(self._answers, "the agent listens")

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.log()
        with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(OSError):
            probe.connect(self.socket_path)
            return True
        return False

    def log(self) -> str:
        with open(os.path.join(self.folder, "log"), encoding="utf-8") as file:
            return file.read()

    def rss_bytes(self) -> int:
        with open(f"/proc/{self.process.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def agent(python: str = sys.executable, *arguments: str, limits: str = "") -> Iterator[AgentProcess]:
    folder = tempfile.mkdtemp(prefix="ga-", dir="/tmp")
    running = AgentProcess(folder, python, *arguments, limits=limits)
    try:
        # something listens, so that the first event comes at once on any machine
        with socket.create_server(("127.0.0.1", 0)):
            yield running
    finally:
        running.kill()
        shutil.rmtree(folder)


class Client:
    """A host's connection."""

    def __init__(self, socket_path: str, **options: Any) -> None:
        limits = {
            "grpc.max_send_message_length": -1,
            "grpc.max_receive_message_length": -1,
            "grpc.use_local_subchannel_pool": 1,
        }
        self.channel = grpc.insecure_channel(f"unix:{socket_path}", options=list((limits | options).items()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close()

    def info(self, **options: Any) -> set[tuple[str, str, int]]:
        return ports(self.unary("GetInfo", Empty(), **options).local_ports)

    def unary(self, method: str, request: Any, timeout: float = WAIT_S) -> Any:
        kind, answer = UNARY[method]
        call = self.channel.unary_unary(
            f"/GuestService/{method}",
            request_serializer=kind.SerializeToString,
            response_deserializer=answer.FromString,
        )
        return call(request, timeout=timeout, wait_for_ready=True)

    def events(self) -> Any:
        call = self.channel.unary_stream(
            "/GuestService/GetEvents",
            request_serializer=Empty.SerializeToString,
            response_deserializer=wire.Event.FromString,
        )
        return call(Empty(), timeout=60)

    def inotify(self, messages: list[Any]) -> Any:
        call = self.channel.stream_unary(
            "/GuestService/PostInotify",
            request_serializer=wire.Inotify.SerializeToString,
            response_deserializer=Empty.FromString,
        )
        return call(iter(messages), timeout=WAIT_S)

    def tunnel(self, messages: Any, metadata: Any = (), timeout: float = 120) -> Any:
        call = self.channel.stream_stream(
            "/GuestService/Tunnel", request_serializer=wire.TunnelMessage.SerializeToString,
            response_deserializer=wire.TunnelMessage.FromString,
        )  # fmt: skip
        return call(messages, metadata=metadata, timeout=timeout)


def ports(found: Any) -> set[tuple[str, str, int]]:
    return {(port.protocol, port.ip, port.port) for port in found}


def hello(address: str, protocol: str = "tcp") -> Any:
    """The first message of a tunnel."""
    return wire.TunnelMessage(id="t", protocol=protocol, guest_addr=address)


def data(payload: bytes) -> Any:
    return wire.TunnelMessage(id="t", data=payload)


class Server:
    """A TCP server on loopback that treats each connection with `talk`."""

    def __init__(self, talk: Callable[[socket.socket], None]) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
        self.port = self._listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self._talk = talk
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._one, args=(self._listener.accept()[0],), daemon=True).start()

    def _one(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            self._talk(connection)

    def close(self) -> None:
        self._listener.close()


def echo(connection: socket.socket) -> None:
    while piece := connection.recv(1 << 16):
        connection.sendall(piece)
