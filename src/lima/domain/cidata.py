"""The seed: files that a guest reads at boot, rendered from values. Source: reference, runtime §6.

One seed serves cloud-init, our own first-boot unit and the tiny guest. YAML is written as JSON: every JSON text is
YAML, and no value, however hostile, can leave its quotes.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from lima.domain.config import InstanceConfig, Provision, ProvisionMode, RunPolicy
from lima.domain.disks import device_name
from lima.domain.errors import TemplateInvalidError
from lima.domain.hostnames import NameServerPorts
from lima.domain.instance import FileName, hostname
from lima.domain.machine_spec import AGENT_PORT_NAME
from lima.domain.mount_devices import fstab, fstab_line
from lima.domain.shellwords import quote_word

GATEWAY = "192.168.5.2"
SLIRP_DNS = "192.168.5.3"
GUEST_IP = "192.168.5.15"
MOUNT_POINT = "/mnt/lima-cidata"
GUEST_AGENT = "lima-guestagent"
MOUNTS_FILE = "mounts.fstab"
"""Ours, in the format of fstab(5): all that the guest is to mount by itself."""
PER_BOOT_SCRIPT = "/var/lib/cloud/scripts/per-boot/00-lima.boot.sh"
PER_BOOT = f"""\
#!/bin/sh
# Mounts the seed and hands over to its boot.sh, at every boot.
set -eu
mkdir -p -m 0700 {MOUNT_POINT}
if ! grep -q ' {MOUNT_POINT} ' /proc/mounts; then
\tmount -o ro,mode=0700,dmode=0700,overriderockperm,exec,uid=0 /dev/disk/by-label/cidata {MOUNT_POINT}
fi
export LIMA_CIDATA_MNT={MOUNT_POINT}
exec {MOUNT_POINT}/boot.sh
"""

BOOT_STEP = r"""# One step of mode `boot`, named $0: runs $1 and tells the host how it ended, where a host listens.
read -r began _ </proc/uptime
sh -c "$1"
code=$? state=ok
[ "$code" -eq 0 ] || state=failed
read -r now _ </proc/uptime
read -r boot </proc/sys/kernel/random/boot_id
port=/dev/virtio-ports/io.lima-vm.progress.0
line="{\"stage\":\"provision\",\"state\":\"$state\",\"name\":\"$0\",\"boot\":\"$boot\",\"code\":$code,\"seconds\":$((${now%.*} - ${began%.*}))}"
[ ! -c "$port" ] || timeout 1 sh -c 'printf "%s\n" "$1" >"$2"' sh "$line" "$port"
exit "$code"
"""
"""The seed is not mounted yet when these steps run: no program of ours is there to report them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedFile:
    """One file of the volume. `path` is relative, with `/`. `source`: a file of this host whose bytes are the content,
    instead of `content`."""

    path: str
    content: bytes = b""
    mode: int = 0o644
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seed:
    """All files. `instance_id` is a hash of what is in them, so that a second boot does not repeat the first."""

    instance_id: str
    files: tuple[SeedFile, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HostKeyPair:
    """An ed25519 host key: OpenSSH's private format, and `ssh-ed25519 AAAA…`."""

    private: str
    public: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedRequest:
    """What a seed is made of.

    `proxies` are pairs for the guest's environment; `nerdctl_archive` is the absolute path of a file and `guest_agent`
    an executable's content, both empty where there is none to give. `name_server`: where the host agent answers
    questions for addresses, None where it does not. `host_home_mount_point`: where the guest has the home directory of the
    host's user, empty where it has not.
    """

    name: str
    config: InstanceConfig
    mac_address: str
    authorized_keys: tuple[str, ...]
    host_key: HostKeyPair | None
    lima_version: str
    proxies: tuple[tuple[str, str], ...] = ()
    nerdctl_archive: str = ""
    guest_agent: bytes = b""
    name_server: NameServerPorts | None = None
    host_home_mount_point: str = ""
    debug: bool = False


def render_seed(request: SeedRequest, boot_scripts: Mapping[str, bytes]) -> Seed:
    """The seed. `boot_scripts`: path on the volume → content. Raises: TemplateInvalidError (a value that would break
    a line)."""
    # the ports of the name server are others at each start, and read at each boot: no reason to repeat the first one
    draft = _files(replace(request, name_server=None), boot_scripts, instance_id="")
    digest = hashlib.sha256()
    for file in draft:
        digest.update(f"{file.path} {file.mode:o} {len(file.content)}\n".encode() + file.content)
    instance_id = f"iid-{digest.hexdigest()[:16]}"
    return Seed(instance_id=instance_id, files=tuple(_files(request, boot_scripts, instance_id=instance_id)))


def render_cloud_config(request: SeedRequest) -> str:
    """`cloud-config.yaml`: what a person may want to see. No private key, no scripts."""
    shown = {key: value for key, value in _user_data(request).items() if key not in ("write_files", "ssh_keys")}
    return _cloud_config(shown)


def _files(request: SeedRequest, boot_scripts: Mapping[str, bytes], *, instance_id: str) -> list[SeedFile]:
    config = request.config
    environment = sorted({**dict(config.env), **dict(request.proxies)}.items())
    text = {
        "meta-data": _json({"instance-id": instance_id, "local-hostname": hostname(request.name)}),
        "user-data": _cloud_config(_user_data(request)),
        "network-config": _json(_network_config(request)),
        "lima.env": _lines(_lima_env(request, instance_id)),
        "param.env": _lines((f"PARAM_{key}", value) for key, value in sorted(config.param)),
        "etc_environment": "#LIMA-START\n" + _lines(environment) + "#LIMA-END\n",
        MOUNTS_FILE: "".join(map(fstab_line, fstab(config.mounts))),
        "ssh_authorized_keys": "".join(f"{key}\n" for key in request.authorized_keys),
    }
    files = [SeedFile(path=path, content=content.encode()) for path, content in text.items()]
    if request.host_key is not None:
        private = request.host_key.private.encode()
        files.append(SeedFile(path="ssh_host_ed25519_key", content=private, mode=0o600))
    files += [
        SeedFile(path=path, content=content, mode=0o755 if path.endswith(".sh") or "util/" in path else 0o644)
        for path, content in sorted(boot_scripts.items())
    ]
    if _has_agent(request):
        files.append(SeedFile(path=GUEST_AGENT, content=request.guest_agent, mode=0o755))
    for index, step in enumerate(config.provision):
        files += _provision(index, step)
    if request.nerdctl_archive:
        # a quarter of a gigabyte: its bytes are no part of the seed's identity
        files.append(SeedFile(path=FileName.NERDCTL, source=request.nerdctl_archive))
    return files


def _has_agent(request: SeedRequest) -> bool:
    return bool(request.guest_agent) and not request.config.plain


def _provision(index: int, step: Provision) -> list[SeedFile]:
    if step.mode in (ProvisionMode.BOOT, ProvisionMode.ANSIBLE):
        return []
    folder = f"provision.{step.mode}"
    contents = {ProvisionMode.DATA: step.content, ProvisionMode.YQ: step.expression}
    content = contents.get(step.mode, step.script)
    return [SeedFile(path=f"{folder}/{index:08d}", content=content.encode(), mode=0o755)]


def _user_data(request: SeedRequest) -> dict[str, Any]:
    config = request.config
    user = config.user
    sudo = "ALL=(ALL) NOPASSWD:ALL" if user.passwordless_sudo else "ALL=(ALL) ALL"
    data: dict[str, Any] = {"growpart": {"mode": "auto", "devices": ["/"]}}
    if config.upgrade_packages:
        data |= {"package_update": True, "package_upgrade": True, "package_reboot_if_required": True}
    # cloud-init writes these into fstab as they are; `05-lima-mounts.sh` mounts those that would not survive it
    if plain := [list(entry) for entry in fstab(config.mounts) if fstab_line(entry) == "\t".join(entry) + "\n"]:
        data["mounts"] = plain
    if config.timezone:
        data["timezone"] = config.timezone
    data["users"] = [
        {
            "name": user.name,
            "uid": user.uid,
            "gecos": "".join(c for c in user.comment if c.isprintable() and c not in ":,"),
            "homedir": user.home,
            "shell": user.shell,
            "sudo": sudo,
            "lock_passwd": user.passwordless_sudo,
            "ssh_authorized_keys": list(request.authorized_keys),
        }
    ]
    if request.host_key is not None:
        data["ssh_deletekeys"] = True
        data["ssh_keys"] = {
            "ed25519_private": request.host_key.private,
            "ed25519_public": request.host_key.public,
        }
    data["write_files"] = [{"path": PER_BOOT_SCRIPT, "owner": "root:root", "permissions": "0755", "content": PER_BOOT}]
    if config.dns:
        data |= {"manage_resolv_conf": True, "resolv_conf": {"nameservers": list(config.dns)}}
    if config.ca_certs.remove_defaults or config.ca_certs.certs:
        data["ca_certs"] = {"remove_defaults": config.ca_certs.remove_defaults, "trusted": list(config.ca_certs.certs)}
    # the parameters come with the script, for the same reason
    exports = "".join(f"export PARAM_{key}={quote_word(value)}\n" for key, value in sorted(config.param))
    commands = [
        ["sh", "-c", BOOT_STEP, f"boot/{index:08d}", exports + step.script]
        for index, step in enumerate(config.provision)
        if step.mode is ProvisionMode.BOOT
    ]
    if commands:
        data["bootcmd"] = commands
    return data


def _network_config(request: SeedRequest) -> dict[str, Any]:
    interface: dict[str, Any] = {
        "match": {"macaddress": request.mac_address},
        "dhcp4": True,
        "set-name": "eth0",
        "dhcp-identifier": "mac",
    }
    if request.config.dns:
        interface["nameservers"] = {"addresses": list(request.config.dns)}
    return {"version": 2, "ethernets": {"eth0": interface}}


def _lima_env(request: SeedRequest, instance_id: str) -> list[tuple[str, str]]:
    config, ports = request.config, request.name_server
    user = config.user
    values = [
        ("DEBUG", "true" if request.debug else "false"),
        ("IID", instance_id),
        ("NAME", request.name),
        ("USER", user.name),
        ("UID", str(user.uid)),
        ("COMMENT", user.comment),
        ("HOME", user.home),
        ("SHELL", user.shell),
        ("HOSTHOME_MOUNTPOINT", request.host_home_mount_point),
        ("MOUNTS", str(len(config.mounts.mounts))),
        *((f"MOUNTS_{index}_MOUNTPOINT", mount.mount_point) for index, mount in enumerate(config.mounts.mounts)),
        ("MOUNTTYPE", config.mounts.type),
        *_disks(config),
        ("GUEST_INSTALL_PREFIX", config.guest_install_prefix),
        ("UPGRADE_PACKAGES", "1" if config.upgrade_packages else ""),
        *_containerd(request),
        ("SLIRP_DNS", SLIRP_DNS),
        ("SLIRP_GATEWAY", GATEWAY),
        ("SLIRP_IP_ADDRESS", GUEST_IP),
        ("UDP_DNS_LOCAL_PORT", str(ports.udp if ports else 0)),
        ("TCP_DNS_LOCAL_PORT", str(ports.tcp if ports else 0)),
        ("ROSETTA_ENABLED", "false"),
        ("ROSETTA_BINFMT", "false"),
        ("SKIP_DEFAULT_DEPENDENCY_RESOLUTION", "1" if _skips_dependencies(config) else ""),
        ("VMTYPE", config.vm_type),
        ("VSOCK_PORT", "0"),
        ("VIRTIO_PORT", AGENT_PORT_NAME if config.vm_type == "qemu" and _has_agent(request) else ""),
        ("PLAIN", "1" if config.plain else ""),
        ("NO_CLOUD_INIT", ""),
        ("PASSWORDLESS_SUDO", "1" if user.passwordless_sudo else ""),
    ]
    for index, step in enumerate(config.provision):
        values += _step_variables(index, step)
    return [(f"LIMA_CIDATA_{key}", value) for key, value in values]


def _containerd(request: SeedRequest) -> list[tuple[str, str]]:
    """Without the archive a guest installs what its distribution has, which takes minutes: only where somebody asked."""
    wanted, archive = request.config.containerd, request.nerdctl_archive
    is_on = bool(archive) or wanted.is_asked
    values = [
        ("CONTAINERD_USER", "1" if wanted.user and is_on else ""),
        ("CONTAINERD_SYSTEM", "1" if wanted.system and is_on else ""),
    ]
    return [*values, ("CONTAINERD_ARCHIVE", FileName.NERDCTL)] if archive else values


def _disks(config: InstanceConfig) -> list[tuple[str, str]]:
    values = [("DISKS", str(len(config.additional_disks)))]
    for index, disk in enumerate(config.additional_disks):
        prefix = f"DISK_{index}"
        values += [
            (f"{prefix}_NAME", disk.name),
            (f"{prefix}_DEVICE", device_name(index)),
            (f"{prefix}_FORMAT", "true" if disk.format else "false"),
            (f"{prefix}_FSTYPE", disk.fs_type),
            (f"{prefix}_FSARGS", " ".join(disk.fs_args)),
        ]
    return values


def _step_variables(index: int, step: Provision) -> list[tuple[str, str]]:
    values = []
    if step.mode is ProvisionMode.DATA:
        prefix, first = f"DATAFILE_{index:08d}", ("OVERWRITE", "true" if step.overwrite else "false")
    else:
        prefix, first = f"YQ_PROVISION_{index:08d}", ("FORMAT", step.format)
    if step.mode in (ProvisionMode.DATA, ProvisionMode.YQ):
        fields = (first, ("OWNER", step.owner), ("PATH", step.path), ("PERMISSIONS", step.permissions))
        values += [(f"{prefix}_{key}", value) for key, value in fields]
    if step.policy is not RunPolicy.ALWAYS:
        values.append((f"PROVISION_{index:08d}_POLICY", str(step.policy)))
    return values


def _skips_dependencies(config: InstanceConfig) -> bool:
    return any(step.skip_default_dependency_resolution for step in config.provision)


def _lines(pairs: Any) -> str:
    lines = []
    for key, value in pairs:
        if any(c in f"{key}{value}" for c in "\n\r\0"):
            raise TemplateInvalidError((f"{key}: must not contain a line break",))
        lines.append(f"{key}={value}\n")
    return "".join(lines)


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def _cloud_config(data: Mapping[str, Any]) -> str:
    return "#cloud-config\n" + _json(data)
