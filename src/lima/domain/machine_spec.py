"""What a hypervisor is asked to run: one guest, as values, in nobody's command-line language."""

from dataclasses import dataclass, field
from enum import StrEnum

from lima.domain.machine import Arch, HostOS

_AUDIO = {HostOS.DARWIN: "coreaudio", HostOS.LINUX: "pa", HostOS.WINDOWS: "dsound"}


class DiskFormat(StrEnum):
    """Formats that a disk is attached with; QEMU is always told, it never guesses."""

    QCOW2 = "qcow2"
    RAW = "raw"


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskSpec:
    """One disk file. `path` is absolute."""

    path: str
    format: DiskFormat
    read_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectBoot:
    """Kernel and initrd that the hypervisor loads itself, without firmware."""

    kernel: str
    initrd: str | None = None
    cmdline: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Firmware:
    """How the machine starts. `code` is a UEFI code image (mapped read-only); None with `legacy_bios` false means:
    whatever the hypervisor finds on this host, and its own BIOS where it finds nothing."""

    legacy_bios: bool = False
    code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NinePShare:
    """A directory that the hypervisor serves itself. `security_model` as in `mounts[].9p`."""

    tag: str
    path: str
    security_model: str
    read_only: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtiofsShare:
    """A directory that a process of its own serves, behind `socket`."""

    tag: str
    socket: str
    queue_size: int


AGENT_PORT_NAME = "io.lima-vm.guest_agent.0"
"""The virtio-serial port of the guest agent. It opens exclusively, so progress has one of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineSpec:
    """One guest. Sizes in bytes, paths absolute; sockets and logs are named by `domain.instance.FileName` in `directory`.

    `ssh_host_port` is the loopback TCP port that reaches the guest's port 22. `accelerator` is the proven one
    (`tcg`, `kvm`, `hvf`, …). `cpu_model` None lets the hypervisor choose. `display` is upstream's `video.display`.
    `extra_arguments` are the leading words of `QEMU_SYSTEM_*`.
    """

    name: str
    directory: str
    arch: Arch
    cpus: int
    memory_bytes: int
    accelerator: str
    mac_address: str
    ssh_host_port: int
    cpu_model: str | None = None
    disk: DiskSpec | None = None
    iso: str | None = None
    additional_disks: tuple[DiskSpec, ...] = ()
    seed_iso: str | None = None
    shares: tuple[NinePShare | VirtiofsShare, ...] = ()
    direct_boot: DirectBoot | None = None
    firmware: Firmware = field(default_factory=Firmware)
    display: str = "none"
    vnc_display: str = "127.0.0.1:0,to=9"
    audio_device: str | None = None
    wants_progress_port: bool = True
    wants_agent_port: bool = True
    extra_arguments: tuple[str, ...] = ()


def audio_device(asked: str, host: HostOS) -> str | None:
    """The sound system of a host that `audio.device` asks for, None for no card. Source: reference, runtime §3.6."""
    return _AUDIO[host] if asked == "default" else asked or None
