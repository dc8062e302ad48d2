"""Additional disks: names, sizes, formats, device names, and what `disk list` prints."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lima.domain.disks import (
    DiskRecord,
    DiskUse,
    StoredDisk,
    attached_format,
    check_disk_name,
    device_name,
    disk_format,
    disk_size,
    mount_point,
    table,
    to_json,
    way_out,
)
from lima.domain.errors import CommandError, DiskError, ImageFormatError
from lima.domain.image import DiskInfo
from lima.domain.machine_spec import DiskFormat

PLAIN = DiskInfo(format="qcow2", virtual_size=1 << 30)
HOSTILE = DiskInfo(format="qcow2", virtual_size=1 << 30, problem="the image has a backing file", backing_file="?")
RAW = DiskInfo(format="raw", virtual_size=1 << 30)
BOX = DiskUse(instance="box", directory="/l/box", is_live=True, pid=41)


@pytest.mark.parametrize("name", ["", "../x", "a b", "-a", "a" * 77, ".a", "a/b"])
def test_a_name_that_would_leave_its_folder_is_refused(name: str) -> None:
    with pytest.raises(DiskError, match=r"is not a valid identifier") as caught:
        check_disk_name(name)
    assert caught.value.hint


def test_names_that_instances_may_not_have_are_fine_for_disks() -> None:
    assert check_disk_name("data.yaml") == "data.yaml"


@given(st.integers(min_value=1, max_value=1 << 50))
def test_sizes_are_whole_sectors_and_never_less_than_asked(size: int) -> None:
    if size < 512:
        with pytest.raises(CommandError, match="cannot be used"):
            disk_size(str(size))
        return
    got = disk_size(str(size))
    assert got % 512 == 0
    assert size <= got < size + 512


@pytest.mark.parametrize("text", ["", "ten", "10XiB", "-1"])
def test_what_is_no_size_is_told_with_an_example(text: str) -> None:
    with pytest.raises(CommandError, match="invalid size") as caught:
        disk_size(text)
    assert "--size=10GiB" in caught.value.hint


def test_formats_are_two() -> None:
    assert [disk_format("qcow2"), disk_format("raw")] == [DiskFormat.QCOW2, DiskFormat.RAW]
    with pytest.raises(DiskError, match="disk format `vmdk` not supported, use `qcow2` or `raw` instead"):
        disk_format("vmdk")


@pytest.mark.parametrize(
    ("recorded", "found", "attached"),
    [
        ("qcow2", PLAIN, DiskFormat.QCOW2),
        ("qcow2", RAW, DiskFormat.RAW),  # another program made it raw in place
        ("qcow2", HOSTILE, DiskFormat.QCOW2),  # its owner put a base under it: no guest can write that header
        ("raw", RAW, DiskFormat.RAW),
        ("raw", PLAIN, DiskFormat.RAW),
        ("raw", HOSTILE, DiskFormat.RAW),
        ("", PLAIN, DiskFormat.QCOW2),
        ("", RAW, DiskFormat.RAW),
        ("", HOSTILE, None),
        ("", DiskInfo(format="vmdk", virtual_size=1, problem="it is a vmdk image"), DiskFormat.RAW),
    ],
)
def test_a_guest_cannot_choose_its_disks_format(recorded: str, found: DiskInfo, attached: DiskFormat | None) -> None:
    disk = StoredDisk(name="d", directory="/l/_disks/d", recorded_format=recorded)
    if attached is None:
        with pytest.raises(ImageFormatError, match="disk `d` is refused: the image has a backing file") as caught:
            attached_format(disk, found)
        assert "/l/_disks/d/format" in caught.value.hint
    else:
        assert attached_format(disk, found) is attached


def test_device_names_go_on_after_the_alphabet() -> None:
    names = [device_name(index) for index in range(730)]
    assert (names[0], names[1], names[24], names[25], names[26]) == ("vdb", "vdc", "vdz", "vdaa", "vdab")
    assert (names[700], names[701]) == ("vdzz", "vdaaa")
    assert len(set(names)) == len(names)
    assert "vda" not in names


def test_the_table_is_upstreams_with_trailing_blanks_where_nobody_uses_the_disk() -> None:
    records = (
        DiskRecord(name="data", directory="/l/_disks/data", size_bytes=10 << 30, format="qcow2", use=BOX),
        DiskRecord(name="x", directory="/l/_disks/x", size_bytes=1536, format="raw"),
    )
    assert table(records) == (
        "NAME    SIZE      FORMAT    DIR               IN-USE-BY\n"
        "data    10GiB     qcow2     /l/_disks/data    box\n"
        "x       1.5KiB    raw       /l/_disks/x       \n"
    )
    assert table(()) == "NAME    SIZE    FORMAT    DIR    IN-USE-BY\n"


def test_json_has_upstreams_keys_in_their_order() -> None:
    record = DiskRecord(name="data", directory="/l/_disks/data", size_bytes=1 << 30, format="qcow2", use=BOX)
    value = to_json(record)
    assert list(value) == ["name", "size", "format", "dir", "instance", "instanceDir", "mountPoint"]
    assert value == {
        "name": "data", "size": 1 << 30, "format": "qcow2", "dir": "/l/_disks/data", "instance": "box",
        "instanceDir": "/l/box", "mountPoint": "/mnt/lima-data",
    }  # fmt: skip
    assert mount_point("data") == "/mnt/lima-data"


def test_the_way_out_depends_on_who_it_is() -> None:
    assert way_out("d", BOX) == "`limactl stop box` first"
    elsewhere = DiskUse(instance="box", directory="/other/box", is_live=True, is_elsewhere=True)
    assert "`limactl disk unlock d`" in way_out("d", elsewhere)
