"""Mounts of the host in the guest: idempotent, one that fails leaves the others alone, and nothing is ever lost.

A share is a directory of the sandbox that a stand-in binds to the mount point, in a mount namespace that ends with the
run: what a script would do to the host's files it does to these.
"""

import os

import pytest
from tests.integration.guest.conftest import SEED, Sandbox

SCRIPT = "boot.Linux/05-lima-mounts.sh"
MOUNT = """
for last; do :; done
case "$*" in *lima-gone*) exit 32 ;; esac
/usr/bin/mount --bind /share "$last"
case "$*" in *lima-late*) exit 32 ;; esac
"""
POINTS = '/usr/bin/grep -qsF " $2 " /proc/self/mountinfo'


@pytest.fixture
def box(sandbox: Sandbox) -> Sandbox:
    sandbox.stand_in("mount", MOUNT)
    # busybox's compares devices, which are the same here
    sandbox.stand_in("mountpoint", POINTS)
    sandbox.stand_in("modprobe")
    sandbox.write("share/precious/file", "the host's")
    return sandbox


def seed(box: Sandbox, *lines: str) -> None:
    box.seed({"MOUNTS": len(lines), "MOUNTTYPE": "9p"})
    box.write(f"{SEED}/mounts.fstab", "".join(f"{line}\t0\t0\n" for line in lines))


def test_each_is_mounted_on_a_point_that_is_made(box: Sandbox) -> None:
    seed(box, "lima-a\t/mnt/a\t9p\tro,trans=virtio,nofail", "lima-b\t/mnt/a/deep/b\tvirtiofs\trw,nofail")
    done = box.script(SCRIPT)
    assert done.code == 0, done.out
    assert box.calls(of="mount") == [
        "mount -t 9p -o ro,trans=virtio lima-a /mnt/a",
        "mount -t virtiofs -o rw lima-b /mnt/a/deep/b",
    ]
    assert box.calls(of="modprobe") == ["modprobe -q 9pnet_virtio"]
    assert box.exists("share/deep/b"), "a nested point is made in what it lies in"


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("/mnt/my\\040files", "mnt/my files"),
        ("/mnt/a\\134040b", "mnt/a\\040b"),
        ("/mnt/$(touch\\040x)%s", "mnt/$(touch x)%s"),
        ("/mnt/\\043ü*", "mnt/#ü*"),
    ],
)
def test_any_name_will_do(box: Sandbox, field: str, name: str) -> None:
    seed(box, f"lima-a\t{field}\t9p\tro,nofail")
    done = box.script(SCRIPT)
    assert done.code == 0, done.out
    assert box.calls(of="mount") == [f"mount -t 9p -o ro lima-a /{name}"]
    assert os.path.isdir(box.path(name))


def test_what_is_mounted_is_not_mounted_again(box: Sandbox) -> None:
    seed(box, "lima-a\t/mnt/a\t9p\tro,nofail")
    done = box.run(
        "/bin/sh", "-c", f"/{SEED}/{SCRIPT} && /{SEED}/{SCRIPT} && cat /mnt/a/precious/file",
        LIMA_CIDATA_MNT=f"/{SEED}",
    )  # fmt: skip
    assert (done.code, done.out) == (0, "the host's")
    assert len(box.calls(of="mount")) == 1


def test_one_that_fails_is_told_and_leaves_the_others_alone(box: Sandbox) -> None:
    seed(box, "lima-gone\t/mnt/gone\t9p\tro,nofail", "lima-b\t/mnt/b\t9p\tro,nofail")
    done = box.script(SCRIPT)
    assert done.code == 1
    assert "/mnt/gone: the 9p share lima-gone of the host could not be mounted" in done.out
    assert not box.exists("mnt/gone"), "nobody should take the guest's own disk for the host's"
    assert box.exists("mnt/b")


def test_a_mount_point_that_was_there_stays(box: Sandbox) -> None:
    box.write("mnt/full/file", "the guest's")
    os.makedirs(box.path("mnt/empty"))
    seed(box, "lima-gone\t/mnt/full\t9p\tro,nofail", "lima-gone\t/mnt/empty\t9p\tro,nofail")
    assert box.script(SCRIPT).code == 1
    assert box.read("mnt/full/file") == "the guest's"
    assert box.exists("mnt/empty")


def test_a_mount_that_is_there_after_all_loses_nothing(box: Sandbox) -> None:
    """`mount` may fail with the share mounted: a recursive removal would then empty the host's directory."""
    seed(box, "lima-late\t/mnt/late\t9p\trw,nofail")
    assert box.script(SCRIPT).code == 1
    assert box.read("share/precious/file") == "the host's"
    assert box.exists("mnt/late")


def test_a_point_that_cannot_be_made_fails_alone(box: Sandbox) -> None:
    box.write("mnt/file", "")
    seed(box, "lima-a\t/mnt/file/a\t9p\tro,nofail", "lima-b\t/mnt/b\t9p\tro,nofail")
    assert box.script(SCRIPT).code == 1
    assert box.calls(of="mount") == ["mount -t 9p -o ro lima-b /mnt/b"]


def test_without_mounts_it_is_not_run_at_all(box: Sandbox) -> None:
    seed(box)
    assert box.boot().code in (0, 1)
    assert box.calls(of="mount") == []
