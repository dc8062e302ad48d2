"""Running instances without a guest: pid files that name this process, and a host agent's socket for each."""

import contextlib
import json
import os
import selectors
import socket
import threading
from collections.abc import Iterator

from lima.adapters.filesystem.pidfiles import encode_record
from lima.adapters.system.processes import SystemProcessTable

_INFO = {"driverPID": 1, "sshLocalPort": 60022, "phase": "running"}


def make_instances(home: str, count: int, template: str) -> tuple[str, ...]:
    """Directories with a `lima.yaml`, stopped; their names."""
    names = tuple(f"i{number:04}" for number in range(count))
    for name in names:
        os.makedirs(f"{home}/{name}")
        with open(f"{home}/{name}/lima.yaml", "w", encoding="utf-8") as file:
            file.write(template)
    return names


@contextlib.contextmanager
def running(home: str, names: tuple[str, ...], *, silent: tuple[str, ...] = ()) -> Iterator[None]:
    """Make these instances run until the context ends. The agents of the `silent` accept and never say a word."""
    me = SystemProcessTable().identify(os.getpid())
    assert me is not None
    with contextlib.ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        for name in names:
            directory = f"{home}/{name}"
            for pid_file, facts in (("ha.pid", "ha.facts.json"), ("qemu.pid", "driver.facts.json")):
                _write(f"{directory}/{pid_file}", str(me.pid).encode())
                _write(f"{directory}/{facts}", encode_record(me))
            listener = stack.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(f"{directory}/ha.sock")
            listener.listen()
            if name not in silent:
                selector.register(listener, selectors.EVENT_READ)
        stop, stopped = socket.socketpair()
        stack.enter_context(stop)
        stack.enter_context(stopped)
        selector.register(stopped, selectors.EVENT_READ, "stop")
        thread = threading.Thread(target=_serve, args=(selector,))
        thread.start()
        try:
            yield
        finally:
            stop.send(b".")
            thread.join()


def _serve(selector: selectors.BaseSelector) -> None:
    body = json.dumps(_INFO).encode()
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    while True:
        for key, _ in selector.select():
            if key.data == "stop":
                return
            assert isinstance(key.fileobj, socket.socket)
            with key.fileobj.accept()[0] as client, contextlib.suppress(OSError):
                client.recv(4096)
                client.sendall(answer)


def _write(path: str, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)
