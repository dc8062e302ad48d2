"""Folders of 9p mounts that the agent holds: which ones, how many, and for how long. A temporary tree plays the mount."""

import asyncio
import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lima_guestagent import limits, pins, service
from lima_guestagent.messages import Inotify
from lima_guestagent.mounts import forgetful, forgetful_mounts
from lima_guestagent.pinning import Pinning
from lima_guestagent.pins import FolderPins

from lima.adapters.watching.tree import IGNORED

# --- which mounts


def line(options: str = "rw,relatime", kind: str = "9p", point: str = "/src") -> bytes:
    return f"mount0 {point} {kind} {options},access=client,trans=virtio 0 0\n".encode()


@pytest.mark.parametrize(
    "options",
    [
        "rw,relatime",
        "rw,cache=none",
        "rw,cache=mmap",
        "rw,cache=readahead",
        "rw,cache=5",  # mmap, from Linux 6.4 on
        "rw,cache=0x1",
        "rw,cachetag=loose",
    ],
)
def test_a_writable_9p_mount_without_a_metadata_cache_needs_its_folders_held(options: str) -> None:
    assert forgetful(line(options)) == [b"/src"]


@pytest.mark.parametrize(
    "options",
    [
        "ro,relatime",
        "ro,cache=mmap",
        "rw,cache=loose",
        "rw,cache=fscache",
        "rw,cache=f",
        "rw,cache=0x8f",
        "rw,cache=2",
        "rw,cache=8",
    ],
)
def test_one_that_is_read_only_or_has_a_metadata_cache_does_not(options: str) -> None:
    assert forgetful(line(options)) == []


def test_mounts_of_other_types_are_left_alone() -> None:
    others = line(kind="virtiofs") + line(kind="fuse.sshfs") + line(kind="ext4") + b"\nnonsense\n"
    assert forgetful(others) == []
    assert forgetful(others + line(point="/a") + line(point="/b")) == [b"/a", b"/b"]


def test_of_two_mounts_at_one_place_the_upper_counts() -> None:
    assert forgetful(line() + line(kind="tmpfs")) == []
    assert forgetful(line(kind="tmpfs") + line()) == [b"/src"]


@given(st.binary(min_size=1).filter(lambda path: b"\0" not in path))
def test_any_mount_point_is_read_as_it_was_before_the_kernel_escaped_it(path: bytes) -> None:
    escaped = b"".join(b"\\%03o" % byte if byte in b" \t\n\\#" else bytes((byte,)) for byte in b"/" + path)
    assert forgetful(b"m %s 9p rw 0 0\n" % escaped) == [b"/" + path]


def test_the_mounts_of_this_machine_are_read_and_a_list_that_cannot_be_is_empty(tmp_path) -> None:
    assert isinstance(forgetful_mounts(), list)
    assert forgetful_mounts(str(tmp_path / "none")) == []


# --- which folders


def test_the_host_leaves_out_the_same_names() -> None:
    assert pins.LEFT_OUT == IGNORED


def tree(root: Path, *folders: str) -> Path:
    for folder in folders:
        (root / folder).mkdir(parents=True, exist_ok=True)
    return root


@contextlib.contextmanager
def holding(*roots: Path, most: int = 100) -> Iterator[FolderPins]:
    """Those that the first walk finds."""
    folders = FolderPins([os.fsencode(root) for root in roots], most)
    try:
        walk(folders)
        yield folders
    finally:
        folders.close()


def walk(folders: FolderPins) -> None:
    while folders.step():
        pass


def tell(folders: FolderPins, *paths: Path) -> None:
    """What the host says, and all that follows from it."""
    for path in paths:
        with contextlib.suppress(FileNotFoundError), folders.told_of(str(path)):
            os.utime(path)
    walk(folders)


def names(folders: FolderPins, root: Path) -> set[str]:
    return {os.path.relpath(os.fsdecode(path), root) for path in folders.held}


def open_folders() -> dict[int, tuple[int, int]]:
    """Descriptor → the folder that this process holds by it."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError), open(f"/proc/self/fdinfo/{name}") as file:
            if int(file.read().split("flags:")[1].split()[0], 8) & os.O_PATH:
                state = os.fstat(int(name))
                found[int(name)] = state.st_dev, state.st_ino
    return found


def is_held(path: Path) -> bool:
    state = os.stat(path)
    return (state.st_dev, state.st_ino) in open_folders().values()


def test_all_folders_are_held_and_no_file_and_nothing_by_way_of_a_link(tmp_path) -> None:
    root = tree(tmp_path / "m", "a/b/c", "d")
    (root / "a/file").touch()
    tree(tmp_path, "outside/x")
    (root / "link").symlink_to(tmp_path / "outside")
    (root / "inner").symlink_to("a")
    with holding(root) as folders:
        assert names(folders, root) == {".", "a", "a/b", "a/b/c", "d"}
        assert is_held(root / "a/b/c")
        assert not is_held(tmp_path / "outside")
        # one that comes later is no other
        (root / "late").symlink_to(tmp_path / "outside")
        tell(folders, root / "late", root / "late/x")
        assert names(folders, root) == {".", "a", "a/b", "a/b/c", "d"}
        tell(folders, root)
        assert names(folders, root) == {".", "a", "a/b", "a/b/c", "d"}


def test_what_the_host_leaves_out_is_left_out(tmp_path) -> None:
    root = tree(tmp_path, "a/node_modules/x", ".git/objects", "b/.venv")
    with holding(root) as folders:
        tell(folders, root / ".git", root / "a/node_modules", root / "a/node_modules/x")
        assert names(folders, root) == {".", "a", "b"}


def test_a_walk_stays_on_its_file_system() -> None:
    elsewhere = Path("/dev/shm")
    if not elsewhere.is_dir() or elsewhere.stat().st_dev == Path("/dev").stat().st_dev:
        pytest.skip("/dev/shm is no file system of its own here")
    with holding(Path("/dev"), most=1000) as folders:
        tell(folders, Path("/dev/"), elsewhere)
        assert b"/dev" in folders.held
        assert b"/dev/shm" not in folders.held


def test_a_mount_in_another_is_held_with_it(tmp_path) -> None:
    root = tree(tmp_path, "a/inner/x", "b")
    with holding(root, root / "a/inner") as folders:
        assert names(folders, root) == {".", "a", "a/inner", "a/inner/x", "b"}
        with folders.told_of(str(root / "a")):
            pass
        assert not folders.step()


def test_folders_that_vanish_before_their_turn_are_skipped(tmp_path) -> None:
    root = tree(tmp_path, "a/b", "c")
    folders = FolderPins([os.fsencode(root), b"/no/such/mount"], 100)
    folders.step()
    folders.step()
    shutil.rmtree(root / "a")
    walk(folders)
    assert names(folders, root) == {".", "c"}
    folders.close()


def test_no_more_than_the_bound_are_held_the_upper_ones_first_and_that_is_said_once(tmp_path, capsys) -> None:
    root = tree(tmp_path, "a/x", "b/x", "c/x")
    with holding(root, most=4) as folders:
        assert names(folders, root) == {".", "a", "b", "c"}
        tell(folders, root / "a", root / "a/x", root / "b")
        assert len(folders.held) == 4
        assert capsys.readouterr().err.count("more than 4 folders") == 1
        # one that goes makes room, for one that comes in the same breath, too
        (root / "a/x").rmdir()
        (root / "a").rename(root / "d")
        tell(folders, root)
        assert names(folders, root) == {".", "b", "c", "d"}
    assert capsys.readouterr().err == ""


def test_the_bound_itself_is_no_reason_to_complain(tmp_path, capsys) -> None:
    root = tree(tmp_path, "a/x", "b")
    with holding(root, most=4) as folders:
        tell(folders, root, root / "a", root / "a/x")
        assert len(folders.held) == 4
        assert capsys.readouterr().err == ""
        tree(root, "b/more")
        tell(folders, root / "b/more")
        assert len(folders.held) == 4
        assert "more than 4 folders" in capsys.readouterr().err


# --- what the host tells


def test_a_new_folder_is_held_before_watchers_hear_of_it_and_then_what_is_in_it(tmp_path) -> None:
    root = tree(tmp_path / "m", "a")
    with holding(root) as folders:
        tree(root, "new/deep/er")
        with folders.told_of(str(root / "new")):
            assert is_held(root / "new")
            assert not is_held(root / "new/deep")
        walk(folders)
        assert names(folders, root) == {".", "a", "new", "new/deep", "new/deep/er"}
        # by its folder alone, too: one moved in, say
        tree(tmp_path, "in/side").joinpath("in").rename(root / "a/in")
        tell(folders, root / "a")
        assert is_held(root / "a/in/side")


def test_a_folder_that_is_gone_is_let_go_with_what_was_in_it(tmp_path) -> None:
    root = tree(tmp_path, "a/b/c", "d/e", "f")
    with holding(root) as folders:
        shutil.rmtree(root / "a")
        tell(folders, root / "a")
        assert names(folders, root) == {".", "d", "d/e", "f"}
        with contextlib.suppress(FileNotFoundError), folders.told_of(str(root / "d/e")):
            # on 9p it may be found by its name even so, by way of what is held
            (root / "d/e").rmdir()
            os.utime(root / "d/e")
        assert names(folders, root) == {".", "d", "f"}
        # the host tells of the folder that it was in, not of what was deleted
        shutil.rmtree(root / "d")
        (root / "f").rmdir()
        (root / "f").touch()
        tell(folders, root)
        assert names(folders, root) == {"."}
        assert set(open_folders().values()) >= {(root.stat().st_dev, root.stat().st_ino)}


def test_a_folder_in_the_place_of_another_is_held_instead_with_what_is_in_it(tmp_path) -> None:
    root = tree(tmp_path, "a/old", "b/old")
    with holding(root) as folders:
        for name, told in (("a", root / "a"), ("b", root)):
            (root / name).rename(root / f".{name}")
            tree(root, f"{name}/new")
            tell(folders, told)
            assert is_held(root / name)
            assert is_held(root / name / "new")
        assert names(folders, root) == {".", ".a", ".a/old", ".b", ".b/old", "a", "a/new", "b", "b/new"}


def test_a_folder_that_is_renamed_is_held_all_the_time(tmp_path) -> None:
    root = tree(tmp_path, "a/b")
    with holding(root) as folders:
        (root / "a").rename(root / "z")
        with folders.told_of(str(root)):
            pass
        while folders.has_more:
            assert is_held(root / "z/b")
            folders.step()
        assert names(folders, root) == {".", "z", "z/b"}
        assert is_held(root / "z/b")


def test_a_folder_that_comes_back_before_it_was_let_go_is_kept(tmp_path) -> None:
    root = tree(tmp_path, "a/b")
    with holding(root) as folders:
        (root / "a").rename(root / "z")
        with folders.told_of(str(root)):
            pass
        folders.step()
        (root / "z").rename(root / "a")
        tell(folders, root)
        assert names(folders, root) == {".", "a", "a/b"}
        assert is_held(root / "a/b")


def test_a_folder_that_is_told_of_often_is_looked_at_once(tmp_path) -> None:
    with holding(tree(tmp_path, "a")) as folders:
        for _ in range(10):
            with folders.told_of(str(tmp_path / "a")):
                pass
        assert folders.has_more
        assert not folders.step()


def test_a_mount_point_may_be_told_of_by_way_of_a_link(tmp_path) -> None:
    root = tree(tmp_path / "real", "a")
    (tmp_path / "link").symlink_to("real")
    with holding(root) as folders:
        tree(root, "new")
        tell(folders, tmp_path / "link/new")
        assert names(folders, root) == {".", "a", "new"}


@pytest.mark.parametrize("path", ["relative", "", "/", "/no/such", "/\0", "/\udce4"])
def test_paths_that_are_in_no_mount_change_nothing(tmp_path, path: str) -> None:
    with holding(tree(tmp_path, "a")) as folders, folders.told_of(path):
        assert not folders.has_more
        assert names(folders, tmp_path) == {".", "a"}


@given(st.lists(st.tuples(st.sampled_from(("make", "remove", "move")), *[st.sampled_from("abc")] * 4), max_size=12))
def test_after_all_was_told_what_is_held_is_what_there_is(tmp_path_factory, changes) -> None:
    root = tree(tmp_path_factory.mktemp("m"), "a/b", "c")
    before = len(open_folders())
    with holding(root) as folders:
        for what, first, second, third, fourth in changes:
            old, new = root / first / second, root / third / fourth
            with contextlib.suppress(OSError):
                if what == "make":
                    new.mkdir(parents=True)
                    tell(folders, new.parent, new, root)
                elif what == "remove":
                    shutil.rmtree(old)
                    tell(folders, old.parent)
                else:
                    old.rename(new)
                    tell(folders, old.parent, new, new.parent)
        there = {".", *(str(path.relative_to(root)) for path in root.rglob("*"))}
        assert names(folders, root) == there
        assert all(is_held(root / name) for name in there)
        assert len(open_folders()) == before + len(there)
    assert len(open_folders()) == before


# --- while a host tells


class Turns:
    """A worker without a thread, which takes one job a turn of the loop, in order."""

    def __init__(self) -> None:
        self.done: list[str] = []

    async def run(self, function, *arguments):
        await asyncio.sleep(0)
        self.done.append(function.__name__)
        return function(*arguments)


class Host:
    """A call that ends when it is told to."""

    def __init__(self) -> None:
        self.says: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def receive(self) -> bytes | None:
        return await self.says.get()

    def tell(self, path: Path) -> None:
        self.says.put_nowait(Inotify(mount_path=str(path)).encode())


async def until(condition) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0)


class Mounts:
    """The list of mounts, and who watches it."""

    def __init__(self, *roots: Path) -> None:
        self.roots, self.read, self.changed = list(roots), 0, None

    def __call__(self) -> list[bytes]:
        self.read += 1
        return [os.fsencode(root) for root in self.roots]

    def watch(self, loop, changed) -> "Mounts":
        self.changed = changed
        return self

    def close(self) -> None:
        self.changed = None


def serving(worker: Turns, mounts: Mounts) -> service.Service:
    pinning = Pinning(asyncio.get_running_loop(), worker, most=100, mounts=mounts, watch=mounts.watch)
    return service.Service(None, None, worker, pinning)


async def test_folders_are_held_as_long_as_a_host_tells(tmp_path) -> None:
    root, worker, (first, second) = tree(tmp_path, "a/b"), Turns(), (Host(), Host())
    agent = serving(worker, Mounts(root))
    calls = [asyncio.ensure_future(agent.post_inotify(host)) for host in (first, second)]
    await until(lambda: is_held(root / "a/b"))
    (root / "new/er").mkdir(parents=True)
    second.tell(root / "new")
    await until(lambda: is_held(root / "new/er"))
    # they share what is held: it stays until the last of them has gone
    first.says.put_nowait(None)
    assert await calls[0] == b""
    assert is_held(root / "a/b")
    calls[1].cancel()
    await until(lambda: not is_held(root / "a/b"))
    assert not is_held(root)
    # and comes back with the next
    third = Host()
    again = asyncio.ensure_future(agent.post_inotify(third))
    await until(lambda: is_held(root / "new/er"))
    third.says.put_nowait(None)
    await again
    assert not is_held(root)


async def test_touches_take_their_turn_during_a_long_walk_and_its_end_ends_it(tmp_path) -> None:
    root, worker, host = tree(tmp_path, *(f"{number}" for number in range(50))), Turns(), Host()
    call = asyncio.ensure_future(serving(worker, Mounts(root)).post_inotify(host))
    await until(lambda: len(worker.done) == 3)
    (root / "file").touch()
    host.tell(root / "file")
    await until(lambda: "_touch" in worker.done)
    assert worker.done.index("_touch") < 8
    host.says.put_nowait(None)
    await call
    assert worker.done[-1] == "close"
    assert len(worker.done) < 20
    assert not is_held(root)


async def test_a_host_costs_nothing_where_no_mount_needs_it(tmp_path) -> None:
    worker, host, mounts = Turns(), Host(), Mounts()
    call = asyncio.ensure_future(serving(worker, mounts).post_inotify(host))
    host.tell(tree(tmp_path, "a"))
    host.tell(tmp_path / "a")
    host.says.put_nowait(None)
    await call
    assert worker.done == ["_touch", "_touch"]
    assert mounts.read == 1


async def test_what_is_mounted_later_is_held_and_what_is_unmounted_is_let_go(tmp_path) -> None:
    """A boot mounts while the agent runs: what cloud-init would not, or what has another cache than it should."""
    for name in ("one/a", "two/b"):
        (tmp_path / name).mkdir(parents=True)
    mounts, host = Mounts(tmp_path / "one"), Host()
    call = asyncio.ensure_future(serving(Turns(), mounts).post_inotify(host))
    await until(lambda: is_held(tmp_path / "one/a"))
    mounts.roots = [tmp_path / "two"]
    mounts.changed()
    await until(lambda: is_held(tmp_path / "two/b"))
    assert not is_held(tmp_path / "one")
    assert not is_held(tmp_path / "one/a")
    # mounted anew: another folder at the same path
    (tmp_path / "two").rename(tmp_path / "before")
    (tmp_path / "two/c").mkdir(parents=True)
    mounts.changed()
    await until(lambda: is_held(tmp_path / "two/c"))
    assert not is_held(tmp_path / "before/b")
    host.says.put_nowait(None)
    await call
    assert mounts.changed is None
    assert not is_held(tmp_path / "two")


async def test_a_machine_that_does_not_tell_of_mounts_holds_those_it_began_with(tmp_path, capsys) -> None:
    root, host = tree(tmp_path, "a"), Host()
    mounts = Mounts(root)
    mounts.watch = lambda *_: open("/nowhere")  # noqa: SIM115
    call = asyncio.ensure_future(serving(Turns(), mounts).post_inotify(host))
    await until(lambda: is_held(root / "a"))
    assert "mounts that come later are not held" in capsys.readouterr().err
    host.says.put_nowait(None)
    await call
    assert not is_held(root)


async def test_no_failure_of_a_walk_ends_the_call(tmp_path, capsys, monkeypatch) -> None:
    root, host = tree(tmp_path, "a"), Host()

    def fail(*_):
        raise RuntimeError("unheard of")

    monkeypatch.setattr(os, "scandir", fail)
    call = asyncio.ensure_future(serving(Turns(), Mounts(root)).post_inotify(host))
    await until(lambda: "unheard of" in capsys.readouterr().err)
    assert not call.done()
    host.says.put_nowait(None)
    assert await call == b""
    assert not is_held(root)


# --- descriptors


@pytest.mark.parametrize(("count", "expected"), [(12288, (8128, 4096)), (4096, (2667, 1365)), (64, (1, 21))])
def test_tunnels_and_folders_share_what_descriptors_there_are(count: int, expected: tuple[int, int]) -> None:
    assert limits.shares(count) == expected
