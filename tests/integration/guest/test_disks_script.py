"""Additional disks: formatted once, never twice, and never where anything else is."""

import os

import pytest
from tests.integration.guest.conftest import Sandbox

SCRIPT = "boot.Linux/05-lima-disks.sh"
MIB = 1024 * 1024
SFDISK = r"""
set -eu
case "$*" in
*'--part-label /dev/vdb 1') cat /table-name ;;
*'--part-label /dev/vdb 1 '*)
	for last; do :; done
	echo "$last" >/table-name
	reread
	;;
*'--label gpt /dev/vdb')
	sed 's/name=//' >/table-name
	printf 'EFI PART' | dd of=/dev/vdb bs=512 seek=1 conv=notrunc 2>/dev/null
	truncate -s 30M /dev/vdb1
	reread
	mkdir -p /sys/class/block/vdb1
	echo 2048 >/sys/class/block/vdb1/start
	echo 61440 >/sys/class/block/vdb1/size
	;;
'-d /dev/vdb') printf 'label: gpt\nlast-lba: 65502\n\n/dev/vdb1 : start=2048, size=61440, type=X, name="n"\n' ;;
*'--force /dev/vdb') cat >/new-table ;;
*) exit 64 ;;
esac
"""
REREAD = r"""
# as udev does after a write to a disk that nobody has locked: the partition is gone for a moment
flock -n /dev/vdb true || exit 0
mv /dev/vdb1 /away
(sleep 1; mv /away /dev/vdb1) >/dev/null 2>&1 &
"""


@pytest.fixture
def box(sandbox: Sandbox) -> Sandbox:
    """A blank disk of 32 MiB. The table is a stand-in's; signatures and file systems are real ones."""
    with open(sandbox.path("dev/vdb"), "wb") as file:
        file.truncate(32 * MIB)
    sandbox.write("sys/class/block/vdb/size", f"{32 * MIB // 512}\n")
    sandbox.stand_in("sfdisk", SFDISK)
    sandbox.stand_in("reread", REREAD)
    sandbox.stand_in("mount", 'echo "$1 $2 ext4 rw 0 0" >>/mounts-now')
    # /proc is the machine's: what is mounted is asked of the stand-in
    sandbox.stand_in(
        "grep", 'case "$*" in *mounts) exec /usr/bin/grep -qs "$2" /mounts-now ;; esac; exec /usr/bin/grep "$@"'
    )
    for name in ("swapon", "resize2fs", "partx", "apk"):
        sandbox.stand_in(name)
    # the real ones, where busybox has something of that name
    for name in ("blkid", "wipefs", "mkfs.ext4", "mkswap", "truncate"):
        program = next(f"/usr/{d}/{name}" for d in ("sbin", "bin") if os.path.exists(f"/usr/{d}/{name}"))
        sandbox.write(f"stand-ins/{name}", f'#!/bin/sh\nexec {program} "$@"\n', mode=0o755)
    sandbox.stand_in("mkfs.ext4", 'exec /usr/sbin/mkfs.ext4 "$@"')
    disk(sandbox)
    return sandbox


def disk(box: Sandbox, **changes: str) -> None:
    values = {"NAME": "data", "DEVICE": "vdb", "FORMAT": "true", "FSTYPE": "", "FSARGS": ""} | changes
    box.seed({"DISKS": "1"} | {f"DISK_0_{key}": value for key, value in values.items()})


def formats(box: Sandbox) -> list[str]:
    return box.calls(of="mkfs.ext4")


def test_a_blank_disk_is_formatted_once_and_mounted_at_every_boot(box: Sandbox) -> None:
    first = box.script(SCRIPT)
    assert first.code == 0, first.out
    assert formats(box) == ["mkfs.ext4 -L lima-data /dev/vdb1"]
    assert box.read("table-name") == "lima-data\n"
    assert box.calls(of="mount") == ["mount /dev/vdb1 /mnt/lima-data"]
    assert os.path.isdir(box.path("mnt/lima-data"))
    assert box.script(SCRIPT).code == 0
    assert len(box.calls(of="mount")) == 1
    os.unlink(box.path("mounts-now"))
    assert box.script(SCRIPT).code == 0
    assert len(box.calls(of="mount")) == 2
    assert len(formats(box)) == 1


def test_arguments_are_words_and_no_patterns(box: Sandbox) -> None:
    disk(box, FSARGS="-i 16384 -E *", FSTYPE="ext4")
    box.stand_in(
        "mkfs.ext4", 'for word; do echo "<$word>"; done >/words; exec /usr/sbin/mkfs.ext4 -L lima-data /dev/vdb1'
    )
    assert box.script(SCRIPT).code == 0
    assert box.read("words").split() == ["<-i>", "<16384>", "<-E>", "<*>", "<-L>", "<lima-data>", "</dev/vdb1>"]


@pytest.mark.parametrize("offset", [0, 700_000, 32 * MIB - 5])
def test_a_disk_with_any_data_is_left_as_it_is(box: Sandbox, offset: int) -> None:
    with open(box.path("dev/vdb"), "r+b") as file:
        file.seek(offset)
        file.write(b"mine!")
    done = box.script(SCRIPT)
    assert done.code == 1
    assert "holds data" in done.out
    assert (formats(box), box.calls(of="sfdisk")) == ([], [])


def test_a_file_system_without_a_partition_is_mounted_and_not_formatted(box: Sandbox) -> None:
    assert box.run("/usr/sbin/mkfs.ext4", "-q", "-F", "-L", "other", "/dev/vdb").code == 0
    assert box.script(SCRIPT).code == 0
    assert (formats(box), box.calls(of="sfdisk")) == ([], [])
    assert box.calls(of="mount") == ["mount /dev/vdb /mnt/lima-data"]


def test_a_partition_of_somebody_else_is_not_formatted(box: Sandbox) -> None:
    box.script(SCRIPT)
    box.forget_calls()
    box.write("table-name", "precious\n")
    with open(box.path("dev/vdb1"), "wb") as file:
        file.truncate(30 * MIB)
    done = box.script(SCRIPT)
    assert done.code == 1
    assert formats(box) == []


@pytest.mark.parametrize("left", ["nothing", "half", "whole"])
def test_formatting_that_was_cut_off_is_finished_by_the_next_boot(box: Sandbox, left: str) -> None:
    box.stand_in(
        "mkfs.ext4", f"[ {left} != whole ] || /usr/sbin/mkfs.ext4 -q -L lima-data /dev/vdb1; kill -9 $PPID; exit 1"
    )
    assert box.script(SCRIPT).code != 0
    assert box.read("table-name") == "lima-formatting\n"
    if left == "half":
        with open(box.path("dev/vdb1"), "r+b") as file:
            file.write(os.urandom(MIB))
    box.stand_in("mkfs.ext4", 'exec /usr/sbin/mkfs.ext4 "$@"')
    assert box.script(SCRIPT).code == 0
    assert box.read("table-name") == "lima-data\n"
    assert box.calls(of="mount") == ["mount /dev/vdb1 /mnt/lima-data"]


def test_format_off_touches_nothing(box: Sandbox) -> None:
    disk(box, FORMAT="false")
    assert box.script(SCRIPT).code == 0
    assert (formats(box), box.calls(of="sfdisk"), box.calls(of="mount")) == ([], [], [])


def test_swap(box: Sandbox) -> None:
    disk(box, FSTYPE="swap")
    assert box.script(SCRIPT).code == 0
    assert box.calls(of="swapon") == ["swapon /dev/vdb1"]
    assert formats(box) == []


def test_a_disk_that_has_grown_grows_its_file_system(box: Sandbox) -> None:
    box.script(SCRIPT)
    box.forget_calls()
    box.write("sys/class/block/vdb/size", f"{64 * MIB // 512}\n")
    assert box.script(SCRIPT).code == 0
    assert box.read("new-table").splitlines()[-1] == '/dev/vdb1 : start=2048, type=X, name="n"'
    assert box.calls(of="partx") == ["partx -u -n 1 /dev/vdb"]
    assert box.calls(of="resize2fs") == ["resize2fs /dev/vdb1"]
    assert formats(box) == []


def test_a_missing_disk_fails_alone(box: Sandbox) -> None:
    box.seed(
        {"DISKS": "2", "DISK_0_NAME": "gone", "DISK_0_DEVICE": "vdc", "DISK_0_FORMAT": "true",
         "DISK_1_NAME": "data", "DISK_1_DEVICE": "vdb", "DISK_1_FORMAT": "true"}
    )  # fmt: skip
    done = box.script(SCRIPT)
    assert done.code == 1
    assert "lima-gone: there is no /dev/vdc" in done.out
    assert box.calls(of="mount") == ["mount /dev/vdb1 /mnt/lima-data"]
