"""The filled configuration of one instance: what `defaults.fill` makes of a template, with nothing left open."""

from enum import StrEnum

from lima.domain.image import FileRef, ImageRef
from lima.domain.machine import Arch, GuestOS
from lima.domain.mount_plan import MountPlan
from lima.domain.parameters import HOST_KEY_PARAM
from lima.domain.template import PortForward
from lima.domain.values import Value


class User(Value):
    """The guest user. Source: reference, config §5.4."""

    name: str
    uid: int
    comment: str
    home: str
    shell: str
    passwordless_sudo: bool = True


class Ssh(Value):
    """`ssh:`; `local_port` 0 means any free port."""

    local_port: int = 0
    load_dot_ssh_pub_keys: bool = False
    forward_agent: bool = False
    forward_x11: bool = False
    forward_x11_trusted: bool = False
    over_vsock: bool = False


class ProvisionMode(StrEnum):
    """`provision[].mode`."""

    SYSTEM = "system"
    USER = "user"
    BOOT = "boot"
    DATA = "data"
    DEPENDENCY = "dependency"
    YQ = "yq"
    ANSIBLE = "ansible"


class RunPolicy(StrEnum):
    """`provision[].runPolicy`: at every boot, until it has succeeded once, or when script or parameters changed."""

    ALWAYS = "always"
    ONCE = "once"
    ON_CHANGE = "on-change"


class Provision(Value):
    """One provision step.

    `path`, `owner`, `permissions` are for the modes `data` (with `content`, `overwrite`) and `yq` (with `expression`,
    `format`), `playbook`, a path of the host, for `ansible`.
    """

    mode: ProvisionMode
    policy: RunPolicy = RunPolicy.ALWAYS
    script: str = ""
    path: str = ""
    content: str = ""
    owner: str = "root:root"
    permissions: str = "644"
    overwrite: bool = True
    expression: str = ""
    format: str = "auto"
    playbook: str = ""
    skip_default_dependency_resolution: bool = False


class Probe(Value):
    """One entry of `probes`: a script that succeeds once the guest can be used. It begins with `#!`."""

    description: str
    script: str
    hint: str = ""


class CopyToHost(Value):
    """One entry of `copyToHost`: two absolute paths."""

    guest: str
    host: str
    skip_if_missing: bool = False
    delete_on_stop: bool = False


class HostResolver(Value):
    """`hostResolver:`; `hosts` are pairs of a name and an address or another name."""

    enabled: bool = True
    ipv6: bool = False
    hosts: tuple[tuple[str, str], ...] = ()


class CaCerts(Value):
    """`caCerts:`; `certs` are PEM texts, `files` host paths already read by whoever fills the seed."""

    remove_defaults: bool = False
    files: tuple[str, ...] = ()
    certs: tuple[str, ...] = ()


class AdditionalDisk(Value):
    """One entry of `additionalDisks`; `format`: an empty one gets a file system, `fs_type` (`ext4` where it is empty)
    made with `fs_args`."""

    name: str
    format: bool = True
    fs_type: str = ""
    fs_args: tuple[str, ...] = ()


class Containerd(Value):
    """`containerd`; `archives` are those for the guest's architecture. `is_asked`: somebody switched it on, which else
    is the default."""

    system: bool = False
    user: bool = False
    archives: tuple[FileRef, ...] = ()
    is_asked: bool = False

    @property
    def is_on(self) -> bool:
        """Whether the guest is to have containerd at all."""
        return self.system or self.user


class FirmwareImage(Value):
    """One entry of `firmware.images`."""

    location: str
    arch: str
    digest: str = ""
    vm_type: str = ""


class QemuOptions(Value):
    """`vmOpts.qemu`. `accelerator` is ours: it overrides the proven one (docs/differences.md); empty: the probe decides."""

    minimum_version: str = ""
    cpu_type: tuple[tuple[str, str], ...] = ()
    accelerator: str = ""


class InstanceConfig(Value):
    """Everything about an instance that follows from its template, the defaults and the host. Sizes in bytes."""

    os: GuestOS
    arch: Arch
    vm_type: str
    cpus: int
    memory_bytes: int
    disk_bytes: int
    images: tuple[ImageRef, ...]
    user: User
    ssh: Ssh = Ssh()
    containerd: Containerd = Containerd()
    additional_disks: tuple[AdditionalDisk, ...] = ()
    mounts: MountPlan = MountPlan()
    mount_inotify: bool = False
    legacy_bios: bool = False
    firmware_images: tuple[FirmwareImage, ...] = ()
    display: str = "none"
    vnc_display: str = "127.0.0.1:0,to=9"
    audio_device: str = ""
    timezone: str = ""
    plain: bool = False
    upgrade_packages: bool = False
    guest_install_prefix: str = "/usr/local"
    message: str = ""
    env: tuple[tuple[str, str], ...] = ()
    param: tuple[tuple[str, str], ...] = ()
    dns: tuple[str, ...] = ()
    host_resolver: HostResolver = HostResolver()
    propagate_proxy_env: bool = True
    provision: tuple[Provision, ...] = ()
    probes: tuple[Probe, ...] = ()
    copy_to_host: tuple[CopyToHost, ...] = ()
    port_forwards: tuple[PortForward, ...] = ()
    """Filled, in order."""
    port_forward_defaults: bool = True
    """Whether ports of the guest's loopback that no rule names are forwarded."""
    ca_certs: CaCerts = CaCerts()
    qemu: QemuOptions = QemuOptions()
    minimum_lima_version: str = ""

    @property
    def takes_host_key(self) -> bool:
        """Whether the guest can be given the host key that it is to present."""
        return self.os is GuestOS.LINUX and dict(self.param).get(HOST_KEY_PARAM) != "guest"
