"""sshfs itself over ssh itself: this host stands in for the guest."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.shares.world import World, new_world
from tests.ssh_server import running_sshd, transport_to

from lima.adapters.sftp.server import SftpFolderServer
from lima.adapters.ssh.openssh import OpensshTransport
from lima.adapters.system.clock import SystemClock
from lima.application.share_folders import ShareFolders
from lima.domain.sshfs import GUARD, SshfsMount, mounted
from lima.testing.fakes import FakeEventSink

pytestmark = [pytest.mark.needs_sshfs]

BACK_S = 5.0
"""How soon a mount is back."""


@pytest.fixture
def world() -> Iterator[World]:
    with new_world() as world:
        yield world


@pytest.fixture
async def transport() -> AsyncIterator[OpensshTransport]:
    folder = f"/tmp/lima-s{os.getpid()}-{time.monotonic_ns() % 10**6}"
    os.mkdir(folder, 0o700)
    async with running_sshd(folder) as port:
        found = transport_to(folder, port)
        await found.connect()
        yield found
        await found.close()
    shutil.rmtree(folder)


@pytest.fixture
async def shares() -> AsyncIterator[ShareFolders]:
    found = ShareFolders(server=SftpFolderServer, clock=SystemClock(), log=FakeEventSink())
    yield found
    await found.end()


def mount_of(world: World, **options: Any) -> SshfsMount:
    return SshfsMount(location=world.share, mount_point=f"{world.base}/mnt", **options)


def owner() -> tuple[int, int]:
    return os.geteuid(), os.getegid()


def is_mounted(mount: SshfsMount) -> bool:
    with open("/proc/self/mounts") as file:
        return mounted(file.read()).get(mount.mount_point, "") == "fuse.sshfs"


async def command(*words: str) -> str:
    """Beside the loop, which serves what it asks for."""
    done = await asyncio.to_thread(subprocess.run, words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def until(condition: Callable[[], bool], *, seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not await asyncio.to_thread(condition):
            await asyncio.sleep(0.02)


def sshfs_of(mount: SshfsMount) -> list[int]:
    """Pids."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0] == b"sshfs" and mount.mount_point.encode() in words:
            found.append(int(entry))
    return found


async def test_what_people_do_with_files(world: World, transport: OpensshTransport, shares: ShareFolders) -> None:
    mount = mount_of(world, writable=True)
    assert await shares([mount], transport) == ()
    there = mount.mount_point
    script = """set -e; cd "$1"
    test "$(cat file folder/file)" = "$(printf 'inside\\ninside')"
    echo new >new; mv new renamed; test "$(cat renamed)" = new
    echo more >>renamed; test "$(wc -l <renamed)" = 2
    mkdir -p a/b/c; mv a z; test -d z/b/c; rm -r z
    ln -s renamed link; test "$(readlink link)" = renamed; test "$(cat link)" = "$(cat renamed)"
    ln renamed hard; test "$(cat hard)" = "$(cat renamed)"
    chmod 600 renamed; test "$(stat -c %a renamed)" = 600
    touch -d @1000000000 renamed; test "$(stat -c %Y renamed)" = 1000000000
    truncate -s 5 renamed; test "$(stat -c %s renamed)" = 5
    dd if=/dev/urandom of=big bs=64k count=40 conv=fsync 2>/dev/null; cp big copy; cmp big copy
    printf x | dd of=copy seek=1000 bs=1 conv=notrunc 2>/dev/null; ! cmp -s big copy
    test "$(stat -f -c %S .)" -gt 0
    mkdir many; i=0; while [ $i -lt 250 ]; do : >"many/$i"; i=$((i+1)); done; test "$(ls many | wc -l)" = 250
    rm -r many renamed hard link copy
    test "$(readlink far-relative)" = ../outside/file
    ! mkdir folder 2>/dev/null; ! rmdir folder 2>/dev/null
    """
    await command("sh", "-c", script, "sh", there)
    assert (await command("cmp", f"{there}/big", world.inside("big"))) == ""
    assert sorted(os.listdir(world.share)) == sorted(
        ["big", "file", "folder", "near", "near-folder", "far", "far-relative", "far-folder", "magic", "loop", "fifo"]
    )
    await shares.end()
    assert not os.path.exists(there)


async def test_a_read_only_mount_is_one(world: World, transport: OpensshTransport, shares: ShareFolders) -> None:
    mount = mount_of(world)
    assert await shares([mount], transport) == ()
    assert await command("cat", f"{mount.mount_point}/file") == "inside\n"
    done = await asyncio.to_thread(
        subprocess.run, ["touch", f"{mount.mount_point}/x"], capture_output=True, check=False
    )
    assert b"Read-only file system" in done.stderr
    # a guest's root has its own ideas of what it mounted
    remount = "import ctypes, sys; assert not ctypes.CDLL(None).mount(None, sys.argv[1].encode(), None, 32, None)"
    await command(sys.executable, "-c", remount, mount.mount_point)
    with pytest.raises(PermissionError):
        await asyncio.to_thread(Path(f"{mount.mount_point}/x").touch)
    assert not os.path.exists(world.inside("x"))


async def test_links_are_followed_as_long_as_they_stay_inside(
    world: World, transport: OpensshTransport, shares: ShareFolders
) -> None:
    mount = mount_of(world, follow_symlinks=True)
    assert await shares([mount], transport) == ()
    there = mount.mount_point
    assert await command("stat", "-c", "%F", f"{there}/near", f"{there}/near-folder") == "regular file\ndirectory\n"
    assert await command("cat", f"{there}/near-folder/file") == "inside\n"
    for way in ("far", "far-relative", "far-folder/file"):
        done = await asyncio.to_thread(subprocess.run, ["cat", f"{there}/{way}"], capture_output=True, check=False)
        assert done.returncode != 0
        assert done.stdout == b""


async def test_owners_are_the_users_of_either_side(
    world: World, transport: OpensshTransport, shares: ShareFolders
) -> None:
    mount = mount_of(world, writable=True)
    shares._guest_user = (4321, 4322)
    assert await shares([mount], transport) == ()
    there = mount.mount_point
    await command("sh", "-c", 'echo x >"$1/new"; chown 4321:4322 "$1/new"', "sh", there)
    assert await command("stat", "-c", "%u %g", f"{there}/new") == "4321 4322\n"
    assert (os.stat(world.inside("new")).st_uid, os.stat(world.inside("new")).st_gid) == owner()


@pytest.mark.parametrize("victim", ["sshfs", "ssh"])
async def test_a_mount_is_back_soon_after_its_processes_were_killed(
    world: World, transport: OpensshTransport, shares: ShareFolders, victim: str
) -> None:
    mount = mount_of(world, writable=True)
    assert await shares([mount], transport) == ()
    (old,) = await asyncio.to_thread(sshfs_of, mount)
    began = time.monotonic()
    if victim == "sshfs":
        os.kill(old, signal.SIGKILL)
    else:
        pid = await transport._master_pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await transport.wait_lost()
        await transport.connect()
        assert await shares([mount], transport) == ()
    await until(lambda: is_mounted(mount) and old not in (pids := sshfs_of(mount)) and bool(pids))
    assert await command("cat", f"{mount.mount_point}/file") == "inside\n"
    took = time.monotonic() - began
    print(f"{victim} killed: back after {took:.2f} s")
    assert took < BACK_S
    await shares.end()
    assert not is_mounted(mount)


class Writer(threading.Thread):
    """Makes numbered files in a folder; `acknowledged` are those that were synced."""

    def __init__(self, folder: str) -> None:
        super().__init__(daemon=True)
        self.folder = folder
        self.acknowledged: list[str] = []
        self.failures: set[int] = set()
        self.is_over = False

    def run(self) -> None:
        while not self.is_over:
            name = f"record-{len(self.acknowledged)}"
            try:
                with open(f"{self.folder}/{name}", "w", encoding="ascii") as file:
                    file.write(name)
                    file.flush()
                    os.fsync(file.fileno())
            except OSError as error:
                self.failures.add(error.errno or 0)
            else:
                self.acknowledged.append(name)


async def test_what_is_written_while_a_mount_is_away_fails_and_is_not_hidden_below_it(
    world: World, transport: OpensshTransport, shares: ShareFolders
) -> None:
    mount = mount_of(world, writable=True)
    assert await shares([mount], transport) == ()
    writer = Writer(mount.mount_point)
    writer.start()
    for _ in range(3):
        (old,) = await asyncio.to_thread(sshfs_of, mount)
        os.kill(old, signal.SIGKILL)
        await until(lambda: is_mounted(mount) and old not in (pids := sshfs_of(mount)) and bool(pids))  # noqa: B023
        count = len(writer.acknowledged)
        await until(lambda: len(writer.acknowledged) > count + 10)  # noqa: B023
    writer.is_over = True
    await asyncio.to_thread(writer.join)
    assert [name for name in writer.acknowledged if not os.path.exists(world.inside(name))] == []
    assert writer.failures
    await shares.end()
    assert not os.path.exists(mount.mount_point)


async def test_what_a_host_agent_left_that_was_killed_is_taken_over(
    world: World, transport: OpensshTransport, shares: ShareFolders
) -> None:
    mount = mount_of(world, writable=True)
    killed = ShareFolders(server=SftpFolderServer, clock=SystemClock(), log=FakeEventSink())
    assert await killed([mount], transport) == ()
    assert killed._keeper is not None
    killed._keeper.cancel()
    await killed._kept[0].drop()
    await until(lambda: not sshfs_of(mount))
    with pytest.raises(OSError, match="Read-only file system"):
        await asyncio.to_thread(Path(f"{mount.mount_point}/new").touch)
    assert await shares([mount], transport) == ()
    assert await command("cat", f"{mount.mount_point}/file") == "inside\n"
    assert (await command("cat", "/proc/self/mounts")).count(f"{GUARD} {mount.mount_point} ") == 1
    await shares.end()
    assert os.listdir(mount.mount_point) == []


async def test_mounts_in_mounts_come_and_go_in_order(
    world: World, transport: OpensshTransport, shares: ShareFolders
) -> None:
    outer = mount_of(world, writable=True)
    inner = SshfsMount(location=world.inside("folder"), mount_point=f"{outer.mount_point}/new/inner")
    assert await shares([inner, outer], transport) == ()
    assert await command("cat", f"{inner.mount_point}/file") == "inside\n"
    await shares.end()
    assert not is_mounted(outer)
    assert not os.path.exists(outer.mount_point)
    assert os.listdir(world.inside("new")) == []


async def test_names_are_bytes(world: World, transport: OpensshTransport, shares: ShareFolders) -> None:
    name = b"\xff\xfe no utf-8 \n$(x)"
    mount = mount_of(world, writable=True)
    assert await shares([mount], transport) == ()
    await asyncio.to_thread(Path(os.fsdecode(mount.mount_point.encode() + b"/" + name)).write_text, "x")
    assert name in os.listdir(world.share.encode())
    assert name in await asyncio.to_thread(os.listdir, mount.mount_point.encode())
