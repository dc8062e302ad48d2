"""The small initramfs that mounts the root file system: busybox, the modules for its disk, one script."""

from lima.adapters.bootstrap.cpio import InitramfsArchive
from lima.adapters.bootstrap.debian import CHECKSUM_MODULES, INITRD_MODULES
from lima.adapters.bootstrap.files import read_first, skeleton_files
from lima.adapters.bootstrap.modules import ModuleTree


def rootfs_initramfs(kernel_root: str, skeleton: str) -> bytes:
    """From an unpacked kernel package and busybox, and our `init` in `skeleton`. Raises: ImageBuildError."""
    archive = InitramfsArchive()
    for directory in ("dev", "proc", "sys", "root", "bin"):
        archive.directory(directory)
    archive.device("dev/console", 0o600, 5, 1)
    archive.device("dev/null", 0o666, 1, 3)
    archive.file("bin/busybox", read_first(kernel_root, "usr/bin/busybox", "bin/busybox"), 0o755)
    modules = ModuleTree(kernel_root).load_order(INITRD_MODULES, if_there=CHECKSUM_MODULES)
    for name, content in modules:
        archive.file(f"lib/modules/{name}.ko", content)
    archive.file("lib/modules/order", "".join(f"{name}\n" for name, _ in modules).encode())
    for path, content, mode in skeleton_files(skeleton):
        archive.file(path, content, mode)
    return archive.compressed()
