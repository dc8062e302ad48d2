"""What the server does for clients that mean well."""

import os
import socket
import struct
import sys
import threading
from collections.abc import Iterator

import pytest
from tests.sftp_client import (
    APPEND,
    CREAT,
    EXCL,
    READ,
    WRITE,
    Client,
    Refused,
    asking,
    folder_of,
    served,
    text,
)
from tests.shares.world import World, new_world

from lima.adapters.sftp.server import SWITCH_S, SftpFolderServer
from lima.adapters.sftp.session import Session
from lima.adapters.sftp.wire import Kind, Status
from lima.ports.folder_server import SharedFolder


@pytest.fixture
def world() -> Iterator[World]:
    with new_world() as world:
        yield world


@pytest.fixture(params=[False, True], ids=["kernel", "walking"])
def client(world: World, request: pytest.FixtureRequest) -> Iterator[Client]:
    with served(world, folder_of(world, walks=request.param, there=(1234, 1235))) as client:
        client.begin()
        yield client


def state(client: Client, path: bytes) -> tuple[int, ...]:
    """Size, uid, gid, mode, access and change, of a link itself."""
    return struct.unpack(">IQIIIII", client.ask(Kind.LSTAT, client.path(path))[1])[1:]


def test_a_whole_second_that_it_is_already_leaves_a_time_as_exact_as_it_was(client: Client, world: World) -> None:
    os.utime(world.inside("file"), ns=(5 * 10**9 + 123, 7 * 10**9 + 456))
    client.ask(Kind.SETSTAT, client.path(b"file") + asking(times=(5, 7)))
    found = os.stat(world.inside("file"))
    assert (found.st_atime_ns, found.st_mtime_ns) == (5 * 10**9 + 123, 7 * 10**9 + 456)
    client.ask(Kind.SETSTAT, client.path(b"file") + asking(times=(6, 7)))
    found = os.stat(world.inside("file"))
    assert (found.st_atime_ns, found.st_mtime_ns) == (6 * 10**9, 7 * 10**9 + 456)


def test_files_of_the_user_who_serves_are_the_guests_users(client: Client, world: World) -> None:
    client.put(b"new", b"x")
    assert state(client, b"new")[1:3] == (1234, 1235)
    client.ask(Kind.SETSTAT, client.path(b"new") + asking(owner=(1234, 1235)))
    assert os.stat(world.inside("new")).st_uid == os.geteuid()


def test_a_rename_replaces_nothing_unless_it_says_so(client: Client, world: World) -> None:
    client.put(b"new", b"new")
    with pytest.raises(Refused) as refused:
        client.ask(Kind.RENAME, client.path(b"new") + client.path(b"file"))
    assert refused.value.status is Status.FAILURE
    client.extended(b"posix-rename@openssh.com", client.path(b"new") + client.path(b"file"))
    assert client.content(b"file") == b"new"
    assert not os.path.lexists(world.inside("new"))


def test_what_is_appended_comes_last(client: Client) -> None:
    handle = client.open(b"file", WRITE | APPEND)
    client.write(handle, b"more\n", 0)
    client.close(handle)
    assert client.content(b"file") == b"inside\nmore\n"


def test_a_file_that_must_be_new_is(client: Client) -> None:
    client.close(client.open(b"new", WRITE | CREAT | EXCL, mode=0o600))
    assert state(client, b"new")[3] & 0o777 == 0o600
    with pytest.raises(Refused):
        client.open(b"new", WRITE | CREAT | EXCL)


def test_a_folder_is_listed_whole_however_long(client: Client, world: World) -> None:
    names = {b"%03d-%s" % (number, b"x" * 200) for number in range(350)}
    for name in names:
        os.close(os.open(world.inside("folder").encode() + b"/" + name, os.O_CREAT))
    found = client.listing(b"folder")
    assert len(found) == len(set(found))
    assert set(found) == names | {b".", b"..", b"file"}


def test_a_link_is_shown_and_made_as_it_is(client: Client, world: World) -> None:
    kind, body = client.ask(Kind.READLINK, client.path(b"far"))
    assert kind == Kind.NAME
    assert body[8:].startswith(f"{world.outside}/file".encode())
    client.ask(Kind.SYMLINK, text(b"/any/where") + client.path(b"made"))
    assert os.readlink(world.inside("made")) == "/any/where"
    client.ask(Kind.REMOVE, client.path(b"made"))


@pytest.mark.parametrize("is_slow", [False, True], ids=["taken whole", "taken bit by bit"])
def test_requests_that_come_together_are_answered_in_order(world: World, is_slow: bool) -> None:
    content = os.urandom(100_000)
    with open(world.inside("file"), "wb") as file:
        file.write(content)
    ours, theirs = socket.socketpair()
    if is_slow:
        # with a timeout a socket takes what it has room for, and says so
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        theirs.settimeout(20)
    ours.settimeout(20)
    serving = threading.Thread(target=Session(theirs, folder_of(world)).run)
    serving.start()
    with ours:
        client = Client(ours, world.share.encode())
        client.begin()
        handle = text(client.open(b"file"))
        bodies = [
            struct.pack(">I", number) + handle + struct.pack(">QI", 100 * number, 60_000 if number < 10 else 1)
            for number in range(900)
        ]
        ours.sendall(b"".join(struct.pack(">IB", len(body) + 1, Kind.READ) + body for body in bodies))
        for number in range(900):
            kind, body = client.message()
            assert kind == Kind.DATA
            assert struct.unpack_from(">I", body)[0] == number
            assert body[8:] == content[100 * number :][: 60_000 if number < 10 else 1]
    serving.join(20)
    assert not serving.is_alive()


async def test_a_mount_does_not_wait_long_for_a_thread_that_computes(world: World) -> None:
    service = await SftpFolderServer().serve(
        SharedFolder(location=world.share, is_writable=False, follows_links=False, guest_owner=(1000, 1000))
    )
    service.close()
    assert sys.getswitchinterval() == pytest.approx(SWITCH_S, rel=0.01)


def test_the_end_of_a_file_and_its_state(client: Client) -> None:
    handle = client.open(b"file", READ)
    with pytest.raises(Refused) as refused:
        client.read(handle, 7)
    assert refused.value.status is Status.EOF
    assert client.ask(Kind.FSTAT, text(handle))[1] == client.ask(Kind.STAT, client.path(b"file"))[1]
    client.extended(b"fsync@openssh.com", text(handle))
    numbers = struct.unpack(">11Q", client.extended(b"fstatvfs@openssh.com", text(handle)))
    assert numbers[1] == struct.unpack(">11Q", client.extended(b"statvfs@openssh.com", client.path(b".")))[1]
    assert struct.unpack(">4Q", client.extended(b"limits@openssh.com", b""))[3] == 64
