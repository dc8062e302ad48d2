"""Fills the gaps of a merged template: what upstream's defaults are, given the host. Source: reference, config §1, §5.

Fields that this version cannot honour yet are left alone, so that `validation.unsupported` sees what was asked for;
`containerd.user`, which upstream switches on by itself, is off.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from lima.domain.expansion import Outcome, Variables, expand
from lima.domain.host import HostFacts
from lima.domain.instance import hostname, quote
from lima.domain.machine import GuestOS
from lima.domain.sizes import format_size
from lima.domain.template import (
    AudioSection,
    CaCertsSection,
    ContainerdSection,
    File,
    FirmwareSection,
    HostResolver,
    Image,
    PortForward,
    ProvisionStep,
    SshSection,
    Template,
    UserSection,
    VideoSection,
)
from lima.domain.versions import at_least

T = TypeVar("T")
F = TypeVar("F", bound=File)

FALLBACK_USER = "lima"
FALLBACK_UID = 1000
DEFAULT_DISK = "100GiB"
MAX_DEFAULT_MEMORY = 4 * 1024**3
MAX_DEFAULT_CPUS = 4

_USERNAME = re.compile(r"[a-z_][a-z0-9_-]*")
_SHELLS: dict[str, str] = {GuestOS.DARWIN: "/bin/zsh", GuestOS.FREEBSD: "/bin/sh", GuestOS.WINDOWS: "cmd.exe"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What a template is filled for. `creating_version` is the content of `lima-version`: the tool's own for an
    instance that does not exist yet, None for an existing one without that file."""

    facts: HostFacts
    instance_name: str
    creating_version: str | None


@dataclass(slots=True)
class Completion:
    """`template` with its gaps filled. `beyond` holds the paths of texts that need more of Go's templates than this
    version has."""

    template: Template
    warnings: list[str] = field(default_factory=list)
    beyond: list[str] = field(default_factory=list)


def complete(merged: Template, *, params: dict[str, str], circumstances: Circumstances) -> Completion:
    """`params` are those of the template alone: the default and override files' reach no expansion."""
    facts = circumstances.facts
    result = Completion(template=merged)
    guest_os = _chosen(merged.os, GuestOS.LINUX)
    arch = _chosen(merged.arch, facts.arch)
    user = _user(merged.user or UserSection(), guest_os, params, circumstances, result)
    variables = _guest_variables(user, params, circumstances)
    plain = _or(merged.plain, False)
    containerd = merged.containerd or ContainerdSection()
    firmware = merged.firmware or FirmwareSection()
    video = merged.video or VideoSection()
    resolver = merged.host_resolver or HostResolver()
    result.template = msgspec.structs.replace(
        merged,
        vm_type=_or(merged.vm_type, "qemu"),
        os=guest_os,
        arch=arch,
        images=tuple(_image(image, arch) for image in merged.images or ()),
        cpus=merged.cpus or min(MAX_DEFAULT_CPUS, facts.cpus),
        memory=merged.memory or format_size(min(MAX_DEFAULT_MEMORY, facts.memory_bytes // 2)),
        disk=merged.disk or DEFAULT_DISK,
        mounts=None if plain else merged.mounts,
        mount_inotify=_or(merged.mount_inotify, False),
        ssh=_ssh(merged.ssh or SshSection()),
        firmware=msgspec.structs.replace(
            firmware,
            legacy_bios=_or(firmware.legacy_bios, False),
            images=tuple(_file(image, arch) for image in firmware.images or ()),
        ),
        audio=_audio(merged.audio or AudioSection()),
        video=msgspec.structs.replace(video, display=video.display or "none"),
        provision=tuple(
            _step(step, f"provision[{index}]", guest_os, variables, result)
            for index, step in enumerate(merged.provision or ())
        ),
        upgrade_packages=_or(merged.upgrade_packages, False),
        containerd=msgspec.structs.replace(
            containerd,
            system=_or(containerd.system, False) and not plain,
            user=_or(containerd.user, False) and not plain,
        ),
        guest_install_prefix=_or(merged.guest_install_prefix, "/usr/local"),
        port_forwards=_kept_forwards(merged, plain=plain),
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
    return result


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


def _ssh(ssh: SshSection) -> SshSection:
    return msgspec.structs.replace(
        ssh,
        local_port=_or(ssh.local_port, 0),
        load_dot_ssh_pub_keys=_or(ssh.load_dot_ssh_pub_keys, False),
        forward_agent=_or(ssh.forward_agent, False),
        forward_x11=_or(ssh.forward_x11, False),
        forward_x11_trusted=_or(ssh.forward_x11_trusted, False),
    )


def _audio(audio: AudioSection) -> AudioSection:
    return AudioSection(device=_or(audio.device, ""), interface=_or(audio.interface, ""))


def _ca_certs(certs: CaCertsSection) -> CaCertsSection:
    return msgspec.structs.replace(certs, remove_defaults=_or(certs.remove_defaults, False))


def _kept_forwards(merged: Template, *, plain: bool) -> tuple[PortForward, ...] | None:
    if merged.port_forwards is None or not plain:
        return merged.port_forwards
    return tuple(rule for rule in merged.port_forwards if rule.static)


# --- the user --------------------------------------------------------------------------------------------------------


def _user(
    user: UserSection, guest_os: str, params: dict[str, str], circumstances: Circumstances, result: Completion
) -> UserSection:
    """Source: reference, config §5.4. A root host gets `lima`, uid 1000: our difference, upstream refuses root."""
    facts, version = circumstances.facts, circumstances.creating_version
    incomplete = None in (user.name, user.comment, user.home, user.uid)
    name, warning = _host_user_name(facts, version)
    if warning and incomplete:
        result.warnings.append(warning)
    root = facts.is_root or facts.uid == 0
    filled = UserSection(
        name=_or(user.name, name),
        comment=_or(user.comment, FALLBACK_USER if root else facts.full_name),
        home=_or(user.home, _home_template(guest_os, version)),
        shell=_or(user.shell, _SHELLS.get(guest_os, "/bin/bash")),
        uid=_or(user.uid, FALLBACK_UID if root else facts.uid),
        passwordless_sudo=_or(user.passwordless_sudo, guest_os != GuestOS.DARWIN),
    )
    expanded = _expander(_guest_variables(filled, params, circumstances), result)
    home = expanded(filled.home, "user.home", "`user.home` value")
    return msgspec.structs.replace(filled, home=home)


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


# --- texts with variables --------------------------------------------------------------------------------------------


def _guest_variables(user: UserSection, params: dict[str, str], circumstances: Circumstances) -> Variables:
    name = circumstances.instance_name
    return {
        "Home": user.home or "",
        "User": user.name or "",
        "UID": str(user.uid),
        "Name": name,
        "Hostname": hostname(name),
        "Param": params,
    }


def _expander(variables: Variables, result: Completion) -> Callable[[str | None, str, str], str]:
    """A function that expands one field and notes what it could not: (text, path, what upstream calls it)."""

    def expanded(text: str | None, path: str, what: str) -> str:
        outcome = expand(text or "", variables)
        if outcome.outcome is Outcome.BROKEN:
            result.warnings.append(f"Couldn't process {what} {quote(text or '')} as a template")
        elif outcome.outcome is Outcome.BEYOND:
            result.beyond.append(path)
        return outcome.text

    return expanded


def _step(step: ProvisionStep, path: str, guest_os: str, variables: Variables, result: Completion) -> ProvisionStep:
    expanded = _expander(variables, result)
    mode = step.mode or "system"
    changes: dict[str, object] = {
        "mode": mode,
        "script": expanded(step.script, f"{path}.script", "provisioning script"),
    }
    if mode == "dependency":
        changes["skip_default_dependency_resolution"] = _or(step.skip_default_dependency_resolution, False)
    if mode == "data":
        changes["content"] = expanded(step.content, f"{path}.content", "data content")
        changes["overwrite"] = _or(step.overwrite, True)
    if mode == "yq":
        changes["format"] = _or(step.format, "auto")
        if step.expression is not None:
            changes["expression"] = expanded(step.expression, f"{path}.expression", "expression")
    if mode in ("data", "yq"):
        group = "wheel" if guest_os in (GuestOS.DARWIN, GuestOS.FREEBSD) else "root"
        owner = step.owner
        changes["owner"] = f"root:{group}" if owner is None else expanded(owner, f"{path}.owner", "owner")
        changes["permissions"] = _or(step.permissions, "644")
        if step.path is not None:
            changes["path"] = expanded(step.path, f"{path}.path", "path")
    return msgspec.structs.replace(step, **changes)
