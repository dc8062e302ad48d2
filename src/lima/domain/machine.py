"""Operating systems and architectures, and the names that others give them. Light: on the quick path."""

from enum import StrEnum


class Arch(StrEnum):
    """A guest or host architecture, by the name that templates use."""

    X86_64 = "x86_64"
    AARCH64 = "aarch64"
    ARMV7L = "armv7l"
    PPC64LE = "ppc64le"
    RISCV64 = "riscv64"
    S390X = "s390x"


class GuestOS(StrEnum):
    """The guest system, as `os:` states it."""

    LINUX = "Linux"
    DARWIN = "Darwin"
    FREEBSD = "FreeBSD"
    WINDOWS = "Windows"


class HostOS(StrEnum):
    """The host system, by the name that `info` and Go templates use."""

    LINUX = "linux"
    DARWIN = "darwin"
    WINDOWS = "windows"


QEMU_NAMES: dict[Arch, str] = {
    Arch.X86_64: "x86_64",
    Arch.AARCH64: "aarch64",
    Arch.ARMV7L: "arm",
    Arch.PPC64LE: "ppc64",
    Arch.RISCV64: "riscv64",
    Arch.S390X: "s390x",
}
"""As in `qemu-system-NAME`. Source: reference, runtime §3.1."""

DEBIAN_NAMES: dict[Arch, str] = {
    Arch.X86_64: "amd64",
    Arch.AARCH64: "arm64",
    Arch.ARMV7L: "armhf",
    Arch.PPC64LE: "ppc64el",
    Arch.RISCV64: "riscv64",
    Arch.S390X: "s390x",
}
"""As dpkg names them."""

UNAME_NAMES: dict[str, Arch] = {
    "x86_64": Arch.X86_64,
    "amd64": Arch.X86_64,
    "AMD64": Arch.X86_64,
    "aarch64": Arch.AARCH64,
    "arm64": Arch.AARCH64,
    "ARM64": Arch.AARCH64,
    "armv7l": Arch.ARMV7L,
    "armv8l": Arch.ARMV7L,
    "ppc64le": Arch.PPC64LE,
    "riscv64": Arch.RISCV64,
    "s390x": Arch.S390X,
}
"""What `uname -m` (or Windows) calls them."""
