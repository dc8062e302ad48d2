"""What the program needs from the host, and the one command that brings it."""

from dataclasses import dataclass
from enum import StrEnum

from lima.domain.host import AcceleratorVerdict, Tool
from lima.domain.machine import QEMU_NAMES, Arch


class PackageManager(StrEnum):
    """The host's package manager, by the name of its program."""

    APT = "apt-get"
    DNF = "dnf"
    PACMAN = "pacman"
    ZYPPER = "zypper"
    APK = "apk"
    BREW = "brew"


INSTALL: dict[PackageManager, str] = {
    PackageManager.APT: (
        "apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends {packages}"
    ),
    PackageManager.DNF: "dnf install -y {packages}",
    PackageManager.PACMAN: "pacman -S --noconfirm --needed {packages}",
    PackageManager.ZYPPER: "zypper --non-interactive install {packages}",
    PackageManager.APK: "apk add {packages}",
    PackageManager.BREW: "brew install {packages}",
}

_DEBIAN_QEMU = {
    Arch.X86_64: "qemu-system-x86",
    Arch.AARCH64: "qemu-system-arm",
    Arch.ARMV7L: "qemu-system-arm",
    Arch.PPC64LE: "qemu-system-ppc",
    Arch.RISCV64: "qemu-system-misc",
    Arch.S390X: "qemu-system-misc",
}
_PACKAGES: dict[str, dict[PackageManager, str]] = {
    "qemu-img": {
        PackageManager.APT: "qemu-utils",
        PackageManager.DNF: "qemu-img",
        PackageManager.PACMAN: "qemu-img",
        PackageManager.ZYPPER: "qemu-tools",
        PackageManager.APK: "qemu-img",
        PackageManager.BREW: "qemu",
    },
    "ssh": {
        PackageManager.APT: "openssh-client",
        PackageManager.DNF: "openssh-clients",
        PackageManager.PACMAN: "openssh",
        PackageManager.ZYPPER: "openssh-clients",
        PackageManager.APK: "openssh-client",
        PackageManager.BREW: "openssh",
    },
    "mke2fs": dict.fromkeys(PackageManager, "e2fsprogs"),
    "mmdebstrap": dict.fromkeys(PackageManager, "mmdebstrap"),
    "dpkg-deb": dict.fromkeys(PackageManager, "dpkg"),
    "newuidmap": {
        PackageManager.APT: "uidmap",
        PackageManager.DNF: "shadow-utils",
        PackageManager.PACMAN: "shadow",
        PackageManager.ZYPPER: "shadow",
        PackageManager.APK: "shadow-uidmap",
    },
    "ensurepip": dict.fromkeys(PackageManager, "python3") | {PackageManager.APT: "python3-venv"},
    "virtiofsd": dict.fromkeys(PackageManager, "virtiofsd"),
    "debian-archive-keyring.gpg": dict.fromkeys(PackageManager, "debian-archive-keyring"),
}
VIRTIOFSD_PLACES = (
    "/usr/libexec/virtiofsd",  # Debian 13, Fedora, openSUSE
    "/usr/lib/virtiofsd",  # Arch
    "/usr/lib/qemu/virtiofsd",  # Debian 12, with QEMU itself; Ubuntu 22.04
    "/usr/libexec/qemu/virtiofsd",
    "/usr/bin/virtiofsd",
    "/usr/local/libexec/virtiofsd",
    "/usr/local/bin/virtiofsd",
)
"""It is on nobody's PATH."""
_SAME = {"ssh-keygen": "ssh", "apt-get": "dpkg-deb"}


def package_of(tool: str, manager: PackageManager) -> str:
    """The package that brings a tool, by this manager's names; the tool's own name where nothing better is known."""
    if tool.startswith("qemu-system-"):
        arch = next((arch for arch, name in QEMU_NAMES.items() if tool == f"qemu-system-{name}"), Arch.X86_64)
        names = {
            PackageManager.APT: _DEBIAN_QEMU[arch],
            PackageManager.DNF: f"{tool}-core",
            PackageManager.PACMAN: tool,
            PackageManager.ZYPPER: _DEBIAN_QEMU[arch],
            PackageManager.APK: tool,
            PackageManager.BREW: "qemu",
        }
        return names[manager]
    return _PACKAGES.get(_SAME.get(tool, tool), {}).get(manager, tool)


def install_command(missing: tuple[str, ...], manager: PackageManager | None, *, is_root: bool) -> str:
    """One shell line that installs the packages of these tools; empty where nothing is missing or nothing is known."""
    if not missing or manager is None:
        return ""
    packages = " ".join(sorted({package_of(tool, manager) for tool in missing}))
    line = INSTALL[manager].format(packages=packages)
    if is_root or manager is PackageManager.BREW:
        return line
    # `sudo` for each command of the line, and past the variable that it would drop
    line = line.replace("DEBIAN_FRONTEND=noninteractive apt-get install", "apt-get install")
    return " && ".join(f"sudo {part}" for part in line.split(" && "))


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorReport:
    """What `doctor` shows. `accelerator` is None where no emulator is there to ask. Sizes in bytes."""

    tools: tuple[Tool, ...]
    install_command: str
    may_install: bool
    accelerator: AcceleratorVerdict | None
    memory_bytes: int
    memory_available_bytes: int
    disk_free_bytes: int
    cache_free_bytes: int
    warnings: tuple[str, ...] = ()

    @property
    def is_healthy(self) -> bool:
        """Whether everything that is required is there."""
        return all(tool.path or not tool.required for tool in self.tools)
