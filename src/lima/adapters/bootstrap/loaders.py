"""Disks that start by their own boot loader: systemd-boot under UEFI, syslinux under a PC BIOS. No loop devices."""

import os
import struct
import uuid
import zlib

from lima.domain.bootstrap import Boot
from lima.domain.errors import ImageBuildError
from lima.ports.process_runner import ProcessRunner

MIB = 1 << 20
SECTOR = 512
ESP_BYTES = 64 * MIB
ESP_START = 1 * MIB
ROOT_START = ESP_START + ESP_BYTES
SYSLINUX_MBR = ("/usr/lib/syslinux/mbr/mbr.bin", "/usr/lib/SYSLINUX/mbr.bin", "/usr/share/syslinux/mbr.bin")
SYSTEMD_BOOT = ("/usr/lib/systemd/boot/efi/systemd-bootx64.efi",)
ESP_TYPE = uuid.UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
LINUX_TYPE = uuid.UUID("0fc63daf-8483-4772-8e79-3d69d8477de4")


class BootLoader:
    """Puts a FAT partition with a loader, kernel and initrd before the root file system."""

    def __init__(self, runner: ProcessRunner, work: str) -> None:
        self._runner = runner
        self._work = work

    async def install(self, boot: Boot, root: str, *, kernel: str, initrd: str, cmdline: str) -> str:
        """A new raw disk around the file system image `root`. Raises: ImageBuildError, MissingToolError."""
        fat = os.path.join(self._work, "boot.fat")
        with open(fat, "wb") as file:
            file.truncate(ESP_BYTES)
        await self._run("mkfs.vfat", "-F", "32", "-n", "BOOT", fat)
        if boot is Boot.UEFI:
            await self._uefi(fat, kernel, initrd, cmdline)
        else:
            await self._bios(fat, kernel, initrd, cmdline)
        disk = os.path.join(self._work, "disk-with-loader.raw")
        size = ROOT_START + os.path.getsize(root) + MIB
        with open(disk, "wb") as target:
            target.truncate(size)
            _copy_into(target.fileno(), fat, ESP_START)
            _copy_into(target.fileno(), root, ROOT_START)
            if boot is Boot.UEFI:
                _write_gpt(target.fileno(), size, os.path.getsize(root))
            else:
                _write_mbr(target.fileno(), os.path.getsize(root))
        return disk

    async def _uefi(self, fat: str, kernel: str, initrd: str, cmdline: str) -> None:
        loader = _first(SYSTEMD_BOOT, "systemd-boot-efi")
        entry = f"title Debian\nlinux /vmlinuz\ninitrd /initrd\noptions {cmdline}\n"
        await self._put(fat, "loader.conf", "timeout 0\ndefault debian.conf\n", "loader/loader.conf")
        await self._put(fat, "debian.conf", entry, "loader/entries/debian.conf")
        await self._run("mmd", "-i", fat, "::EFI", "::EFI/BOOT")
        await self._run("mcopy", "-i", fat, loader, "::EFI/BOOT/BOOTX64.EFI")
        await self._run("mcopy", "-i", fat, kernel, "::vmlinuz")
        await self._run("mcopy", "-i", fat, initrd, "::initrd")

    async def _bios(self, fat: str, kernel: str, initrd: str, cmdline: str) -> None:
        config = (
            f"DEFAULT debian\nPROMPT 0\nTIMEOUT 0\nLABEL debian\nLINUX /vmlinuz\nINITRD /initrd\nAPPEND {cmdline}\n"
        )
        await self._put(fat, "syslinux.cfg", config, "syslinux.cfg")
        await self._run("mcopy", "-i", fat, kernel, "::vmlinuz")
        await self._run("mcopy", "-i", fat, initrd, "::initrd")
        await self._run("syslinux", "--install", fat)

    async def _put(self, fat: str, name: str, text: str, target: str) -> None:
        path = os.path.join(self._work, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        folder = ""
        for part in target.split("/")[:-1]:
            folder = f"{folder}/{part}" if folder else part
            # a folder that is there already is no error (mmd cannot say so)
            await self._runner.run(("mmd", "-D", "s", "-i", fat, f"::{folder}"))
        await self._run("mcopy", "-o", "-i", fat, path, f"::{target}")

    async def _run(self, *argv: str) -> None:
        done = await self._runner.run(argv, env={"MTOOLS_SKIP_CHECK": "1"})
        if done.exit_code != 0:
            raise ImageBuildError(f"`{argv[0]}` failed: {done.complaint}", log_tail=done.log_tail)


def _first(paths: tuple[str, ...], package: str) -> str:
    found = next((path for path in paths if os.path.exists(path)), None)
    if found is None:
        raise ImageBuildError(
            f"`{os.path.basename(paths[0])}` is not installed", hint=f"install the package `{package}`"
        )
    return found


def _copy_into(target: int, source: str, offset: int) -> None:
    """Copy the data of a sparse file to an offset, holes left out."""
    with open(source, "rb") as file:
        position, size = 0, os.fstat(file.fileno()).st_size
        while position < size:
            try:
                start = os.lseek(file.fileno(), position, os.SEEK_DATA)
            except OSError:
                return
            end = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            while start < end:
                block = os.pread(file.fileno(), min(MIB, end - start), start)
                os.pwrite(target, block, offset + start)
                start += len(block)
            position = end


def _write_mbr(target: int, root_bytes: int) -> None:
    """The MBR of syslinux, and a table of two partitions with the first active."""
    with open(_first(SYSLINUX_MBR, "syslinux-common"), "rb") as file:
        code = file.read(440)
    partitions = (
        (0x80, 0x0C, ESP_START // SECTOR, ESP_BYTES // SECTOR),
        (0x00, 0x83, ROOT_START // SECTOR, root_bytes // SECTOR),
    )
    entries = b"".join(
        struct.pack("<B3sB3sII", active, b"\xfe\xff\xff", kind, b"\xfe\xff\xff", start, count)
        for active, kind, start, count in partitions
    )
    os.pwrite(target, code.ljust(440, b"\0") + b"LIMA\0\0" + entries.ljust(64, b"\0") + b"\x55\xaa", 0)


def _write_gpt(target: int, size: int, root_bytes: int) -> None:
    """A protective MBR, and the two copies of a GUID partition table. Source: UEFI specification 2.10, chapter 5."""
    last = size // SECTOR - 1
    protective = struct.pack("<B3sB3sII", 0, b"\0\x02\0", 0xEE, b"\xff\xff\xff", 1, min(last, 0xFFFFFFFF))
    os.pwrite(target, bytes(446) + protective.ljust(64, b"\0") + b"\x55\xaa", 0)
    spans = (
        (ESP_TYPE, ESP_START // SECTOR, ESP_BYTES // SECTOR, "EFI"),
        (LINUX_TYPE, ROOT_START // SECTOR, root_bytes // SECTOR, "rootfs"),
    )
    table = b"".join(
        kind.bytes_le
        + uuid.uuid5(uuid.NAMESPACE_OID, name).bytes_le
        + struct.pack("<QQQ", start, start + count - 1, 0)
        + name.encode("utf-16-le").ljust(72, b"\0")
        for kind, start, count, name in spans
    ).ljust(128 * 128, b"\0")
    for here, there, entries in ((1, last, 2), (last, 1, last - 32)):
        os.pwrite(target, _gpt_header(here, there, entries, last, table), here * SECTOR)
        os.pwrite(target, table, entries * SECTOR)


def _gpt_header(here: int, there: int, entries: int, last: int, table: bytes) -> bytes:
    disk = uuid.uuid5(uuid.NAMESPACE_OID, "lima bootstrap disk").bytes_le

    def packed(crc: int) -> bytes:
        return struct.pack(
            "<8sIIIIQQQQ16sQIII",
            b"EFI PART", 0x00010000, 92, crc, 0, here, there, 34, last - 33, disk, entries, 128, 128, zlib.crc32(table),
        )  # fmt: skip

    return packed(zlib.crc32(packed(0)))
