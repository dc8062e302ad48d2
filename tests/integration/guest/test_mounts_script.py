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


def test_mounts_that_the_host_makes_are_not_in_the_seed(box: Sandbox) -> None:
    box.seed({"MOUNTS": 2, "MOUNTTYPE": "reverse-sshfs"})
    box.write(f"{SEED}/mounts.fstab", "")
    done = box.script(SCRIPT)
    assert (done.code, done.out, box.calls(of="mount")) == (0, "", [])


def test_without_mounts_it_is_not_run_at_all(box: Sandbox) -> None:
    seed(box)
    assert box.boot().code in (0, 1)
    assert box.calls(of="mount") == []


# --- a cache that loses data -----------------------------------------------------------------------------------------

BEHIND = "rw,trans=virtio,version=9p2000.L,msize=131072,cache=mmap,nofail"
OUTER, INNER = f"lima-0a\t/mnt/a\t9p\t{BEHIND}", "lima-0b\t/mnt/a/b\t9p\tro,cache=fscache,nofail"
# what the boot has mounted, as the kernel says it
BOOTED = """
case "$*" in
*/proc/mounts) printf 'lima-0a /mnt/a 9p rw,relatime,{options} 0 0\\n' | /usr/bin/grep "$1" "$2" ;;
*) exec /usr/bin/grep "$@" ;;
esac
"""


def options(box: Sandbox) -> list[str]:
    return [call.split()[4] for call in box.calls(of="mount")]


@pytest.mark.parametrize(
    ("release", "cache"),
    [
        ("6.12.117+deb13-amd64", "none"), ("6.4.0", "none"), ("6.4-rc1", "none"), ("7.0.1", "none"), ("10.1", "none"),
        ("6.3.13", "mmap"), ("6.1.0-40-amd64", "mmap"), ("5.15.0", "mmap"), ("4.18.0-553.el8", "mmap"),
    ],
)  # fmt: skip
def test_a_kernel_that_would_lose_data_gets_no_cache(box: Sandbox, release: str, cache: str) -> None:
    box.stand_in("uname", f"echo {release}")
    seed(box, OUTER, INNER, "lima-0c\t/mnt/c\t9p\trw,cache=0x5,nofail", "lima-0d\t/mnt/d\t9p\trw,cache=loose,nofail")
    done = box.script(SCRIPT)
    assert (done.code, done.out) == (0, "")
    assert [words.rpartition("cache=")[2] for words in options(box)] == [cache, "fscache", "0x5", "loose"]


def test_what_the_boot_has_mounted_with_such_a_cache_is_mounted_without(box: Sandbox) -> None:
    """By cloud-init, or by the first-boot unit: from fstab, whose next boot does better."""
    box.stand_in("uname", "echo 6.12.1")
    box.stand_in("grep", BOOTED.format(options="cache=0x5"))
    box.stand_in("umount", '/usr/bin/umount "$@"')
    box.write(
        "etc/fstab", f"/dev/vda1 / ext4 defaults 0 1\n{OUTER}\t0\t0\n{INNER}\t0\t0\nother\t/x\t9p\t{BEHIND}\t0\t0\n"
    )
    seed(box, OUTER, INNER)
    mounted = "mkdir -p /mnt/a && /usr/bin/mount --bind /share /mnt/a && mkdir -p /mnt/a/b && /usr/bin/mount --bind /share /mnt/a/b"
    done = box.run(
        "/bin/sh", "-c", f"{mounted} && /{SEED}/{SCRIPT} && cat /mnt/a/b/precious/file", LIMA_CIDATA_MNT=f"/{SEED}"
    )
    assert (done.code, done.out) == (0, "the host's")
    assert box.calls(of="umount") == ["umount /mnt/a/b", "umount /mnt/a"]
    assert [words.rpartition("cache=")[2] for words in options(box)] == ["none", "fscache"]
    assert box.read("etc/fstab") == (
        f"/dev/vda1 / ext4 defaults 0 1\n{OUTER.replace('mmap', 'none')}\t0\t0\n{INNER}\t0\t0\nother\t/x\t9p\t{BEHIND}\t0\t0\n"
    )


def test_what_is_mounted_as_it_should_be_stays(box: Sandbox) -> None:
    box.stand_in("uname", "echo 6.12.1")
    box.stand_in("grep", BOOTED.format(options="access=client"))
    box.stand_in("umount", '/usr/bin/umount "$@"')
    seed(box, OUTER)
    mounted = "mkdir -p /mnt/a && /usr/bin/mount --bind /share /mnt/a"
    done = box.run("/bin/sh", "-c", f"{mounted} && /{SEED}/{SCRIPT}", LIMA_CIDATA_MNT=f"/{SEED}")
    assert (done.code, done.out) == (0, "")
    assert box.calls(of="umount") == box.calls(of="mount") == []
