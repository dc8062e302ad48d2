"""Mounts by sshfs, over a guest that has a table of mounts and folders."""

import asyncio
from collections.abc import Callable

import pytest

from lima.application.share_folders import MAKE_POINT, MOUNTS_FILE, REMOVE_POINT, UNMOUNT, ShareFolders
from lima.domain.sshfs import SshfsMount
from lima.ports.transport import RemoteResult
from lima.testing.fakes import FakeClock, FakeEventSink, FakeFolderServer, FakeTransport

OWNER = (1000, 1000)
HOME = SshfsMount(location="/home/jane", mount_point="/home/jane")
WORK = SshfsMount(location="/srv/work", mount_point="/home/jane/work", writable=True)
OTHER = SshfsMount(location="/srv/other", mount_point="/srv/a b")


class Guest:
    """sshfs runs while its session does; what it mounts stays when it is killed, and is of no use."""

    def __init__(self) -> None:
        self.transport = FakeTransport()
        self.transport.guest = self.run
        self.folders: dict[str, bool] = {}
        """Folder → whether anything is in it."""
        self.table: list[tuple[str, str]] = [("/", "ext4")]
        self.refusal = ""
        self.sshfs_is_slow = False
        self.unmounted: list[str] = []

    def run(self, argv: tuple[str, ...], _stdin: bytes) -> RemoteResult:
        if argv == ("cat", MOUNTS_FILE):
            self._sshfs()
            lines = (f"x {point.replace(' ', chr(92) + '040')} {kind} rw 0 0" for point, kind in self.table)
            return said("\n".join(lines))
        _, _, script, _, point = argv
        if script == MAKE_POINT:
            is_new = point not in self.folders
            self.folders.setdefault(point, False)
            return said("made\n" if is_new else "")
        mounts = [entry for entry in self.table if entry[0] == point]
        if script == UNMOUNT:
            if not mounts:
                return said("", code=1, err="not mounted")
            self.table.remove(mounts[-1])
            self.unmounted.append(point)
            for session in self.sessions(point):
                session.set_result(said(""))
            return said("")
        assert script == REMOVE_POINT
        if self.folders.get(point, True) or mounts:
            return said("", code=1, err="not empty")
        del self.folders[point]
        return said("")

    def sessions(self, point: str) -> list["asyncio.Future[RemoteResult]"]:
        return [session for argv, session in self.transport.attached.items() if argv[2] == point and not session.done()]

    def has(self, mount: SshfsMount) -> bool:
        return (mount.mount_point, "fuse.sshfs") in self.table and bool(self.sessions(mount.mount_point))

    def kill(self, mount: SshfsMount) -> None:
        """sshfs dies, and leaves a mount that nobody serves."""
        for session in self.sessions(mount.mount_point):
            session.set_result(said("", code=137))

    def _sshfs(self) -> None:
        for argv, session in self.transport.attached.items():
            if session.done() or (argv[2], "fuse.sshfs") in self.table or self.sshfs_is_slow:
                continue
            if self.refusal and "nonempty" not in argv[-1]:
                session.set_result(said("", code=1, err=self.refusal))
            else:
                self.table.append((argv[2], "fuse.sshfs"))


def said(out: str, *, code: int = 0, err: str = "") -> RemoteResult:
    return RemoteResult(exit_code=code, stdout=out.encode(), stderr=err.encode())


class World:
    def __init__(self) -> None:
        self.guest = Guest()
        self.server = FakeFolderServer("/home/jane", "/srv/work", "/srv/other")
        self.log = FakeEventSink()
        self.shares = ShareFolders(server=self.server, clock=FakeClock(), log=self.log)

    async def mount(self, *mounts: SshfsMount) -> tuple[str, ...]:
        await self.guest.transport.connect()
        return await self.shares(mounts, self.guest.transport, guest_owner=OWNER)


@pytest.fixture
def world() -> World:
    return World()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


async def test_mounts_are_there_when_the_call_returns_and_outer_ones_come_first(world: World) -> None:
    assert await world.mount(WORK, HOME) == ()
    assert [entry[0] for entry in world.guest.table] == ["/", "/home/jane", "/home/jane/work"]
    assert [served.folder.is_writable for served in world.server.served] == [False, True]
    assert all(served.folder.guest_owner == OWNER for served in world.server.served)
    await world.shares.end()


async def test_the_end_is_in_reverse_order_and_takes_away_what_we_made(world: World) -> None:
    world.guest.folders["/home/jane"] = False
    await world.mount(HOME, WORK)
    await world.shares.end()
    assert world.guest.unmounted == ["/home/jane/work", "/home/jane"]
    assert world.guest.folders == {"/home/jane": False}, "what was there before stays"
    assert all(served.is_over for served in world.server.served)
    await world.shares.end()


async def test_a_mount_point_with_something_in_it_stays(world: World) -> None:
    await world.mount(OTHER)
    world.guest.folders[OTHER.mount_point] = True
    await world.shares.end()
    assert world.guest.folders == {OTHER.mount_point: True}
    assert not world.guest.has(OTHER)


async def test_sshfs_that_died_is_started_anew_and_its_dead_mount_taken_away(world: World) -> None:
    await world.mount(OTHER)
    world.guest.kill(OTHER)
    await until(lambda: len(world.server.served) == 2 and world.guest.has(OTHER))
    assert world.guest.unmounted == [OTHER.mount_point]
    assert [entry for entry in world.guest.table if entry[0] == OTHER.mount_point] == [
        (OTHER.mount_point, "fuse.sshfs")
    ]
    assert "The mount /srv/a b was lost, making it anew" in world.log.notes
    await world.shares.end()


async def test_what_lies_below_a_lost_mount_is_made_anew_as_well(world: World) -> None:
    await world.mount(HOME, WORK, OTHER)
    world.guest.kill(HOME)
    await until(lambda: len(world.server.served) == 5 and world.guest.has(HOME) and world.guest.has(WORK))
    assert [served.folder.location for served in world.server.served[3:]] == ["/home/jane", "/srv/work"]
    await world.shares.end()


async def test_a_lost_connection_is_waited_for(world: World) -> None:
    await world.mount(OTHER)
    world.guest.transport.lose()
    await until(lambda: any("wait for the ssh connection" in note for note in world.log.notes))
    assert await world.mount(OTHER) == ()
    assert world.guest.has(OTHER)
    await world.shares.end()


async def test_a_folder_that_cannot_be_shared_does_not_hold_up_the_others(world: World) -> None:
    gone = SshfsMount(location="/gone", mount_point="/gone")
    failures = await world.mount(gone, OTHER)
    assert failures == ("/gone is not mounted on /gone: cannot share `/gone`: No such file or directory",)
    assert world.guest.has(OTHER)
    world.server.locations.add("/gone")
    assert await world.mount(gone, OTHER) == ()
    assert world.guest.has(gone)
    await world.shares.end()


async def test_what_sshfs_says_is_passed_on(world: World) -> None:
    world.guest.refusal = "fusermount3: user has no write access to mountpoint /srv/a b\n"
    assert await world.mount(OTHER) == (
        "/srv/other is not mounted on /srv/a b: fusermount3: user has no write access to mountpoint /srv/a b",
    )
    assert all(served.is_over for served in world.server.served)
    await world.shares.end()


async def test_an_old_sshfs_is_told_that_files_may_be_hidden(world: World) -> None:
    world.guest.refusal = (
        "fuse: mountpoint is not empty\nfuse: if you are sure this is safe, use the 'nonempty' mount option"
    )
    assert await world.mount(OTHER) == ()
    assert [argv[-1] for argv in world.guest.transport.attached] == ["allow_other,nonempty"]
    await world.shares.end()


async def test_another_file_system_is_left_alone(world: World) -> None:
    world.guest.table.append((OTHER.mount_point, "9p"))
    (failure,) = await world.mount(OTHER)
    assert "a file system of type 9p is mounted there already" in failure
    assert world.guest.unmounted == []
    await world.shares.end()


async def test_an_sshfs_that_mounts_nothing_is_given_up(world: World) -> None:
    world.guest.sshfs_is_slow = True
    (failure,) = await world.mount(OTHER)
    assert "sshfs runs, and has mounted nothing for 30 s" in failure
    assert not world.guest.transport.attached
    await world.shares.end()


async def test_the_end_does_not_need_a_guest(world: World) -> None:
    await world.mount(OTHER)
    world.guest.transport.lose()
    await world.shares.end()
    assert all(served.is_over for served in world.server.served)


async def test_nothing_to_mount_is_no_error(world: World) -> None:
    assert await world.mount() == ()
    await world.shares.end()
