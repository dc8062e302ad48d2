"""Which of the programs that we use are on this host."""

import os
import shutil
import sys

from lima.domain.doctor import VIRTIOFSD_PLACES, PackageManager, install_command
from lima.domain.host import Tool, ToolReport
from lima.domain.machine import QEMU_NAMES, Arch

SBIN = "/usr/local/sbin:/usr/sbin:/sbin"
KEYRINGS = ("/usr/share/keyrings/debian-archive-keyring.gpg", "/etc/apt/trusted.gpg.d/debian-archive-keyring.gpg")


def inspect(*, arch: Arch, is_root: bool) -> ToolReport:
    """All tools for guests of this architecture, with the command that brings what is missing."""
    found = (
        _program(f"qemu-system-{QEMU_NAMES[arch]}", "running guests"),
        _program("qemu-img", "making disks"),
        _program("ssh", "reaching guests"),
        _program("ssh-keygen", "making ssh keys"),
        *_bootstrap_tools(is_root=is_root),
        *_mount_tools(),
    )
    manager = package_manager()
    missing = tuple(tool.name for tool in found if tool.required and not tool.path)
    command = install_command(missing, manager, is_root=is_root)
    return ToolReport(tools=found, install_command=command, may_install=bool(command) and is_root)


def package_manager() -> PackageManager | None:
    """The one that this host has."""
    return next((manager for manager in PackageManager if shutil.which(manager)), None)


def free_bytes(path: str) -> int:
    """Room on the file system that `path` is or will be on."""
    while path and not os.path.isdir(path):
        parent = os.path.dirname(path)
        if parent == path:
            break
        path = parent
    try:
        return shutil.disk_usage(path or "/").free
    except OSError:
        return 0


def available_memory() -> int:
    """Bytes that a guest could have now."""
    import psutil

    available: int = psutil.virtual_memory().available
    return available


def resident_bytes() -> int:
    """Memory that this process has for itself and shares with others."""
    import psutil

    resident: int = psutil.Process().memory_info().rss
    return resident


def _bootstrap_tools(*, is_root: bool) -> tuple[Tool, ...]:
    """What building images from packages takes; on hosts without apt that way is closed, and downloads remain."""
    required = shutil.which("apt-get") is not None
    purpose = "building images from packages"
    tools = [
        _program("apt-get", purpose, required=required),
        _program("dpkg-deb", purpose, required=required),
        _program("mmdebstrap", purpose, required=required),
        _program("mke2fs", purpose, required=required),
        Tool(
            name="debian-archive-keyring.gpg",
            needed_for=purpose,
            path=next((path for path in KEYRINGS if os.path.exists(path)), ""),
            required=required,
        ),
    ]
    if not is_root:
        tools.append(_program("newuidmap", f"{purpose} without being root", required=required))
    return tuple(tools)


def _mount_tools() -> tuple[Tool, ...]:
    """Only for `mountType: virtiofs`, and only where there is such a thing."""
    if not sys.platform.startswith("linux"):
        return ()
    path = next((path for path in VIRTIOFSD_PLACES if os.access(path, os.X_OK)), "")
    return (Tool(name="virtiofsd", needed_for="mounts of type virtiofs", path=path, required=False),)


def _program(name: str, needed_for: str, *, required: bool = True) -> Tool:
    path = shutil.which(name) or shutil.which(name, path=SBIN) or ""
    return Tool(name=name, needed_for=needed_for, path=path, required=required)
