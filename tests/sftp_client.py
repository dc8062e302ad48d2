"""A client of SFTP that sends what it is told to, and our server at the other end, in this process or as another user."""

import contextlib
import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from lima.adapters.sftp.beneath import Beneath
from lima.adapters.sftp.folder import Folder
from lima.adapters.sftp.session import Session
from lima.adapters.sftp.wire import Kind, Owners, Status
from tests.shares.world import NOBODY, World

READ, WRITE, APPEND, CREAT, TRUNC, EXCL = 1, 2, 4, 8, 16, 32


class Refused(Exception):
    """The answer was a status other than OK."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.status = Status(code)


def text(value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + value


def asking(
    *,
    size: int | None = None,
    mode: int | None = None,
    owner: "tuple[int, int] | None" = None,
    times: "tuple[int, int] | None" = None,
) -> bytes:
    flags = bool(size is not None) | 2 * (owner is not None) | 4 * (mode is not None) | 8 * (times is not None)
    body = struct.pack(">I", flags)
    body += b"" if size is None else struct.pack(">Q", size)
    body += b"" if owner is None else struct.pack(">II", *owner)
    body += b"" if mode is None else struct.pack(">I", mode)
    return body + (b"" if times is None else struct.pack(">II", *times))


@dataclass
class Client:
    """Speaks to whatever is at the other end of a socket; its own id, one request at a time."""

    link: socket.socket
    root: bytes
    number: int = 0

    def begin(self) -> bytes:
        self.link.sendall(struct.pack(">IBI", 5, Kind.INIT, 3))
        return self.message()[1]

    def message(self) -> tuple[int, bytes]:
        length, kind = struct.unpack(">IB", self._exactly(5))
        return kind, self._exactly(length - 1)

    def ask(self, kind: int, body: bytes) -> tuple[int, bytes]:
        """The kind and body of the answer. Raises: Refused."""
        self.number += 1
        self.link.sendall(struct.pack(">IBI", len(body) + 5, kind, self.number) + body)
        kind, answer = self.message()
        assert struct.unpack_from(">I", answer)[0] == self.number
        if kind == Kind.STATUS and (code := struct.unpack_from(">I", answer, 4)[0]):
            raise Refused(code)
        return kind, answer[4:]

    def path(self, path: bytes) -> bytes:
        return text(path if path.startswith(b"/") else self.root + b"/" + path)

    def open(self, path: bytes, flags: int = READ, *, mode: int = 0o644) -> bytes:
        return self._string(self.ask(Kind.OPEN, self.path(path) + struct.pack(">I", flags) + asking(mode=mode))[1])

    def read(self, handle: bytes, offset: int = 0, count: int = 4096) -> bytes:
        return self._string(self.ask(Kind.READ, text(handle) + struct.pack(">QI", offset, count))[1])

    def write(self, handle: bytes, data: bytes, offset: int = 0) -> None:
        self.ask(Kind.WRITE, text(handle) + struct.pack(">Q", offset) + text(data))

    def close(self, handle: bytes) -> None:
        self.ask(Kind.CLOSE, text(handle))

    def content(self, path: bytes) -> bytes:
        handle = self.open(path)
        try:
            return self.read(handle)
        finally:
            self.close(handle)

    def put(self, path: bytes, data: bytes) -> None:
        handle = self.open(path, WRITE | CREAT | TRUNC)
        try:
            self.write(handle, data)
        finally:
            self.close(handle)

    def extended(self, name: bytes, body: bytes) -> bytes:
        return self.ask(Kind.EXTENDED, text(name) + body)[1]

    def listing(self, path: bytes) -> list[bytes]:
        handle = self._string(self.ask(Kind.OPENDIR, self.path(path))[1])
        names: list[bytes] = []
        try:
            while True:
                body = self.ask(Kind.READDIR, text(handle))[1]
                count, at = struct.unpack_from(">I", body)[0], 4
                for _ in range(count):
                    name = self._string(body[at:])
                    names.append(name)
                    at += 4 + len(name)
                    at += 4 + len(self._string(body[at:])) + 32
        except Refused as refused:
            if refused.status is not Status.EOF:
                raise
        self.close(handle)
        return names

    @staticmethod
    def _string(body: bytes) -> bytes:
        return body[4 : 4 + struct.unpack_from(">I", body)[0]]

    def _exactly(self, count: int) -> bytes:
        found = b""
        while len(found) < count:
            if not (piece := self.link.recv(count - len(found))):
                raise EOFError
            found += piece
        return found


def folder_of(
    world: World,
    *,
    is_writable: bool = True,
    follows_links: bool = False,
    walks: bool = False,
    there: tuple[int, int] | None = None,
    max_handles: int = 64,
) -> Folder:
    here = (os.geteuid(), os.getegid())
    below = Beneath(world.share, follows_links=follows_links, walks=walks)
    return Folder(
        below,
        root=world.share.encode(),
        is_writable=is_writable,
        owners=Owners(here=here, there=there or here),
        max_handles=max_handles,
    )


@contextlib.contextmanager
def served(world: World, folder: Folder) -> Iterator[Client]:
    """On a thread of this process. What the server raises is kept in the world."""
    ours, theirs = socket.socketpair()
    session = Session(theirs, folder)

    def run() -> None:
        try:
            session.run()
        except BaseException as error:
            world.complaints.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    ours.settimeout(20)
    try:
        yield Client(ours, world.share.encode())
    finally:
        ours.close()
        thread.join(20)
        assert not thread.is_alive()


CHILD = """
import os, socket, sys
from tests.sftp_client import folder_of
from tests.shares.world import World
from lima.adapters.sftp.session import Session
os.setgroups([]); os.setgid({uid}); os.setuid({uid})
Session(socket.socket(fileno=0), folder_of(World({base!r}), **{options!r})).run()
"""


@contextlib.contextmanager
def served_by_nobody(world: World, **options: object) -> Iterator[Client]:
    """By a process of an ordinary user."""
    ours, theirs = socket.socketpair()
    code = CHILD.format(uid=NOBODY, base=world.base, options=options)
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=theirs.fileno(), env={"PYTHONPATH": os.pathsep.join(sys.path)}
    )
    theirs.close()
    ours.settimeout(20)
    try:
        yield Client(ours, world.share.encode())
    finally:
        ours.close()
        assert child.wait(20) == 0
