"""Where UEFI code images lie on a host. Source: reference, runtime §3.4."""

import os

from lima.domain.machine import QEMU_NAMES, Arch

SYSTEM_PATHS: dict[Arch, tuple[str, ...]] = {
    Arch.X86_64: (
        "/usr/share/edk2/x64/OVMF_CODE.4m.fd",
        "/usr/share/OVMF/OVMF_CODE.fd",
        "/usr/share/OVMF/OVMF_CODE_4M.fd",
        "/usr/share/edk2/ovmf/OVMF_CODE.fd",
        "/usr/share/qemu/ovmf-x86_64.bin",
        "/usr/share/qemu/ovmf-x86_64-4m.bin",
    ),
    Arch.AARCH64: (
        "/usr/share/edk2/aarch64/QEMU_CODE.fd",
        "/usr/share/AAVMF/AAVMF_CODE.fd",
        "/usr/share/qemu-efi-aarch64/QEMU_EFI.fd",
    ),
    Arch.ARMV7L: ("/usr/share/edk2/arm/QEMU_CODE.fd", "/usr/share/AAVMF/AAVMF32_CODE.fd"),
    Arch.RISCV64: (
        "/usr/share/qemu-efi-riscv64/RISCV_VIRT_CODE.fd",
        "/usr/share/edk2/riscv/RISCV_VIRT_CODE.fd",
    ),
}


def candidates(arch: Arch, *, home: str, program: str) -> tuple[str, ...]:
    """Paths in the order of preference; none for architectures that start without UEFI."""
    if arch not in SYSTEM_PATHS:
        return ()
    name = f"edk2-{'riscv' if arch is Arch.RISCV64 else QEMU_NAMES[arch]}-code.fd"
    bin_dir = os.path.dirname(program)
    return (
        os.path.join(home, ".local/share/qemu", name),
        os.path.normpath(os.path.join(bin_dir, "../share/qemu", name)),
        os.path.join(bin_dir, "share", name),
        *SYSTEM_PATHS[arch],
    )


def find_firmware(arch: Arch, *, home: str, program: str) -> str | None:
    """The first that exists."""
    return next((path for path in candidates(arch, home=home, program=program) if os.path.exists(path)), None)
