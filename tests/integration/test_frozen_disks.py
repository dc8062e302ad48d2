"""Disks that become bases of clones: what both read afterwards, and what is left alone."""

import os
import pathlib
import stat
import subprocess

import pytest

from lima.adapters.qemu import frozen
from lima.adapters.qemu.disks import QemuDiskTool
from lima.adapters.system.runner import AsyncProcessRunner

pytestmark = pytest.mark.needs_qemu
MIB = 1 << 20


@pytest.fixture
def tool() -> QemuDiskTool:
    return QemuDiskTool(runner=AsyncProcessRunner())


def qemu_io(path: str, command: str) -> str:
    done = subprocess.run(["qemu-io", "-f", "qcow2", "-c", command, path], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def written(path: str, pattern: int, offset: int) -> None:
    assert "wrote" in qemu_io(path, f"write -P {pattern} {offset} {2 * MIB}")


def reads(path: str, pattern: int, offset: int) -> bool:
    return "failed" not in qemu_io(path, f"read -P {pattern} {offset} {2 * MIB}")


async def disk_of(tool: QemuDiskTool, folder: pathlib.Path) -> str:
    path = f"{folder}/disk"
    await tool.create_empty(path, size_bytes=64 * MIB)
    written(path, 1, 0)
    return path


async def test_the_disk_holds_what_it_held_and_its_base_is_not_written_to(
    tool: QemuDiskTool, tmp_path: pathlib.Path
) -> None:
    path = await disk_of(tool, tmp_path)
    assert await tool.freeze(path) == ("disk.base-1",)
    assert sorted(os.listdir(tmp_path)) == ["disk", "disk.base-1"]
    assert stat.S_IMODE(os.stat(f"{path}.base-1").st_mode) == 0o444
    assert stat.S_IMODE(os.stat(path).st_mode) & 0o600 == 0o600
    assert (await tool.inspect(path)).virtual_size == 64 * MIB
    assert os.path.getsize(path) < MIB
    before = pathlib.Path(f"{path}.base-1").read_bytes()
    written(path, 2, 8 * MIB)
    assert reads(path, 1, 0)
    assert reads(path, 2, 8 * MIB)
    assert pathlib.Path(f"{path}.base-1").read_bytes() == before


async def test_each_freeze_adds_a_base_until_there_are_many(tool: QemuDiskTool, tmp_path: pathlib.Path) -> None:
    path = await disk_of(tool, tmp_path)
    for number in range(1, frozen.MOST + 3):
        bases = await tool.freeze(path)
        assert len(bases) == min(number, frozen.MOST)
        written(path, number, 4 * MIB)
    assert reads(path, 1, 0)
    assert reads(path, number, 4 * MIB)


async def test_a_disk_that_nobody_wrote_to_gets_no_second_base(tool: QemuDiskTool, tmp_path: pathlib.Path) -> None:
    path = await disk_of(tool, tmp_path)
    assert await tool.freeze(path) == await tool.freeze(path) == ("disk.base-1",)


@pytest.mark.parametrize("kind", ["raw", "snapshots", "link"])
async def test_what_is_better_copied_stays_as_it_is(tool: QemuDiskTool, tmp_path: pathlib.Path, kind: str) -> None:
    path = await disk_of(tool, tmp_path)
    match kind:
        case "raw":
            os.unlink(path)
            await tool.create_empty(path, size_bytes=64 * MIB, format="raw")
        case "snapshots":
            subprocess.run(["qemu-img", "snapshot", "-c", "one", path], check=True)
            assert (await tool.inspect(path)).has_snapshots
        case _:
            os.rename(path, f"{tmp_path}/diffdisk")
            os.symlink("diffdisk", path)
    before = sorted(os.listdir(tmp_path))
    assert await tool.freeze(path) == ()
    assert sorted(os.listdir(tmp_path)) == before


async def test_what_was_interrupted_is_gone_on_with(tool: QemuDiskTool, tmp_path: pathlib.Path) -> None:
    path = await disk_of(tool, tmp_path)
    # killed after the disk had its second name, and, another time, before the base was sealed
    os.link(path, f"{path}.base-1")
    assert await tool.freeze(path) == ("disk.base-1",)
    os.chmod(f"{path}.base-1", 0o644)
    assert await tool.freeze(path) == ("disk.base-1",)
    assert stat.S_IMODE(os.stat(f"{path}.base-1").st_mode) == 0o444
    assert reads(path, 1, 0)
