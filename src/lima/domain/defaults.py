"""From a template, the user's default and override files and the host to the configuration of one instance."""

import hashlib
from dataclasses import dataclass

from lima._version import __version__
from lima.domain.completion import Circumstances, complete
from lima.domain.config import (
    CaCerts,
    FirmwareImage,
    InstanceConfig,
    Provision,
    ProvisionMode,
    QemuOptions,
    Ssh,
    User,
)
from lima.domain.decoding import decode, path_text
from lima.domain.errors import TemplateInvalidError
from lima.domain.host import HostFacts
from lima.domain.image import FileRef, ImageRef
from lima.domain.locator import BOOTSTRAP, absolute_path
from lima.domain.machine import Arch, GuestOS
from lima.domain.merge import merge
from lima.domain.sizes import parse_size
from lima.domain.template import (
    AudioSection,
    CaCertsSection,
    File,
    FirmwareSection,
    Image,
    ProvisionStep,
    QemuSection,
    SshSection,
    Template,
    UserSection,
    VideoSection,
)
from lima.domain.validation import (
    Problem,
    guest_user_problems,
    unsupported,
    unused_parameters,
    validate,
)
from lima.domain.versions import minimum_version_problem

_DEFAULT_VNC = "127.0.0.1:0,to=9"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """What became of a template. `template` has everything filled in, as `list` and `info` show it; `config` is None
    where there are problems. `unsupported` stands in the way of a new instance only."""

    template: Template
    config: InstanceConfig | None
    problems: tuple[Problem, ...] = ()
    unsupported: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = ()

    def for_creation(self) -> InstanceConfig:
        """Raises: TemplateInvalidError for all that keeps a new instance from being what the template says."""
        refused = {problem.path for problem in self.unsupported}
        found = [*self.unsupported, *(problem for problem in self.problems if problem.path not in refused)]
        return self._config(tuple(str(problem) for problem in found))

    def for_start(self) -> InstanceConfig:
        """For an instance that exists: `unsupported` is for the caller to warn about. Raises: TemplateInvalidError."""
        return self._config(tuple(str(problem) for problem in self.problems))

    def _config(self, problems: tuple[str, ...]) -> InstanceConfig:
        if problems or self.config is None:
            raise TemplateInvalidError(problems, hint="correct these fields, or remove them for their defaults")
        return self.config


def fill(
    template: Template,
    *,
    default: Template | None,
    override: Template | None,
    facts: HostFacts,
    instance_name: str,
    creating_version: str | None,
    instance_dir: str,
) -> InstanceConfig:
    """The configuration of an instance that exists or is about to. Raises: TemplateInvalidError, all problems at once.

    Whoever creates asks `resolve(…).for_creation()`, which is stricter.
    """
    return resolve(
        template,
        default=default,
        override=override,
        facts=facts,
        instance_name=instance_name,
        creating_version=creating_version,
        instance_dir=instance_dir,
    ).for_start()


def resolve(
    template: Template,
    *,
    default: Template | None,
    override: Template | None,
    facts: HostFacts,
    instance_name: str,
    creating_version: str | None,
    instance_dir: str,  # noqa: ARG001  host templates (mounts, sockets) will ask for it
    tool_version: str = __version__,
) -> Resolution:
    """Merge, fill, expand and check.

    Args:
        default: `LIMA_HOME/_config/default.yaml`; `override` likewise.
        creating_version: the content of `lima-version`; the tool's own version for an instance that does not exist
            yet; None for an existing one without that file (it is older than the file).
        instance_dir: absolute, existing or not.
        tool_version: what `minimumLimaVersion` is compared with.
    """
    circumstances = Circumstances(facts=facts, instance_name=instance_name, creating_version=creating_version)
    merged = merge(template, default=default, override=override)
    completion = complete(merged, params=template.param or {}, circumstances=circumstances)
    filled = completion.template
    options, option_problems, option_warnings = _qemu_options(filled)
    problems = (
        *unused_parameters(template),
        *validate(filled, tool_version=tool_version),
        *guest_user_problems(filled),
        *option_problems,
    )
    beyond = (
        Problem(path=path, message="template functions and conditions are not supported by this version yet")
        for path in completion.beyond
    )
    return Resolution(
        template=filled,
        config=None if problems else _config(filled, options, facts),
        problems=problems,
        unsupported=(*unsupported(filled), *beyond),
        warnings=(*completion.warnings, *option_warnings, *_script_warnings(filled)),
    )


def mac_address(machine_id: str, unique_id: str) -> str:
    """The hardware address of one network card: stable for a host and a `unique_id` (the instance directory for the
    first card). Source: reference, runtime §0.5."""
    tail = hashlib.sha256((machine_id + unique_id).encode()).digest()[:3]
    return ":".join(f"{byte:02x}" for byte in b"\x52\x55\x55" + tail)


def _script_warnings(filled: Template) -> tuple[str, ...]:
    if any("LIMA_CIDATA" in (step.script or "") for step in filled.provision or ()):
        return ("provisioning scripts should not reference the LIMA_CIDATA variables",)
    return ()


def _qemu_options(filled: Template) -> tuple[QemuOptions, tuple[Problem, ...], tuple[str, ...]]:
    """`vmOpts.qemu` and the older `cpuType`. Source: reference, config §4.8."""
    decoded = decode((filled.vm_opts or {}).get("qemu"), QemuSection)
    warnings = [f"vmOpts.qemu: {key}" for key in decoded.unknown]
    problems = [
        Problem(path=path_text(("vmOpts", "qemu", *misfit.path)), message=misfit.message) for misfit in decoded.misfits
    ]
    section = decoded.value or QemuSection()
    if section.minimum_version and (problem := minimum_version_problem(section.minimum_version)):
        path = "vmOpts.qemu.minimumVersion"
        message = f"field `{path}` must be a semvar value, got `{section.minimum_version}`: {problem}"
        problems.append(Problem(path=path, message=message))
    cpu_types = {arch: cpu for arch, cpu in (section.cpu_type or {}).items() if cpu}
    older = {arch: cpu for arch, cpu in (filled.cpu_type or {}).items() if cpu}
    if older:
        warnings.append(
            "The top-level `cpuType` field is deprecated and will be removed in a future release."
            " Please migrate to `vmOpts.qemu.cpuType`."
        )
    for arch, cpu in older.items():
        if cpu_types.setdefault(arch, cpu) != cpu:
            warnings.append(
                f"Conflicting cpuType for arch `{arch}`: top-level=`{cpu}`, vmOpts.qemu=`{cpu_types[arch]}`;"
                " using vmOpts.qemu value"
            )
    options = QemuOptions(
        minimum_version=section.minimum_version or "",
        cpu_type=tuple(sorted(cpu_types.items())),
        accelerator=section.accelerator or "",
    )
    return options, tuple(problems), tuple(warnings)


# --- the filled template as a configuration --------------------------------------------------------------------------


def _config(filled: Template, options: QemuOptions, facts: HostFacts) -> InstanceConfig:
    """`filled` has been validated."""
    firmware = filled.firmware or FirmwareSection()
    video = filled.video or VideoSection()
    certs = filled.ca_certs or CaCertsSection()
    return InstanceConfig(
        os=GuestOS(filled.os or ""),
        arch=Arch(filled.arch or ""),
        vm_type=filled.vm_type or "",
        cpus=filled.cpus or 1,
        memory_bytes=parse_size(filled.memory or ""),
        disk_bytes=parse_size(filled.disk or ""),
        images=_chosen_images(filled, facts),
        user=_user(filled.user or UserSection()),
        ssh=_ssh(filled.ssh or SshSection()),
        legacy_bios=bool(firmware.legacy_bios),
        firmware_images=tuple(
            FirmwareImage(
                location=_location(image, facts),
                arch=image.arch or "",
                digest=image.digest or "",
                vm_type=image.vm_type or "",
            )
            for image in firmware.images or ()
        ),
        display=video.display or "none",
        vnc_display=(video.vnc.display if video.vnc else None) or _DEFAULT_VNC,
        audio_device=(filled.audio or AudioSection()).device or "",
        timezone=filled.timezone or "",
        plain=bool(filled.plain),
        upgrade_packages=bool(filled.upgrade_packages),
        guest_install_prefix=filled.guest_install_prefix or "",
        message=filled.message or "",
        env=tuple((filled.env or {}).items()),
        param=tuple((filled.param or {}).items()),
        dns=filled.dns or (),
        propagate_proxy_env=bool(filled.propagate_proxy_env),
        provision=tuple(_provision(step) for step in filled.provision or () if step.mode in list(ProvisionMode)),
        ca_certs=CaCerts(
            remove_defaults=bool(certs.remove_defaults),
            files=tuple(absolute_path(path, facts) for path in certs.files or ()),
            certs=certs.certs or (),
        ),
        qemu=options,
        minimum_lima_version=filled.minimum_lima_version or "",
    )


def _user(user: UserSection) -> User:
    return User(
        name=user.name or "",
        uid=user.uid or 0,
        comment="".join(rune for rune in user.comment or "" if rune.isprintable()),
        home=user.home or "",
        shell=user.shell or "",
        passwordless_sudo=bool(user.passwordless_sudo),
    )


def _ssh(ssh: SshSection) -> Ssh:
    return Ssh(
        local_port=ssh.local_port or 0,
        load_dot_ssh_pub_keys=bool(ssh.load_dot_ssh_pub_keys),
        forward_agent=bool(ssh.forward_agent),
        forward_x11=bool(ssh.forward_x11),
        forward_x11_trusted=bool(ssh.forward_x11_trusted),
    )


def _provision(step: ProvisionStep) -> Provision:
    return Provision(
        mode=ProvisionMode(step.mode or ""),
        script=step.script or "",
        path=step.path or "",
        content=step.content or "",
        owner=step.owner or "root:root",
        permissions=step.permissions or "644",
        overwrite=step.overwrite is not False,
    )


def _chosen_images(filled: Template, facts: HostFacts) -> tuple[ImageRef, ...]:
    """The images to try, in order: those for the architecture, of the same kind as the first of them.

    Source: reference, config §1.3.
    """
    fitting = [image for image in filled.images or () if image.arch == filled.arch]
    kinds = [(image.variant or "", image.arch_variant or "") for image in fitting]
    return tuple(_image(image, facts) for image, kind in zip(fitting, kinds, strict=True) if kind == kinds[0])


def _image(image: Image, facts: HostFacts) -> ImageRef:
    kernel, initrd = image.kernel, image.initrd
    return ImageRef(
        disk=_file(image, facts),
        arch=image.arch or "",
        kernel=_file(kernel, facts) if kernel is not None else None,
        cmdline=(kernel.cmdline if kernel is not None else None) or "",
        initrd=_file(initrd, facts) if initrd is not None else None,
        variant=image.variant or "",
        arch_variant=image.arch_variant or "",
    )


def _file(file: File, facts: HostFacts) -> FileRef:
    return FileRef(location=_location(file, facts), digest=file.digest or "")


def _location(file: File, facts: HostFacts) -> str:
    location = file.location or ""
    if "://" in location or location.startswith(BOOTSTRAP):
        return location
    return absolute_path(location, facts)
