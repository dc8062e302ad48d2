"""A guest that lies: nothing outside its share is seen or changed, whoever serves it and however paths are resolved."""

import contextlib
import os
import socket
import stat
import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from tests.sftp_client import (
    APPEND,
    CREAT,
    EXCL,
    READ,
    TRUNC,
    WRITE,
    Client,
    Refused,
    asking,
    folder_of,
    served,
    served_by_nobody,
    text,
)
from tests.shares.world import NOBODY, SECRET, World, new_world

from lima.adapters.sftp.beneath import Beneath
from lima.adapters.sftp.wire import MAX_MESSAGE, Kind, ProtocolError, Status

IS_ROOT = os.geteuid() == 0
SERVERS = {
    "kernel": {},
    "kernel, links": {"follows_links": True},
    "walking": {"walks": True},
    "walking, links": {"walks": True, "follows_links": True},
}


@pytest.fixture
def world() -> Iterator[World]:
    with new_world() as world:
        yield world


@pytest.fixture(params=[*SERVERS, *(f"nobody, {name}" for name in SERVERS if IS_ROOT)])
def client(request: pytest.FixtureRequest) -> Iterator[tuple[Client, World]]:
    is_nobody = request.param.startswith("nobody, ")
    options = SERVERS[request.param.removeprefix("nobody, ")]
    with new_world(owner=NOBODY if is_nobody else None) as world, contextlib.ExitStack() as stack:
        if is_nobody:
            found = stack.enter_context(served_by_nobody(world, **options))
        else:
            found = stack.enter_context(served(world, folder_of(world, **options)))  # type: ignore[arg-type]
        found.begin()
        yield found, world


WAYS_OUT = (
    b"/etc/passwd", b"/", b"/etc", b"..", b"../outside/file", b"folder/../../outside/file", b"far", b"far-relative",
    b"far-folder", b"far-folder/file", b"magic/file", b"far-folder/new", b"near-folder/../../outside/file", b"loop",
    b"loop/x", b"//etc/passwd", b"./../outside", b"far-folder/folder/file",
)  # fmt: skip


def expect_refusal(act: Callable[[], object]) -> None:
    with pytest.raises(Refused) as refused:
        act()
    assert refused.value.status is not Status.EOF


@pytest.mark.parametrize("way", WAYS_OUT, ids=bytes.decode)
def test_no_path_leads_out(client: tuple[Client, World], way: bytes) -> None:
    found, world = client
    place = found.path(way)
    acts: list[Callable[[], object]] = [
        lambda: found.open(way),
        lambda: found.open(way, READ | WRITE | CREAT),
        lambda: found.open(way, WRITE | TRUNC | CREAT),
        lambda: found.open(way, WRITE | APPEND),
        lambda: found.listing(way),
        lambda: found.ask(Kind.SETSTAT, place + asking(mode=0o777)),
        lambda: found.ask(Kind.SETSTAT, place + asking(size=0)),
        lambda: found.ask(Kind.SETSTAT, place + asking(times=(1, 1))),
        lambda: found.ask(Kind.SETSTAT, place + asking(owner=(NOBODY, NOBODY))),
        lambda: found.extended(b"statvfs@openssh.com", place),
    ]
    for act in acts:
        expect_refusal(act)
    if way.count(b"/") or way == b"..":
        for kind, body in (
            (Kind.REMOVE, place),
            (Kind.RMDIR, place),
            (Kind.MKDIR, place + asking()),
            (Kind.LSTAT, place),
            (Kind.STAT, place),
            (Kind.READLINK, place),
            (Kind.SYMLINK, text(b"x") + place),
            (Kind.RENAME, place + found.path(b"caught")),
            (Kind.RENAME, found.path(b"file") + place),
        ):
            expect_refusal(lambda kind=kind, body=body: found.ask(kind, body))  # type: ignore[misc]
        for name in (b"posix-rename@openssh.com", b"hardlink@openssh.com"):
            expect_refusal(lambda name=name: found.extended(name, place + found.path(b"caught")))  # type: ignore[misc]
            expect_refusal(lambda name=name: found.extended(name, found.path(b"file") + place))  # type: ignore[misc]
    assert not os.path.lexists(world.inside("caught"))
    assert found.content(b"file") == b"inside\n"


def test_the_share_itself_stays_where_it_is(client: tuple[Client, World]) -> None:
    found, world = client
    for root in (b"", b".", b"/."):
        place = text(world.share.encode() + root)
        expect_refusal(lambda place=place: found.ask(Kind.RMDIR, place))  # type: ignore[misc]
        expect_refusal(lambda place=place: found.ask(Kind.RENAME, place + found.path(b"folder/x")))  # type: ignore[misc]
    assert sorted(found.listing(b"folder")) == [b".", b"..", b"file"]


def test_what_lies_above_is_not_shown_by_dots(client: tuple[Client, World]) -> None:
    found, world = client
    assert b"outside" not in found.listing(b"")
    assert found.ask(Kind.REALPATH, text(b"."))[1].count(world.share.encode()) == 2


def test_what_is_no_file_is_not_opened(client: tuple[Client, World]) -> None:
    found, world = client
    for flags in (READ, WRITE, READ | CREAT, READ | CREAT | EXCL, READ | WRITE | CREAT | TRUNC):
        expect_refusal(lambda flags=flags: found.open(b"fifo", flags))  # type: ignore[misc]
        expect_refusal(lambda flags=flags: found.open(b"folder", flags))  # type: ignore[misc]
        expect_refusal(lambda flags=flags: found.open(b"", flags))  # type: ignore[misc]
    assert stat.S_ISFIFO(os.lstat(world.inside("fifo")).st_mode)


@pytest.mark.parametrize(
    "target", [b"/etc/passwd", b"../outside/file", b"folder/../../outside/file", b"/proc/self/root", b"../outside"]
)
def test_a_link_that_the_client_makes_leads_nowhere(client: tuple[Client, World], target: bytes) -> None:
    found, world = client
    found.ask(Kind.SYMLINK, text(target) + found.path(b"made"))
    for way in (b"made", b"made/file", b"made/etc/passwd"):
        for flags in (READ, WRITE, READ | WRITE | CREAT | TRUNC):
            expect_refusal(lambda way=way, flags=flags: found.open(way, flags))  # type: ignore[misc]
    expect_refusal(lambda: found.ask(Kind.SETSTAT, found.path(b"made") + asking(size=0)))
    for name in (b"far", b"made"):
        found.extended(b"hardlink@openssh.com", found.path(name) + found.path(b"caught"))
        assert os.path.islink(world.inside("caught")), "what it leads to was caught"
        found.ask(Kind.REMOVE, found.path(b"caught"))


@pytest.mark.needs_root
def test_a_device_is_not_opened_even_by_root(client: tuple[Client, World]) -> None:
    found, world = client
    try:
        os.mknod(world.inside("null"), stat.S_IFCHR | 0o666, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("no devices are made here")
    os.chmod(world.inside("null"), 0o666)
    for flags in (READ, WRITE, READ | WRITE | CREAT | TRUNC):
        expect_refusal(lambda flags=flags: found.open(b"null", flags))  # type: ignore[misc]
    expect_refusal(lambda: found.ask(Kind.SETSTAT, found.path(b"null") + asking(size=0)))


@pytest.mark.needs_root
def test_root_gives_nothing_away_and_makes_no_program_privileged(world: World) -> None:
    with served(world, folder_of(world)) as found:
        found.begin()
        place = found.path(b"file")
        expect_refusal(lambda: found.ask(Kind.SETSTAT, place + asking(owner=(NOBODY, NOBODY))))
        expect_refusal(lambda: found.ask(Kind.SETSTAT, place + asking(mode=0o4755)))
        found.close(found.open(b"tool", WRITE | CREAT, mode=0o6755))
        assert not os.stat(world.inside("tool")).st_mode & 0o6000
        os.chmod(world.inside("tool"), 0o6755)
        found.close(found.open(b"tool"))
        assert os.stat(world.inside("tool")).st_mode & 0o7777 == 0o6755
        found.close(found.open(b"tool", WRITE))
        assert os.stat(world.inside("tool")).st_mode & 0o7777 == 0o755, "what a guest may have written into"
        found.ask(Kind.SETSTAT, place + asking(owner=(0xFFFFFFFF, 0xFFFFFFFF), mode=0o700))
        assert os.stat(world.inside("file")).st_mode & 0o7777 == 0o700


@pytest.mark.parametrize("options", SERVERS.values(), ids=SERVERS)
def test_a_read_only_share_refuses_every_change(world: World, options: dict[str, bool]) -> None:
    with served(world, folder_of(world, is_writable=False, **options)) as found:  # type: ignore[arg-type]
        found.begin()
        place, new = found.path(b"file"), found.path(b"new")
        handle = found.open(b"file")
        for flags in (WRITE, READ | WRITE, CREAT, TRUNC, APPEND, READ | CREAT | EXCL, 0xFFFFFFFF):
            expect_refusal(lambda flags=flags: found.open(b"file", flags))  # type: ignore[misc]
            expect_refusal(lambda flags=flags: found.open(b"new", flags))  # type: ignore[misc]
        for kind, body in (
            (Kind.SETSTAT, place + asking(size=0)),
            (Kind.SETSTAT, place + asking(mode=0o777)),
            (Kind.SETSTAT, place + asking(times=(1, 1))),
            (Kind.FSETSTAT, text(handle) + asking(mode=0o777)),
            (Kind.WRITE, text(handle) + struct.pack(">Q", 0) + text(b"x")),
            (Kind.REMOVE, place),
            (Kind.MKDIR, new + asking()),
            (Kind.RMDIR, found.path(b"folder")),
            (Kind.RENAME, place + new),
            (Kind.SYMLINK, text(b"file") + new),
        ):
            with pytest.raises(Refused) as refused:
                found.ask(kind, body)
            assert refused.value.status is Status.PERMISSION_DENIED
        for name in (b"posix-rename@openssh.com", b"hardlink@openssh.com"):
            expect_refusal(lambda name=name: found.extended(name, place + new))  # type: ignore[misc]
        assert found.read(handle) == b"inside\n"
        assert not os.path.lexists(world.inside("new"))


@pytest.mark.parametrize("options", SERVERS.values(), ids=SERVERS)
def test_nobody_slips_out_while_a_folder_becomes_a_link(world: World, options: dict[str, bool]) -> None:
    reached = 0
    with world.swapping(), served(world, folder_of(world, **options)) as found:  # type: ignore[arg-type]
        found.begin()
        turns, deadline = 0, time.monotonic() + 30
        while turns < 600 or (not reached and time.monotonic() < deadline):
            turns += 1
            with contextlib.suppress(Refused):
                content = found.content(b"door/file")
                assert content == b"inside\n", content
                reached += 1
            for act in (
                lambda: found.put(b"door/new", b"x"),
                lambda: found.ask(Kind.SETSTAT, found.path(b"door/file") + asking(mode=0o600)),
                lambda: found.ask(Kind.MKDIR, found.path(b"door/made") + asking()),
                lambda: found.ask(Kind.RMDIR, found.path(b"door/made")),
                lambda: found.ask(Kind.REMOVE, found.path(b"door/new")),
                lambda: found.extended(b"hardlink@openssh.com", found.path(b"door/file") + found.path(b"caught")),
            ):
                with contextlib.suppress(Refused):
                    act()
            if os.path.exists(world.inside("caught")):
                with open(world.inside("caught"), "rb") as file:
                    assert file.read() != SECRET
                os.unlink(world.inside("caught"))
    assert reached, "the race was never won by anybody"


@pytest.mark.parametrize("options", SERVERS.values(), ids=SERVERS)
def test_a_file_that_becomes_a_link_is_not_followed(world: World, options: dict[str, bool]) -> None:
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            for make in (
                lambda path: os.symlink("../outside/file", path),
                lambda path: os.close(os.open(path, os.O_CREAT)),
            ):
                make(world.inside("next"))
                os.rename(world.inside("next"), world.inside("victim"))

    swapping = threading.Thread(target=swap)
    swapping.start()
    try:
        with served(world, folder_of(world, **options)) as found:  # type: ignore[arg-type]
            found.begin()
            for _ in range(600):
                for act in (
                    lambda: found.put(b"victim", b"written by the guest"),
                    lambda: found.ask(Kind.SETSTAT, found.path(b"victim") + asking(mode=0o604, times=(5, 5))),
                    lambda: found.ask(Kind.SETSTAT, found.path(b"victim") + asking(size=3)),
                ):
                    with contextlib.suppress(Refused):
                        act()
                with contextlib.suppress(Refused):
                    assert SECRET not in found.content(b"victim")
    finally:
        stop.set()
        swapping.join()


def test_handles_that_are_not_ours(world: World) -> None:
    with served(world, folder_of(world)) as found:
        found.begin()
        handle = found.open(b"file", READ | WRITE)
        for name in (b"", b"0", b"2", b"3", b"999", handle + b"\0", b"\xff" * 300):
            for kind, more in (
                (Kind.READ, struct.pack(">QI", 0, 10)),
                (Kind.WRITE, struct.pack(">Q", 0) + text(b"x")),
                (Kind.FSTAT, b""),
                (Kind.FSETSTAT, asking(size=0)),
                (Kind.READDIR, b""),
                (Kind.CLOSE, b""),
            ):
                expect_refusal(lambda name=name, kind=kind, more=more: found.ask(kind, text(name) + more))  # type: ignore[misc]
        expect_refusal(lambda: found.ask(Kind.READDIR, text(handle)))
        found.close(handle)
        expect_refusal(lambda: found.read(handle))


def test_no_more_files_are_open_than_allowed(world: World) -> None:
    with served(world, folder_of(world, max_handles=3)) as found:
        found.begin()
        handles = [found.open(b"file") for _ in range(3)]
        expect_refusal(lambda: found.open(b"file"))
        expect_refusal(lambda: found.listing(b"folder"))
        found.close(handles[0])
        assert found.content(b"file") == b"inside\n"


def test_what_a_client_leaves_open_is_closed(world: World) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with served(world, folder_of(world)) as found:
        found.begin()
        for _ in range(10):
            found.open(b"file")
        found.ask(Kind.OPENDIR, found.path(b"folder"))
        found.ask(Kind.READDIR, text(b"b"))
    assert len(os.listdir("/proc/self/fd")) == before


def test_offsets_and_counts_have_bounds(world: World) -> None:
    with served(world, folder_of(world)) as found:
        found.begin()
        handle = found.open(b"file", READ | WRITE)
        assert found.read(handle, 0, 0xFFFFFFFF) == b"inside\n"
        for offset in (2**63 - 1, 2**63, 2**64 - 1):
            expect_refusal_or_end(lambda offset=offset: found.read(handle, offset))  # type: ignore[misc]
            expect_refusal(lambda offset=offset: found.write(handle, b"xx", offset))  # type: ignore[misc]
        expect_refusal(lambda: found.ask(Kind.SETSTAT, found.path(b"file") + asking(size=2**64 - 1)))
        assert found.read(handle, 2, 3) == b"sid"


def expect_refusal_or_end(act: Callable[[], object]) -> None:
    with pytest.raises(Refused):
        act()


LIES = {
    "a message of 4 GiB": struct.pack(">IB", 0xFFFFFFFF, Kind.WRITE),
    "a message over the limit": struct.pack(">IBI", MAX_MESSAGE + 1, Kind.WRITE, 1),
    "an empty message": struct.pack(">IB", 0, Kind.STAT),
    "a message without a number": struct.pack(">IBH", 3, Kind.STAT, 1),
    "a string longer than its message": struct.pack(">IBII", 9, Kind.STAT, 1, 1000),
    "a message without its fields": struct.pack(">IBI", 5, Kind.OPEN, 1),
    "a second beginning": struct.pack(">IBII", 9, Kind.OPEN, 3, 0xFFFFFFFF),
    "attributes without an end": struct.pack(">IBII", 17, Kind.MKDIR, 1, 0)
    + struct.pack(">II", 0x80000000, 0xFFFFFFFF),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_whoever_lies_about_lengths_is_not_served_any_longer(world: World, lie: bytes) -> None:
    with served(world, folder_of(world)) as found:
        found.begin()
        found.link.sendall(lie)
        with pytest.raises(EOFError):
            found.message()
    assert [type(error) for error in world.complaints] == [ProtocolError]
    world.complaints.clear()


def test_the_first_word_is_the_version(world: World) -> None:
    with served(world, folder_of(world)) as found, pytest.raises(EOFError):
        found.ask(Kind.STAT, text(b"."))
    assert [str(error) for error in world.complaints] == ["a request (17) before the first word"]
    world.complaints.clear()


def test_a_message_without_an_end_costs_no_memory(world: World) -> None:
    """Half a message, and the client is gone."""
    with served(world, folder_of(world)) as found:
        found.begin()
        found.link.sendall(struct.pack(">IBI", MAX_MESSAGE, Kind.WRITE, 1) + b"x" * 1000)
        found.link.shutdown(socket.SHUT_WR)
        with pytest.raises(EOFError):
            found.message()


def test_unknown_requests_are_answered(world: World) -> None:
    with served(world, folder_of(world)) as found:
        found.begin()
        for kind in (0, 21, 100, 103, 255):
            with pytest.raises(Refused) as refused:
                found.ask(kind, b"whatever")
            assert refused.value.status is Status.OP_UNSUPPORTED
        with pytest.raises(Refused) as refused:
            found.extended(b"copy-data", b"")
        assert refused.value.status is Status.OP_UNSUPPORTED


def test_the_kernel_resolves_where_it_can(world: World) -> None:
    """Else the other half of these tests would prove nothing."""
    below, walking = Beneath(world.share), Beneath(world.share, walks=True)
    assert not walking.is_by_kernel
    if not below.is_by_kernel:
        pytest.skip("no openat2 here")
    below.close()
    walking.close()
