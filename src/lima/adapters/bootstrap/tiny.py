"""`bootstrap:tiny`: a kernel and an initramfs of busybox and dropbear, made of packages without installing any."""

import glob
import os

from lima.adapters.bootstrap.apt import PrivateApt
from lima.adapters.bootstrap.cpio import InitramfsArchive
from lima.adapters.bootstrap.files import read_file, read_first, skeleton_files
from lima.adapters.bootstrap.modules import ModuleTree
from lima.domain.bootstrap import BootstrapRecipe
from lima.domain.errors import ImageBuildError
from lima.domain.machine import Arch

KERNEL_PACKAGES = {
    Arch.X86_64: "linux-image-cloud-amd64",
    Arch.AARCH64: "linux-image-cloud-arm64",
    Arch.ARMV7L: "linux-image-armmp",
    Arch.PPC64LE: "linux-image-powerpc64le",
    Arch.RISCV64: "linux-image-riscv64",
    Arch.S390X: "linux-image-s390x",
}
PACKAGES = ("busybox-static", "dropbear-bin", "libtomcrypt1", "libtommath1", "libgmp10", "libcrypt1", "libc6", "zlib1g")
MODULES = ("virtio_pci", "virtio_blk", "virtio_scsi", "sr_mod", "isofs", "virtio_net", "virtio_console", "virtio_rng")
PC_MODULES = ("button", "evdev")
"""The power button: without it the guest does not hear `system_powerdown`."""
KERNEL_PLACES = ("boot/vmlinu*", "usr/lib/modules/*/vmlinu*")
BINARIES = ("usr/sbin/dropbear", "usr/bin/dropbearkey", "usr/bin/dropbearconvert")
CONSOLES = {Arch.X86_64: "ttyS0", Arch.AARCH64: "ttyAMA0", Arch.S390X: "ttysclp0", Arch.PPC64LE: "hvc0"}


async def fetch(apt: PrivateApt, recipe: BootstrapRecipe, folder: str) -> str:
    """Unpack what the guest is made of; the root of the tree."""
    kernel = await apt.kernel(KERNEL_PACKAGES[recipe.arch])
    archives = await apt.download((*kernel, *PACKAGES, *recipe.packages), into=os.path.join(folder, "debs"))
    root = os.path.join(folder, "root")
    await apt.unpack(archives, into=root)
    return root


def kernel_path(root: str) -> str:
    """The kernel image of unpacked packages: in `boot`, from Debian 14 on beside its modules."""
    found = sorted(
        path for place in KERNEL_PLACES for path in glob.glob(f"{glob.escape(root)}/{place}") if os.path.isfile(path)
    )
    if not found:
        raise ImageBuildError("the kernel's packages brought no kernel")
    return found[-1]


def initramfs(root: str, skeleton: str, recipe: BootstrapRecipe) -> bytes:
    """The whole guest: packages' binaries and libraries, modules in order, and our scripts from `skeleton`."""
    archive = InitramfsArchive()
    for directory in ("dev", "proc", "sys", "run", "tmp", "mnt", "root", "home", "bin", "sbin", "lib"):
        archive.directory(directory)
    archive.device("dev/console", 0o600, 5, 1)
    archive.device("dev/null", 0o666, 1, 3)
    busybox = read_first(root, "usr/bin/busybox", "bin/busybox")
    archive.file("bin/busybox", busybox, 0o755)
    # the one program that may change the user; a copy, for set-uid on busybox itself would cover all its applets
    archive.file("usr/local/bin/su", busybox, 0o4755)
    for link, target in (("init", "bin/busybox"), ("bin/sh", "busybox")):
        archive.symlink(link, target)
    for binary in BINARIES:
        archive.file(binary, read_first(root, binary, binary.removeprefix("usr/")), 0o755)
    _libraries(archive, root)
    modules = ModuleTree(root).load_order(MODULES + (PC_MODULES if recipe.arch is Arch.X86_64 else ()))
    for name, content in modules:
        archive.file(f"lib/modules/{name}.ko", content)
    archive.file("lib/modules/order", "".join(f"{name}\n" for name, _ in modules).encode())
    for path, content, mode in skeleton_files(skeleton):
        archive.file(path, content, mode)
    return archive.compressed()


def cmdline(recipe: BootstrapRecipe) -> str:
    """Quiet, and without what only costs time under emulation."""
    console = CONSOLES.get(recipe.arch, "ttyS0")
    common = f"console={console} quiet loglevel=4 mitigations=off random.trust_cpu=1 net.ifnames=0 audit=0 panic=10"
    return common + (" no_timer_check" if recipe.arch is Arch.X86_64 else "")


def _libraries(archive: InitramfsArchive, root: str) -> None:
    """The loader and every shared library of the unpacked packages, at the one place that the loader looks in."""
    written: set[str] = set()
    for folder, _, files in os.walk(os.path.join(root, "usr/lib")):
        if "/modules" in folder or "/gconv" in folder:
            continue
        for file in sorted(files):
            if ".so" not in file or file in written or not _is_needed(file):
                continue
            path = os.path.join(folder, file)
            if not os.path.exists(path):
                continue
            written.add(file)
            archive.file(f"lib/{file}", read_file(path), 0o755)
    for path in ("lib64", "usr/lib", "usr/lib64", f"lib/{_triplet(root)}"):
        archive.symlink(path, "/lib" if path != f"lib/{_triplet(root)}" else ".")


def _is_needed(file: str) -> bool:
    stems = (
        "ld-linux",
        "ld64",
        "ld.so",
        "libc.so",
        "libcrypt.so",
        "libtom",
        "libgmp.so",
        "libz.so",
        "libm.so",
        "libnss_files",
    )
    return file.startswith(stems)


def _triplet(root: str) -> str:
    base = os.path.join(root, "usr/lib")
    return next((name for name in sorted(os.listdir(base)) if name.endswith(("-gnu", "-gnueabihf"))), "gnu")
