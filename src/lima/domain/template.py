"""The shape of lima.yaml as it is written: every field optional, None for "not set".

Field order is upstream's (reference, config §1). What a file may write in more ways than one (a number for a text, a
name for a disk, one base for a list) is normalised by `domain.decoding`, led by the marks below; a Template holds the
normal form only. `defaults.complete` closes the gaps, `defaults.fill` makes an `InstanceConfig` of it.
"""

from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from lima.domain.model import Model


class Mark(StrEnum):
    """Keys of `Meta.extra` that tell `domain.decoding` how a field may also be written."""

    SHORTHAND = "shorthand"
    """A bare text stands for an object; the value is the key that it stands for."""
    SINGLE = "single"
    """A single item stands for a list of one."""
    IP_ADDRESS = "ip"
    """The text must be an IP address; an empty one counts as not set."""


Uint32 = Annotated[int, Meta(ge=0, le=2**32 - 1)]
IpAddress = Annotated[str, Meta(extra={Mark.IP_ADDRESS: True})]
PortRange = tuple[int, int]


class LocatorRef(Model, frozen=True, kw_only=True):
    """Another file that a template names: in full, or as a bare locator."""

    url: str | None = None
    digest: str | None = None


Locator = Annotated[LocatorRef, Meta(extra={Mark.SHORTHAND: "url"})]


class File(Model, frozen=True, kw_only=True):
    """A file by URL or host path. `digest` is `sha256:…`, `sha384:…` or `sha512:…`."""

    location: str | None = None
    arch: str | None = None
    digest: str | None = None


class Kernel(File, frozen=True, kw_only=True):
    """`images[].kernel`."""

    cmdline: str | None = None


class Image(File, frozen=True, kw_only=True):
    """One entry of `images`."""

    kernel: Kernel | None = None
    initrd: File | None = None
    variant: str | None = None
    arch_variant: str | None = None


class FirmwareFile(File, frozen=True, kw_only=True):
    """One entry of `firmware.images`."""

    vm_type: str | None = None


class AdditionalDisk(Model, frozen=True, kw_only=True):
    """One entry of `additionalDisks`."""

    name: str | None = None
    format: bool | None = None
    fs_type: str | None = None
    fs_args: tuple[str, ...] | None = None


Disk = Annotated[AdditionalDisk, Meta(extra={Mark.SHORTHAND: "name"})]


class Sshfs(Model, frozen=True, kw_only=True):
    """`mounts[].sshfs`."""

    cache: bool | None = None
    follow_symlinks: bool | None = None
    sftp_driver: str | None = None


class NineP(Model, frozen=True, kw_only=True):
    """`mounts[].9p`."""

    security_model: str | None = None
    protocol_version: str | None = None
    msize: str | None = None
    cache: str | None = None


class Virtiofs(Model, frozen=True, kw_only=True):
    """`mounts[].virtiofs`."""

    queue_size: int | None = None


class Mount(Model, frozen=True, kw_only=True):
    """One entry of `mounts`."""

    location: str | None = None
    mount_point: str | None = None
    writable: bool | None = None
    sshfs: Sshfs | None = None
    ninep: NineP | None = msgspec.field(default=None, name="9p")
    virtiofs: Virtiofs | None = None


class SshSection(Model, frozen=True, kw_only=True):
    """`ssh`."""

    local_port: int | None = None
    load_dot_ssh_pub_keys: bool | None = msgspec.field(default=None, name="loadDotSSHPubKeys")
    forward_agent: bool | None = None
    forward_x11: bool | None = msgspec.field(default=None, name="forwardX11")
    forward_x11_trusted: bool | None = msgspec.field(default=None, name="forwardX11Trusted")
    over_vsock: bool | None = None


class FirmwareSection(Model, frozen=True, kw_only=True):
    """`firmware`."""

    legacy_bios: bool | None = msgspec.field(default=None, name="legacyBIOS")
    images: tuple[FirmwareFile, ...] | None = None


class AudioSection(Model, frozen=True, kw_only=True):
    """`audio`."""

    device: str | None = None
    interface: str | None = None


class VncSection(Model, frozen=True, kw_only=True):
    """`video.vnc`."""

    display: str | None = None


class VideoSection(Model, frozen=True, kw_only=True):
    """`video`."""

    display: str | None = None
    vnc: VncSection | None = None


class ProvisionStep(Model, frozen=True, kw_only=True):
    """One entry of `provision`."""

    mode: str | None = None
    skip_default_dependency_resolution: bool | None = None
    script: str | None = None
    file: Locator | None = None
    playbook: str | None = None
    content: str | None = None
    overwrite: bool | None = None
    owner: str | None = None
    path: str | None = None
    permissions: str | None = None
    expression: str | None = None
    format: str | None = None
    run_policy: str | None = None
    """Ours (docs/differences.md): when the step runs again."""


class ContainerdSection(Model, frozen=True, kw_only=True):
    """`containerd`."""

    system: bool | None = None
    user: bool | None = None
    archives: tuple[File, ...] | None = None


class Probe(Model, frozen=True, kw_only=True):
    """One entry of `probes`."""

    mode: str | None = None
    description: str | None = None
    script: str | None = None
    file: Locator | None = None
    hint: str | None = None


class PortForward(Model, frozen=True, kw_only=True):
    """One entry of `portForwards`."""

    guest_ip_must_be_zero: bool | None = msgspec.field(default=None, name="guestIPMustBeZero")
    guest_ip: IpAddress | None = msgspec.field(default=None, name="guestIP")
    guest_port: int | None = None
    guest_port_range: PortRange | None = None
    guest_socket: str | None = None
    host_ip: IpAddress | None = msgspec.field(default=None, name="hostIP")
    host_port: int | None = None
    host_port_range: PortRange | None = None
    host_socket: str | None = None
    proto: str | None = None
    reverse: bool | None = None
    ignore: bool | None = None
    static: bool | None = None


class CopyToHost(Model, frozen=True, kw_only=True):
    """One entry of `copyToHost`."""

    guest: str | None = None
    host: str | None = None
    skip_if_missing: bool | None = None
    delete_on_stop: bool | None = None


class Network(Model, frozen=True, kw_only=True):
    """One entry of `networks`."""

    lima: str | None = None
    socket: str | None = None
    vz_nat: bool | None = msgspec.field(default=None, name="vzNAT")
    mac_address: str | None = None
    interface: str | None = None
    metric: Uint32 | None = None


class HostResolver(Model, frozen=True, kw_only=True):
    """`hostResolver`."""

    enabled: bool | None = None
    ipv6: bool | None = None
    hosts: dict[str, str] | None = None


class CaCertsSection(Model, frozen=True, kw_only=True):
    """`caCerts`."""

    remove_defaults: bool | None = None
    files: tuple[str, ...] | None = None
    certs: tuple[str, ...] | None = None


class Rosetta(Model, frozen=True, kw_only=True):
    """`rosetta`, deprecated; also `vmOpts.vz.rosetta`."""

    enabled: bool | None = None
    binfmt: bool | None = None


class UserSection(Model, frozen=True, kw_only=True):
    """`user`."""

    name: str | None = None
    comment: str | None = None
    home: str | None = None
    shell: str | None = None
    uid: Uint32 | None = None
    passwordless_sudo: bool | None = None


class QemuSection(Model, frozen=True, kw_only=True):
    """`vmOpts.qemu`. `accelerator` is ours."""

    minimum_version: str | None = None
    cpu_type: dict[str, str] | None = None
    accelerator: str | None = None


class VzSection(Model, frozen=True, kw_only=True):
    """`vmOpts.vz`."""

    rosetta: Rosetta | None = None
    disk_image_format: str | None = None


class Template(Model, frozen=True, kw_only=True):
    """A template as it was written, or, from `defaults.complete`, with everything filled in.

    `vm_opts` and `os_opts` stay untyped, one entry a driver or system, until whoever knows that one reads them.
    """

    base: Annotated[tuple[Locator, ...], Meta(extra={Mark.SINGLE: True})] | None = None
    minimum_lima_version: str | None = None
    vm_type: str | None = None
    vm_opts: dict[str, Any] | None = None
    os: str | None = None
    arch: str | None = None
    images: tuple[Image, ...] | None = None
    cpu_type: dict[str, str] | None = None
    cpus: int | None = None
    memory: str | None = None
    disk: str | None = None
    additional_disks: tuple[Disk, ...] | None = None
    mounts: tuple[Mount, ...] | None = None
    mount_types_unsupported: tuple[str, ...] | None = None
    mount_type: str | None = None
    mount_inotify: bool | None = None
    ssh: SshSection | None = None
    firmware: FirmwareSection | None = None
    audio: AudioSection | None = None
    video: VideoSection | None = None
    provision: tuple[ProvisionStep, ...] | None = None
    upgrade_packages: bool | None = None
    containerd: ContainerdSection | None = None
    guest_install_prefix: str | None = None
    probes: tuple[Probe, ...] | None = None
    port_forwards: tuple[PortForward, ...] | None = None
    copy_to_host: tuple[CopyToHost, ...] | None = None
    message: str | None = None
    networks: tuple[Network, ...] | None = None
    env: dict[str, str] | None = None
    param: dict[str, str] | None = None
    dns: tuple[IpAddress, ...] | None = None
    host_resolver: HostResolver | None = None
    propagate_proxy_env: bool | None = None
    ca_certs: CaCertsSection | None = None
    rosetta: Rosetta | None = None
    plain: bool | None = None
    timezone: str | None = None
    nested_virtualization: bool | None = None
    user: UserSection | None = None
    tpm: bool | None = None
    os_opts: dict[str, Any] | None = None
    port_forward_defaults: bool | None = None
    """Ours: whether ports that no rule names are forwarded."""
