"""The QEMU command line of a machine, as a pure function. Order and shapes are upstream's.

Source: reference, runtime §3.3–§3.10. Ours: `format=` on every drive (a guest that writes a qcow2 header onto its raw
disk would else have QEMU open any host file), a progress port, `-sandbox`, and no firmware before a kernel that QEMU
loads itself on x86_64 (10 s of a boot under TCG).
"""

from collections.abc import Callable
from dataclasses import dataclass

from lima.adapters.qemu.features import QemuFeatures
from lima.domain.errors import UnsupportedCapabilityError
from lima.domain.guest_progress import PORT_NAME
from lima.domain.instance import FileName, hostname
from lima.domain.machine import Arch
from lima.domain.machine_spec import AGENT_PORT_NAME, DiskSpec, MachineSpec, NinePShare, VirtiofsShare

MIB = 1 << 20
NETWORK = "192.168.5.0/24"
DHCP_START = "192.168.5.15"
AGENT_CHARDEV = "qga0"
AGENT_DEVICE = "guest-agent"
SHARED_MEMORY = "virtiofs-shm"
MULTIDEVS = (4, 2, 0)
"""QEMU's first version that tells equal inode numbers of different devices apart."""
NO_FIRMWARE = (Arch.PPC64LE, Arch.S390X)
TCG_CPUS = {
    # pointer authentication by QARMA costs aarch64 guests two thirds of their speed under TCG
    Arch.AARCH64: "max,pauth-impdef=on",
}


def build_command_line(machine: MachineSpec, features: QemuFeatures, *, firmware: str | None) -> tuple[str, ...]:
    """The whole argv.

    Args:
        machine: what to run.
        features: the binary, with the leading words of its QEMU_SYSTEM_* variable.
        firmware: the UEFI code image that was found, None where there is none to use.
    """
    program, *extra = features.program
    line = _Line(extra=tuple(extra))
    for part in _PARTS:
        part(line, machine, features, firmware)
    return (program, *extra, *line.words)


@dataclass(slots=True)
class _Line:
    """Words so far. `once` leaves out what the user's own leading words already state."""

    extra: tuple[str, ...]
    words: tuple[str, ...] = ()

    def add(self, *words: str) -> None:
        self.words += words

    def once(self, option: str, *values: str) -> None:
        if option not in self.extra:
            self.add(option, *values)


def escape(value: str) -> str:
    """A value inside a comma-separated option: QEMU reads two commas as one."""
    return value.replace(",", ",,")


def _path(machine: MachineSpec, file: str) -> str:
    return escape(f"{machine.directory}/{file}")


def _memory_and_cpu(line: _Line, machine: MachineSpec, _features: QemuFeatures, _firmware: str | None) -> None:
    line.once("-m", str(machine.memory_bytes // MIB))
    if any(isinstance(share, VirtiofsShare) for share in machine.shares):
        _shared_memory(line, machine)
    line.once("-cpu", machine.cpu_model or default_cpu(machine.arch, machine.accelerator))
    accelerator = machine.accelerator
    if "-machine" not in line.extra and "-M" not in line.extra:
        line.add(*machine_arguments(machine.arch, accelerator))
    n = machine.cpus
    line.once("-smp", f"{n},sockets=1,cores={n},threads=1")


def _shared_memory(line: _Line, machine: MachineSpec) -> None:
    """What virtiofsd reads requests from. No file in /dev/shm, as upstream's: that is 64 MiB in most containers, and a
    guest that touches more is killed."""
    size = machine.memory_bytes // MIB * MIB
    line.once("-object", f"memory-backend-memfd,id={SHARED_MEMORY},size={size},share=on")
    if machine.arch is Arch.S390X:  # which has no NUMA
        line.add("-machine", f"memory-backend={SHARED_MEMORY}")
    else:
        line.once("-numa", f"node,memdev={SHARED_MEMORY}")


def default_cpu(arch: Arch, accelerator: str) -> str:
    """The CPU model of a guest whose template names none."""
    if accelerator in ("kvm", "hvf"):
        return "host"
    return TCG_CPUS.get(arch, "max") if accelerator == "tcg" else "max"


def machine_arguments(arch: Arch, accelerator: str) -> tuple[str, ...]:
    """Board and accelerator. Source: reference, runtime §3.3."""
    # fmt: off
    match arch:
        case Arch.X86_64 if accelerator == "tcg":
            return (
                "-machine", "q35,vmport=off",
                "-accel", "tcg,thread=multi,tb-size=512",
                "-global", "ICH9-LPC.disable_s3=1",
                "-global", "ICH9-LPC.disable_s4=1",
            )
        case Arch.X86_64:
            return ("-machine", f"q35,accel={accelerator}")
        case Arch.AARCH64 | Arch.ARMV7L:
            return ("-machine", f"virt,accel={accelerator}")
        case Arch.RISCV64:
            return ("-machine", f"virt,acpi=off,accel={accelerator}")
        case Arch.PPC64LE:
            return ("-machine", f"pseries,accel={accelerator}")
        case Arch.S390X:
            return ("-machine", f"s390-ccw-virtio,accel={accelerator}")
    # fmt: on


def _firmware(line: _Line, machine: MachineSpec, _features: QemuFeatures, firmware: str | None) -> None:
    legacy = machine.firmware.legacy_bios and machine.arch in (Arch.X86_64, Arch.ARMV7L)
    direct = machine.direct_boot is not None and machine.arch is Arch.X86_64
    if firmware is not None and not legacy and not direct and machine.arch not in NO_FIRMWARE:
        line.add("-drive", f"if=pflash,format=raw,readonly=on,file={escape(firmware)}")
    line.add("-device", "qemu-xhci,id=usb-bus")


def _disks(line: _Line, machine: MachineSpec, _features: QemuFeatures, _firmware: str | None) -> None:
    if machine.disk is not None:
        if machine.iso is not None:
            line.add("-drive", f"{_drive(machine.disk)},if=virtio")
        else:
            device = "virtio-blk-ccw" if machine.arch is Arch.S390X else "virtio-blk-pci"
            line.add("-drive", f"{_drive(machine.disk)},if=none,id=boot-disk")
            line.add("-device", f"{device},drive=boot-disk,bootindex=1")
    line.once("-boot", f"order={'d' if machine.iso else 'c'},splash-time=0,menu=on")
    if machine.iso is not None:
        line.add("-drive", f"file={escape(machine.iso)},format=raw,media=cdrom,readonly=on")
    for disk in machine.additional_disks:
        line.add("-drive", f"{_drive(disk)},if=virtio")
    if machine.seed_iso is not None:
        line.add("-drive", f"id=cdrom0,if=none,format=raw,readonly=on,file={escape(machine.seed_iso)}")
        line.add("-device", "virtio-scsi,id=scsi0")
        line.add("-device", "scsi-cd,bus=scsi0.0,drive=cdrom0")


def _drive(disk: DiskSpec) -> str:
    # werror=stop would pause on any error; enospc pauses for a full host disk only, and the guest goes on with `cont`
    mode = ",readonly=on" if disk.read_only else ",discard=on,werror=enospc"
    return f"file={escape(disk.path)},format={disk.format}{mode}"


def _kernel(line: _Line, machine: MachineSpec, _features: QemuFeatures, _firmware: str | None) -> None:
    boot = machine.direct_boot
    if boot is None:
        return
    line.once("-kernel", boot.kernel)
    line.once("-append", boot.cmdline)
    if boot.initrd is not None:
        line.once("-initrd", boot.initrd)


def _network(line: _Line, machine: MachineSpec, features: QemuFeatures, _firmware: str | None) -> None:
    if not features.has_slirp:
        raise UnsupportedCapabilityError(
            f"`{features.program[0]}` was built without user networking (slirp)",
            hint="install your distribution's full QEMU package",
        )
    forward = f"hostfwd=tcp:127.0.0.1:{machine.ssh_host_port}-:22"
    line.add("-netdev", f"user,id=net0,net={NETWORK},dhcpstart={DHCP_START},{forward}")
    device = "virtio-net-ccw" if machine.arch is Arch.S390X else "virtio-net-pci"
    line.add("-device", f"{device},netdev=net0,mac={machine.mac_address}")
    line.add("-device", "virtio-rng-pci")


def _audio_and_display(line: _Line, machine: MachineSpec, _features: QemuFeatures, _firmware: str | None) -> None:
    if machine.audio_device is not None:
        line.add("-audiodev", f"{machine.audio_device or 'none'},id=snd0")
        line.add("-device", "ich9-intel-hda", "-device", "hda-output,audiodev=snd0")
    display = f"vnc={machine.vnc_display},password=on" if machine.display == "vnc" else machine.display
    if display:
        line.once("-display", display)
    if machine.display == "none":
        line.add("-vga", "none")
    elif display:
        line.add("-device", "virtio-vga" if machine.arch in (Arch.X86_64, Arch.RISCV64) else "virtio-gpu")
        line.add("-device", "virtio-keyboard-pci")
        line.add("-device", "virtio-tablet-pci" if machine.display == "vnc" else "virtio-mouse-pci")


def _consoles(line: _Line, machine: MachineSpec, _features: QemuFeatures, _firmware: str | None) -> None:
    line.add("-parallel", "none")
    line.add("-chardev", _console(machine, "char-serial", FileName.SERIAL_SOCK, FileName.SERIAL_LOG))
    line.add("-serial", "chardev:char-serial")
    if machine.arch in (Arch.AARCH64, Arch.ARMV7L):
        line.add("-chardev", _console(machine, "char-serial-pci", FileName.SERIALP_SOCK, FileName.SERIALP_LOG))
        line.add("-device", "pci-serial,chardev=char-serial-pci")
    line.add("-chardev", _console(machine, "char-serial-virtio", FileName.SERIALV_SOCK, FileName.SERIALV_LOG))
    ports = (2 if machine.arch is Arch.S390X else 1) + machine.wants_progress_port
    line.add("-device", f"virtio-serial-pci,id=virtio-serial0,max_ports={ports}")
    line.add("-device", "virtconsole,chardev=char-serial-virtio,id=console0")
    if machine.wants_progress_port:
        line.add(
            "-chardev", f"socket,id=char-progress,path={_path(machine, FileName.PROGRESS_SOCK)},server=on,wait=off"
        )
        line.add("-device", f"virtserialport,bus=virtio-serial0.0,chardev=char-progress,name={PORT_NAME}")


def _console(machine: MachineSpec, name: str, sock: str, log: str) -> str:
    return f"socket,id={name},path={_path(machine, sock)},server=on,wait=off,logfile={_path(machine, log)}"


def _shares(line: _Line, machine: MachineSpec, features: QemuFeatures, _firmware: str | None) -> None:
    for index, share in enumerate(machine.shares):
        if isinstance(share, NinePShare):
            line.add("-virtfs", _virtfs(share, features))
        else:
            kind = "vhost-user-fs-ccw" if machine.arch is Arch.S390X else "vhost-user-fs-pci"
            line.add("-chardev", f"socket,id=char-virtiofs-{index},path={escape(share.socket)}")
            line.add(
                "-device", f"{kind},queue-size={share.queue_size},chardev=char-virtiofs-{index},tag={escape(share.tag)}"
            )


def _virtfs(share: NinePShare, features: QemuFeatures) -> str:
    if not features.has_virtfs:
        raise UnsupportedCapabilityError(
            f"`{features.program[0]}` was built without 9p (virtfs)",
            hint="install your distribution's full QEMU package, or set `mountType: virtiofs`",
        )
    words = f"local,mount_tag={escape(share.tag)},path={escape(share.path)},security_model={share.security_model}"
    if features.version >= MULTIDEVS or features.version == (0, 0, 0):
        # files of different file systems below the location may share an inode number; the guest would take them for one
        words += ",multidevs=remap"
    return words + (",readonly=on" if share.read_only else "")


def _control(line: _Line, machine: MachineSpec, features: QemuFeatures, _firmware: str | None) -> None:
    line.add("-chardev", f"socket,id=char-qmp,path={_path(machine, FileName.QMP_SOCK)},server=on,wait=off")
    line.add("-qmp", "chardev:char-qmp")
    if machine.wants_agent_port:
        line.add("-chardev", f"socket,path={_path(machine, FileName.GA_SOCK)},server=on,wait=off,id={AGENT_CHARDEV}")
        # a controller of its own, as upstream's: the first one has no room (max_ports)
        line.add("-device", "virtio-serial")
        # the id is ours: only devices that have one tell by QMP when the guest opens and closes them
        line.add("-device", f"virtserialport,chardev={AGENT_CHARDEV},name={AGENT_PORT_NAME},id={AGENT_DEVICE}")
    line.add("-name", hostname(machine.name))
    line.add("-pidfile", f"{machine.directory}/{FileName.QEMU_PID}")
    if features.has_seccomp:
        line.once("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny")


_PARTS: tuple[Callable[[_Line, MachineSpec, QemuFeatures, str | None], None], ...] = (
    _memory_and_cpu,
    _firmware,
    _disks,
    _kernel,
    _network,
    _audio_and_display,
    _consoles,
    _shares,
    _control,
)
