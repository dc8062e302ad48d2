"""Mounts by sshfs, over a guest that has a table of mounts and folders."""

import asyncio
from collections.abc import Callable

import pytest

from lima.application.share_folders import AS_ROOT, ShareFolders
from lima.domain.sshfs import SshfsMount
from lima.testing.fakes import FakeClock, FakeEventSink, FakeFolderServer, FakeTransport
from tests.unit.application.sshfs_guest import GUARD_TYPE, Guest

OWNER = (1000, 1001)
HOME = SshfsMount(location="/home/jane", mount_point="/home/jane")
WORK = SshfsMount(location="/srv/work", mount_point="/home/jane/work", writable=True)
OTHER = SshfsMount(location="/srv/other", mount_point="/srv/a b")


class World:
    def __init__(self) -> None:
        self.guest = Guest(FakeTransport())
        self.server = FakeFolderServer("/home/jane", "/srv/work", "/srv/other")
        self.log = FakeEventSink()
        self.shares = ShareFolders(server=lambda: self.server, clock=FakeClock(), log=self.log)

    async def mount(self, *mounts: SshfsMount) -> tuple[str, ...]:
        await self.guest.transport.connect()
        return await self.shares(mounts, self.guest.transport)


@pytest.fixture
def world() -> World:
    return World()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


async def test_mounts_are_there_when_the_call_returns_and_outer_ones_come_first(world: World) -> None:
    assert await world.mount(WORK, HOME) == ()
    assert world.guest.served == ["/home/jane", "/home/jane/work"]
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
    assert world.guest.served == [OTHER.mount_point]
    assert "The mount /srv/a b was lost, making it anew" in world.log.notes
    await world.shares.end()


async def test_a_client_that_speaks_something_else_is_told_of(world: World) -> None:
    await world.mount(OTHER)
    world.server.served[0].misbehave("a message of 1195725856 bytes")
    world.guest.kill(OTHER)
    await until(lambda: len(world.server.served) == 2 and world.guest.has(OTHER))
    sentence = "The mount /srv/a b was lost (its SFTP client sent a message of 1195725856 bytes), making it anew"
    assert sentence in world.log.notes
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


async def test_where_the_user_may_not_mount_root_does(world: World) -> None:
    world.guest.takes_guards = False
    world.guest.refusal = "fusermount3: user has no write access to mountpoint /srv/a b\n"
    assert await world.mount(OTHER) == ()
    assert [argv[:5] for argv in world.guest.transport.attached] == [(*AS_ROOT, "sshfs")]
    await world.shares.end()
    assert not world.guest.has(OTHER)


async def test_a_guard_lies_below_a_mount_for_as_long_as_it_is_kept(world: World) -> None:
    await world.mount(OTHER)
    guard = (OTHER.mount_point, GUARD_TYPE)
    assert world.guest.table == [("/", "ext4"), guard, (OTHER.mount_point, "fuse.sshfs")]
    world.guest.kill(OTHER)
    await until(lambda: len(world.server.served) == 2 and world.guest.has(OTHER))
    assert world.guest.table.count(guard) == 1, "what was there before is good"
    await world.shares.end()
    assert world.guest.table == [("/", "ext4")]


async def test_a_guard_of_a_mount_that_cannot_be_made_goes_at_the_end_too(world: World) -> None:
    world.guest.refusal = "fuse: device not found, try 'modprobe fuse' first\n"
    await world.mount(OTHER)
    assert world.guest.table[-1] == (OTHER.mount_point, GUARD_TYPE)
    await world.shares.end()
    assert (world.guest.table, world.guest.folders) == ([("/", "ext4")], {})


async def test_a_guest_that_takes_no_guard_does_without(world: World) -> None:
    world.guest.takes_guards = False
    assert await world.mount(OTHER) == ()
    assert [argv[0] for argv in world.guest.transport.attached] == ["sshfs"]
    await world.shares.end()
    assert (world.guest.table, world.guest.folders) == ([("/", "ext4")], {})


async def test_what_sshfs_says_is_passed_on(world: World) -> None:
    world.guest.refusal = "fuse: device not found, try 'modprobe fuse' first\n"
    assert await world.mount(OTHER) == (
        "/srv/other is not mounted on /srv/a b: fuse: device not found, try 'modprobe fuse' first",
    )
    assert all(served.is_over for served in world.server.served)
    await world.shares.end()


async def test_an_old_sshfs_is_told_that_files_may_be_hidden(world: World) -> None:
    world.guest.takes_guards = False
    world.guest.is_old = True
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


async def test_a_guest_that_does_not_know_its_user_gets_no_mount(world: World) -> None:
    world.guest.who = "lima\n"
    (failure,) = await world.mount(OTHER)
    assert "the guest does not say who its user is" in failure
    world.guest.who = "1000 1001"
    assert await world.mount(OTHER) == ()
    await world.shares.end()


async def test_nothing_to_mount_is_no_error(world: World) -> None:
    assert await world.mount() == ()
    await world.shares.end()
