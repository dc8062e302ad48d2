"""Fills the gaps of a merged template: what upstream's defaults are, given the host. Source: reference, config §1, §5."""

import re
from collections.abc import Mapping
from typing import TypeVar

import msgspec

from lima.domain.host import HostFacts
from lima.domain.instance import quote
from lima.domain.machine import Arch, GuestOS, HostOS
from lima.domain.mounts import resolved_mounts
from lima.domain.networks import resolved_networks
from lima.domain.portforward import filled_forward
from lima.domain.sizes import format_size
from lima.domain.template import (
    AudioSection,
    CaCertsSection,
    ContainerdSection,
    CopyToHost,
    File,
    FirmwareSection,
    HostResolver,
    Image,
    PortForward,
    Probe,
    ProvisionStep,
    SshSection,
    Template,
    UserSection,
    VideoSection,
)
from lima.domain.values import Value
from lima.domain.variables import Expand, Expander, Naming, Variables, guest_variables, host_variables
from lima.domain.versions import at_least

T = TypeVar("T")
F = TypeVar("F", bound=File)

FALLBACK_USER = "lima"
FALLBACK_UID = 1000
DEFAULT_DISK = "100GiB"
MAX_DEFAULT_MEMORY = 4 * 1024**3
MAX_DEFAULT_CPUS = 4
OVER_VSOCK = "LIMA_SSH_OVER_VSOCK"

_NERDCTL = "https://github.com/containerd/nerdctl/releases/download/v2.3.5/nerdctl-full-2.3.5-linux-"
NERDCTL_ARCHIVES = (
    File(
        location=f"{_NERDCTL}amd64.tar.gz",
        arch=Arch.X86_64.value,
        digest="sha256:b697295c623639734aaab737523c808fd3cc8d3046039fd94fff1744e4c317aa",
    ),
    File(
        location=f"{_NERDCTL}arm64.tar.gz",
        arch=Arch.AARCH64.value,
        digest="sha256:6e4b687f1d138e750a3c8372abc0f81d3d7490b6359c48c0562fc7dfe98859b2",
    ),
)

_USERNAME = re.compile(r"[a-z_][a-z0-9_-]*")
_SHELLS: dict[str, str] = {GuestOS.DARWIN: "/bin/zsh", GuestOS.FREEBSD: "/bin/sh", GuestOS.WINDOWS: "cmd.exe"}
_BOOLEANS = dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True) | dict.fromkeys(
    ("0", "f", "F", "FALSE", "false", "False"), False
)


class Circumstances(Value):
    """What a template is filled for.

    `creating_version` is the content of `lima-version`: the tool's own for an instance that does not exist yet, None
    for an existing one without that file. `config_path`: of the lima.yaml, existing or not.
    """

    facts: HostFacts
    naming: Naming
    creating_version: str | None
    config_path: str


class Completion(Value):
    """`template` with its gaps filled."""

    template: Template
    warnings: tuple[str, ...] = ()


def complete(merged: Template, circumstances: Circumstances, *, engine: Expand) -> Completion:
    """`merged` comes from `merge`. `engine` is Go's template language, for what is beyond plain fields."""
    facts, naming = circumstances.facts, circumstances.naming
    expand = Expander(engine)
    guest_os = _chosen(merged.os, GuestOS.LINUX)
    arch = _chosen(merged.arch, facts.arch)
    user = _user(merged.user or UserSection(), guest_os, circumstances, expand)
    guest = guest_variables(naming, home=user.home or "", user=user.name or "", uid=user.uid or 0)
    host = host_variables(facts, naming)
    plain = _or(merged.plain, False)
    firmware = merged.firmware or FirmwareSection()
    video = merged.video or VideoSection()
    resolver = merged.host_resolver or HostResolver()
    networks, said = resolved_networks(
        merged.networks or (), machine_id=facts.machine_id, config_path=circumstances.config_path
    )
    expand.warnings += said
    ssh = _ssh(merged.ssh or SshSection(), facts, expand.warnings)
    template = msgspec.structs.replace(
        merged,
        vm_type=_or(merged.vm_type, default_vm_type(facts, arch)),
        os=guest_os,
        arch=arch,
        images=tuple(_image(image, arch) for image in merged.images or ()),
        cpus=merged.cpus or min(MAX_DEFAULT_CPUS, facts.cpus),
        memory=merged.memory or format_size(min(MAX_DEFAULT_MEMORY, facts.memory_bytes // 2)),
        disk=merged.disk or DEFAULT_DISK,
        mounts=() if plain else resolved_mounts(merged.mounts or (), facts, host=host, guest=guest, expand=expand),
        additional_disks=tuple(
            msgspec.structs.replace(disk, name=disk.name or "") for disk in merged.additional_disks or ()
        ),
        mount_inotify=_or(merged.mount_inotify, False),
        ssh=ssh,
        firmware=msgspec.structs.replace(
            firmware,
            legacy_bios=_or(firmware.legacy_bios, False),
            images=tuple(_file(image, arch) for image in firmware.images or ()),
        ),
        audio=_audio(merged.audio or AudioSection()),
        video=msgspec.structs.replace(video, display=video.display or "none"),
        provision=tuple(_step(step, guest_os, guest, expand) for step in merged.provision or ()),
        upgrade_packages=_or(merged.upgrade_packages, False),
        containerd=_containerd(merged.containerd or ContainerdSection(), guest_os, arch, plain=plain),
        guest_install_prefix=_or(merged.guest_install_prefix, "/usr/local"),
        probes=_probes(merged.probes or (), guest, expand),
        port_forwards=_forwards(merged.port_forwards or (), naming, host, guest, expand, plain=plain),
        copy_to_host=tuple(_copy(item, host, guest, expand) for item in merged.copy_to_host or ()),
        networks=networks,
        host_resolver=msgspec.structs.replace(
            resolver, enabled=_or(resolver.enabled, True), ipv6=_or(resolver.ipv6, False)
        ),
        propagate_proxy_env=_or(merged.propagate_proxy_env, True),
        ca_certs=_ca_certs(merged.ca_certs or CaCertsSection()),
        plain=plain,
        timezone="" if plain else _or(merged.timezone, facts.timezone),
        nested_virtualization=_or(merged.nested_virtualization, False),
        user=user,
        tpm=_or(merged.tpm, False),
    )
    return Completion(template=template, warnings=tuple(expand.warnings))


def default_vm_type(facts: HostFacts, arch: str) -> str:
    """`vz` on macOS for guests of the host's own architecture, else `qemu`."""
    return "vz" if facts.os == HostOS.DARWIN and arch == facts.arch else "qemu"


def _chosen(value: str | None, default: str) -> str:
    return str(default) if value in (None, "", "default") else str(value)


def _or(value: T | None, default: T) -> T:
    return default if value is None else value


def _image(image: Image, arch: str) -> Image:
    own_arch = image.arch or arch
    return msgspec.structs.replace(
        _file(image, own_arch),
        kernel=_file(image.kernel, own_arch) if image.kernel is not None else None,
        initrd=_file(image.initrd, own_arch) if image.initrd is not None else None,
    )


def _file(file: F, arch: str) -> F:
    return msgspec.structs.replace(
        file, location=file.location or "", arch=file.arch or arch, digest=file.digest or None
    )


def _ssh(ssh: SshSection, facts: HostFacts, warnings: list[str]) -> SshSection:
    over_vsock = ssh.over_vsock
    if setting := facts.env(OVER_VSOCK):
        warnings.append(
            f"The environment variable {OVER_VSOCK} is deprecated in favor of the YAML field .ssh.overVsock"
        )
        if setting in _BOOLEANS:
            over_vsock = _BOOLEANS[setting]
        else:
            warnings.append(f"invalid {OVER_VSOCK} value {quote(setting)}")
    return msgspec.structs.replace(
        ssh,
        local_port=_or(ssh.local_port, 0),
        load_dot_ssh_pub_keys=_or(ssh.load_dot_ssh_pub_keys, False),
        forward_agent=_or(ssh.forward_agent, False),
        forward_x11=_or(ssh.forward_x11, False),
        forward_x11_trusted=_or(ssh.forward_x11_trusted, False),
        over_vsock=over_vsock,
    )


def _audio(audio: AudioSection) -> AudioSection:
    return AudioSection(device=_or(audio.device, ""), interface=_or(audio.interface, ""))


def _ca_certs(certs: CaCertsSection) -> CaCertsSection:
    return msgspec.structs.replace(certs, remove_defaults=_or(certs.remove_defaults, False))


def _containerd(section: ContainerdSection, guest_os: str, arch: str, *, plain: bool) -> ContainerdSection:
    works = guest_os == GuestOS.LINUX and arch in (Arch.X86_64, Arch.AARCH64)
    return ContainerdSection(
        system=_or(section.system, False) and not plain,
        user=_or(section.user, works) and not plain,
        archives=tuple(_file(file, arch) for file in section.archives or NERDCTL_ARCHIVES),
    )


def _forwards(
    rules: tuple[PortForward, ...], naming: Naming, host: Variables, guest: Variables, expand: Expander, *, plain: bool
) -> tuple[PortForward, ...]:
    filled = (filled_forward(rule, directory=naming.directory, host=host, guest=guest, expand=expand) for rule in rules)
    return tuple(rule for rule in filled if rule.static or not plain)


def _copy(item: CopyToHost, host: Variables, guest: Variables, expand: Expander) -> CopyToHost:
    return CopyToHost(
        guest=expand(item.guest, guest, "guest") or None,
        host=expand(item.host, host, "host") or None,
        skip_if_missing=item.skip_if_missing or None,
        delete_on_stop=item.delete_on_stop or None,
    )


def _probes(probes: tuple[Probe, ...], guest: Variables, expand: Expander) -> tuple[Probe, ...]:
    return tuple(
        msgspec.structs.replace(
            probe,
            mode=probe.mode or "readiness",
            description=probe.description or f"user probe {index}/{len(probes)}",
            script=expand(probe.script, guest, "probing script"),
        )
        for index, probe in enumerate(probes, 1)
    )


# --- the user --------------------------------------------------------------------------------------------------------


def _user(user: UserSection, guest_os: str, circumstances: Circumstances, expand: Expander) -> UserSection:
    """Source: reference, config §5.4. A root host gets `lima`, uid 1000: our difference, upstream refuses root."""
    facts, version = circumstances.facts, circumstances.creating_version
    incomplete = None in (user.name, user.comment, user.home, user.uid)
    name, warning = _host_user_name(facts, version)
    if warning and incomplete:
        expand.warnings.append(warning)
    root = facts.is_root or facts.uid == 0
    filled = UserSection(
        name=_or(user.name, name),
        comment=_or(user.comment, FALLBACK_USER if root else facts.full_name),
        home=_or(user.home, _home_template(guest_os, version)),
        shell=_or(user.shell, _SHELLS.get(guest_os, "/bin/bash")),
        uid=_or(user.uid, FALLBACK_UID if root else facts.uid),
        passwordless_sudo=_or(user.passwordless_sudo, guest_os != GuestOS.DARWIN),
    )
    own = guest_variables(circumstances.naming, home=filled.home or "", user=filled.name or "", uid=filled.uid or 0)
    return msgspec.structs.replace(filled, home=expand(filled.home, own, "`user.home` value"))


def _host_user_name(facts: HostFacts, version: str | None) -> tuple[str, str]:
    """The guest user that follows from the host's, and a warning where it is another."""
    if facts.is_root or facts.user == "root":
        return FALLBACK_USER, ""
    if not _USERNAME.fullmatch(facts.user):
        return FALLBACK_USER, (
            f"local username {quote(facts.user)} is not a valid Linux username (must match `^{_USERNAME.pattern}$`);"
            f" using `{FALLBACK_USER}` instead"
        )
    if facts.user == "admin" and at_least(version, (1, 0, 0)):
        return FALLBACK_USER, f"local username `admin` is reserved; using `{FALLBACK_USER}` instead"
    return facts.user, ""


def _home_template(guest_os: str, version: str | None) -> str:
    if guest_os == GuestOS.DARWIN:
        return "/Users/{{.User}}.guest"
    return "/home/{{.User}}.guest" if at_least(version, (2, 1, 0)) else "/home/{{.User}}.linux"


# --- provisioning ----------------------------------------------------------------------------------------------------


def _step(step: ProvisionStep, guest_os: str, guest: Variables, expand: Expander) -> ProvisionStep:
    mode = step.mode or "system"
    changes: dict[str, object] = {"mode": mode, "script": expand(step.script, guest, "provisioning script")}
    if mode == "dependency":
        changes["skip_default_dependency_resolution"] = _or(step.skip_default_dependency_resolution, False)
    if mode == "data":
        changes["content"] = expand(step.content, guest, "data content")
        changes["overwrite"] = _or(step.overwrite, True)
    if mode == "yq":
        changes["format"] = _or(step.format, "auto")
        if step.expression is not None:
            changes["expression"] = expand(step.expression, guest, "expression")
    if mode in ("data", "yq"):
        changes |= _ownership(step, guest_os, guest, expand)
    return msgspec.structs.replace(step, **changes)


def _ownership(step: ProvisionStep, guest_os: str, guest: Variables, expand: Expander) -> Mapping[str, object]:
    group = "wheel" if guest_os in (GuestOS.DARWIN, GuestOS.FREEBSD) else "root"
    return {
        "owner": f"root:{group}" if step.owner is None else expand(step.owner, guest, "owner"),
        "permissions": _or(step.permissions, "644"),
        "path": None if step.path is None else expand(step.path, guest, "path"),
    }
