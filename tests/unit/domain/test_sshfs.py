"""Mounts by sshfs as values."""

import pytest

from lima.domain.sshfs import (
    SshfsMount,
    guarded,
    in_order,
    is_too_old,
    mounted,
    sshfs_argv,
    wants_nonempty,
    wants_root,
)

READ_ONLY = ("sshfs", ":/srv/a b", "/mnt/a", "-o", "slave", "-o", "ro", "-o")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "allow_other"),
        ({"cache": False}, "allow_other,cache=no"),
        ({"follow_symlinks": True}, "allow_other,follow_symlinks"),
        ({"cache": False, "follow_symlinks": True}, "allow_other,cache=no,follow_symlinks"),
    ],
)
def test_the_command_of_the_guest(options: dict[str, bool], said: str) -> None:
    mount = SshfsMount(location="/srv/a b", mount_point="/mnt/a", **options)
    assert sshfs_argv(mount) == (*READ_ONLY, said)
    assert sshfs_argv(mount, nonempty=True) == (*READ_ONLY, f"{said},nonempty")


def test_a_writable_mount_does_not_say_so() -> None:
    mount = SshfsMount(location="/a", mount_point="/b", writable=True)
    assert sshfs_argv(mount) == ("sshfs", ":/a", "/b", "-o", "slave", "-o", "allow_other")


def test_outer_mounts_come_first() -> None:
    points = ("/a/b/c", "/a", "/a/b", "/ab")
    mounts = [SshfsMount(location="/x", mount_point=point) for point in points]
    assert [mount.mount_point for mount in in_order(mounts)] == ["/a", "/ab", "/a/b", "/a/b/c"]
    assert mounts[2].is_below(mounts[1])
    assert not mounts[3].is_below(mounts[1])
    assert not mounts[1].is_below(mounts[1])


def test_the_table_of_mounts_is_read_as_the_kernel_writes_it() -> None:
    text = "/dev/vda1 / ext4 rw 0 0\n:/srv /mnt/a\\040b\\134c fuse.sshfs ro 0 0\ntmpfs /mnt/x tmpfs rw 0 0\ny /mnt/x 9p rw 0 0\nodd\n"
    assert mounted(text) == {"/": "ext4", "/mnt/a b\\c": "fuse.sshfs", "/mnt/x": "9p"}


def test_a_guard_is_no_mount() -> None:
    text = (
        "lima-guard /mnt/a\\040b tmpfs ro 0 0\n:/srv /mnt/a\\040b fuse.sshfs rw 0 0\nlima-guard /mnt/c tmpfs ro 0 0\n"
    )
    assert mounted(text) == {"/mnt/a b": "fuse.sshfs"}
    assert guarded(text) == {"/mnt/a b", "/mnt/c"}


def test_a_new_sshfs_is_told_to_show_links_as_they_are() -> None:
    mount = SshfsMount(location="/a", mount_point="/b")
    assert sshfs_argv(mount, raw_links=True)[-1] == "allow_other,no_contain_symlinks"
    assert is_too_old("fuse: unknown option(s): `-o no_contain_symlinks'")
    assert not is_too_old("fuse: device not found")


def test_mounting_on_what_is_anothers_wants_root() -> None:
    assert wants_root("fusermount3: user has no write access to mountpoint /srv")
    assert not wants_root("fuse: device not found")


def test_only_an_old_sshfs_asks_for_nonempty() -> None:
    assert wants_nonempty("fuse: mountpoint is not empty\nfuse: use the 'nonempty' mount option")
    assert not wants_nonempty("fuse: unknown option(s): `-o nonempty'")
