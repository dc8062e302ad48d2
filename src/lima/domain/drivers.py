"""What each driver adds to a filled template, and what it demands of it. Source: reference, config §4.5 and §4.8.

This second pass runs where an instance is about to be made or started; listing needs only the first.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from lima.domain.completion import Circumstances
from lima.domain.decoding import Decoded, decode, path_text
from lima.domain.host_paths import PathState
from lima.domain.instance import quote
from lima.domain.machine import Arch, GuestOS, HostOS
from lima.domain.mount_plan import MountChoice, choose_mount_type
from lima.domain.mounts import DEFAULT_QUEUE_SIZE, mount_warnings
from lima.domain.problem import Problem, field_problem
from lima.domain.template import (
    QemuSection,
    Rosetta,
    SshSection,
    Template,
    UserSection,
    VideoSection,
    Virtiofs,
    VncSection,
    VzSection,
)
from lima.domain.validation import validation_warnings
from lima.domain.versions import semver_problem

DEFAULT_VNC = "127.0.0.1:0,to=9"
_WSL2_IMAGE = re.compile(r"\.(tar|tgz|txz|tbz2|tzst|tar\.(gz|xz|bz2|zstd|zst))$")
_DISK_IMAGE = re.compile(r"\.(img|qcow2|raw|iso|vmdk|vhdx)(\.\w+)?$")


class DriverPass:
    """The template as the driver runs it, and what it says about it."""

    def __init__(self, template: Template) -> None:
        self.template = template
        self.mount_choice: MountChoice | None = None
        self.problems: list[Problem] = []
        self.warnings: list[str] = []

    def put(self, **changes: object) -> None:
        """Replace fields of the template."""
        self.template = msgspec.structs.replace(self.template, **changes)

    def option(self, driver: str, section: msgspec.Struct) -> None:
        """Write a driver's own section back, as upstream without the keys that nobody knows."""
        known = {key: value for key, value in msgspec.to_builtins(section).items() if value is not None}
        self.put(vm_opts={**(self.template.vm_opts or {}), driver: known})


def driver_pass(
    filled: Template, circumstances: Circumstances, *, paths: Mapping[str, PathState] | None = None
) -> DriverPass:
    """`filled` comes from `completion.complete` and has been validated."""
    result = DriverPass(filled)
    configure = _DRIVERS.get(filled.vm_type or "")
    if configure is not None:
        configure(result, circumstances)
    _common_problems(result)
    host_os = circumstances.facts.os
    result.warnings += validation_warnings(filled)
    result.warnings += mount_warnings(result.template.mounts or (), host_os=host_os, paths=paths or {})
    result.warnings += _experimental(result.template, host_os)
    return result


def _common_problems(result: DriverPass) -> None:
    template = result.template
    name = {"vz": "VZ driver", "wsl2": "WSL2 driver"}.get(template.vm_type or "")
    if template.tpm and name:
        result.problems.append(field_problem("tpm", f"is not supported on {name}"))
    if template.vm_type in ("vz", "wsl2") and template.os == GuestOS.WINDOWS:
        result.problems.append(Problem(path="os", message="currently Windows guest OS is only supported on QEMU"))


def _experimental(template: Template, host_os: HostOS) -> Iterator[str]:
    audio, user = template.audio, template.user or UserSection()
    display = (template.video.display if template.video else "") or ""
    if template.os == GuestOS.WINDOWS:
        yield "`os: Windows` is experimental"
    if template.mount_type == "virtiofs" and host_os == HostOS.LINUX:
        yield "`mountType: virtiofs` on Linux is experimental"
    if template.arch in (Arch.RISCV64, Arch.ARMV7L, Arch.S390X, Arch.PPC64LE):
        yield f"`arch: {template.arch} ` is experimental"
    if "vnc" in display:
        yield f"`video.display: {display}` is experimental"
    if audio is not None and audio.device:
        yield "`audio.device` is experimental"
    if audio is not None and audio.interface:
        yield "`audio.interface` is experimental"
    if template.mount_inotify:
        yield "`mountInotify` is experimental"
    if user.passwordless_sudo is False and template.os != GuestOS.DARWIN:
        yield "`user.passwordlessSudo: false` is experimental"
        if template.param:
            yield (
                "`param` still relies on sudo internally, it may not work as expected when"
                " `user.passwordlessSudo: false` is set"
            )


def _noted(result: DriverPass, driver: str, decoded: Decoded[Any]) -> None:
    """Misfits and unknown keys of a driver's own section."""
    result.warnings += [f"vmOpts.{driver}: {key}" for key in decoded.unknown]
    for misfit in decoded.misfits:
        path = path_text(("vmOpts", driver, *misfit.path))
        result.problems.append(
            Problem(path=path, message=f"failed to unmarshal YAML (vmOpts.{driver}): {misfit.message}")
        )


# --- QEMU ------------------------------------------------------------------------------------------------------------


def qemu_options(template: Template) -> Decoded[QemuSection]:
    """`vmOpts.qemu`."""
    return decode((template.vm_opts or {}).get("qemu"), QemuSection)


def _qemu(result: DriverPass, circumstances: Circumstances) -> None:
    template, host_os = result.template, circumstances.facts.os
    decoded = qemu_options(template)
    _noted(result, "qemu", decoded)
    section = decoded.value
    if section is not None:
        _qemu_version(section, result)
        _migrate_cpu_type(section, result)
    choice = choose_mount_type(template, creating_version=circumstances.creating_version, facts=circumstances.facts)
    mount_type, result.mount_choice = choice.type, choice
    result.problems += _qemu_mount_problems(mount_type, template, host_os)
    video = template.video or VideoSection()
    vnc = (video.vnc.display if video.vnc else None) or DEFAULT_VNC
    result.put(mount_type=mount_type, video=msgspec.structs.replace(video, vnc=VncSection(display=vnc)))
    if mount_type == "virtiofs":
        result.put(
            mounts=tuple(
                msgspec.structs.replace(
                    mount,
                    virtiofs=_with_queue_size(mount.virtiofs or Virtiofs()),
                )
                for mount in template.mounts or ()
            )
        )
    for index, network in enumerate(template.networks or ()):
        if network.vz_nat is not None:
            result.warnings.append(f"vmType qemu: ignoring networks[{index}]: [VZNAT]")


def _with_queue_size(section: Virtiofs) -> Virtiofs:
    return section if section.queue_size is not None else Virtiofs(queue_size=DEFAULT_QUEUE_SIZE)


def _qemu_version(section: QemuSection, result: DriverPass) -> None:
    minimum = section.minimum_version
    if minimum is not None and (problem := semver_problem(minimum)):
        path = "vmOpts.qemu.minimumVersion"
        result.problems.append(field_problem(path, f"must be a semvar value, got {quote(minimum)}: {problem}"))


def _migrate_cpu_type(section: QemuSection, result: DriverPass) -> None:
    older = {arch: cpu for arch, cpu in (result.template.cpu_type or {}).items() if cpu}
    if result.template.cpu_type:
        result.put(cpu_type=None)
    if not older:
        return
    result.warnings.append(
        "The top-level `cpuType` field is deprecated and will be removed in a future release."
        " Please migrate to `vmOpts.qemu.cpuType`."
    )
    cpu_types = dict(section.cpu_type or {})
    for arch, cpu in older.items():
        current = cpu_types.get(arch) or cpu
        cpu_types[arch] = current
        if current != cpu:
            result.warnings.append(
                f"Conflicting cpuType for arch {quote(arch)}: top-level={quote(cpu)}, vmOpts.qemu={quote(current)};"
                " using vmOpts.qemu value"
            )
    result.option("qemu", msgspec.structs.replace(section, cpu_type=cpu_types))


def _qemu_mount_problems(mount_type: str, template: Template, host_os: HostOS) -> Iterator[Problem]:
    allowed, phrase = {
        HostOS.LINUX: (
            ("reverse-sshfs", "9p", "virtiofs"),
            "one of [reverse-sshfs 9p virtiofs] for QEMU driver on Linux",
        ),
        HostOS.WINDOWS: (("reverse-sshfs",), "`reverse-sshfs` for QEMU driver on Windows"),
        HostOS.DARWIN: (("reverse-sshfs", "9p"), "`reverse-sshfs` or `9p` for QEMU driver on macOS"),
    }[host_os]
    if mount_type not in allowed:
        yield field_problem("mountType", f"must be {phrase}, got {quote(mount_type)}")
    if mount_type in (template.mount_types_unsupported or ()):
        yield Problem(path="mountType", message=f"mount type {quote(mount_type)} is explicitly unsupported")


# --- VZ and WSL2 -----------------------------------------------------------------------------------------------------


def _vz(result: DriverPass, circumstances: Circumstances) -> None:
    template = result.template
    _native_only(result, circumstances)
    if template.mount_type == "9p":
        result.problems.append(
            field_problem("mountType", "must be `reverse-sshfs` or `virtiofs` for VZ driver , got `9p`")
        )
    if any(image.arch == template.arch and image.vm_type in (None, "", "vz") for image in _firmware(template)):
        result.problems.append(
            Problem(
                path="firmware.images",
                message="`firmware.images` configuration is not supported for VZ driver",
            )
        )
    ssh = template.ssh or SshSection()
    over_vsock = template.os == GuestOS.LINUX if ssh.over_vsock is None else ssh.over_vsock
    result.put(
        mount_type=template.mount_type or "virtiofs",
        ssh=msgspec.structs.replace(ssh, over_vsock=over_vsock),
    )
    _vz_options(result)


def _firmware(template: Template) -> tuple[Any, ...]:
    return (template.firmware.images if template.firmware else None) or ()


def _vz_options(result: DriverPass) -> None:
    template = result.template
    decoded = decode((template.vm_opts or {}).get("vz"), VzSection)
    _noted(result, "vz", decoded)
    section = decoded.value
    if section is None:
        return
    rosetta = section.rosetta or Rosetta()
    if rosetta.enabled is None and rosetta.binfmt is None:
        rosetta = template.rosetta or rosetta  # the older place of the same setting
    image_format = section.disk_image_format or "raw"
    if image_format not in ("raw", "asif"):
        result.problems.append(
            field_problem("vmOpts.vz.diskImageFormat", f"must be `raw` or `asif`, got {quote(image_format)}")
        )
    filled = Rosetta(enabled=bool(rosetta.enabled), binfmt=bool(rosetta.binfmt))
    result.option("vz", VzSection(rosetta=filled, disk_image_format=image_format))


def _wsl2(result: DriverPass, circumstances: Circumstances) -> None:
    template = result.template
    _native_only(result, circumstances)
    if template.mount_type not in (None, "wsl2"):
        result.problems.append(
            field_problem("mountType", f"must be `wsl2` for WSL2 driver, got {quote(template.mount_type)}")
        )
    for index, image in enumerate(template.images or ()):
        location = image.location or ""
        if image.arch == template.arch and not _WSL2_IMAGE.search(location):
            kind = "a VM disk image" if _DISK_IMAGE.search(location) else "not a tar archive"
            message = f'unsupported image type for wsl2: "{location}". It is {kind}; give a root file system as .tar.gz'
            result.problems.append(Problem(path=f"images[{index}].location", message=message))
    result.put(mount_type=template.mount_type or "wsl2")


def _native_only(result: DriverPass, circumstances: Circumstances) -> None:
    if result.template.arch != circumstances.facts.arch:
        result.problems.append(Problem(path="arch", message=f"unsupported arch: {quote(result.template.arch or '')}"))


_DRIVERS: dict[str, Callable[[DriverPass, Circumstances], None]] = {"qemu": _qemu, "vz": _vz, "wsl2": _wsl2}
