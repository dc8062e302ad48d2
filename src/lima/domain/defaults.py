"""From a template, the user's default and override files and the host to the configuration of one instance."""

from collections.abc import Callable, Mapping

from lima.domain.completion import Circumstances, complete
from lima.domain.config import (
    AdditionalDisk,
    CaCerts,
    Containerd,
    CopyToHost,
    FirmwareImage,
    HostResolver,
    InstanceConfig,
    Probe,
    Provision,
    ProvisionMode,
    QemuOptions,
    RunPolicy,
    Ssh,
    User,
)
from lima.domain.drivers import DEFAULT_VNC, DriverPass, driver_pass, qemu_options
from lima.domain.errors import TemplateInvalidError
from lima.domain.host import HostFacts
from lima.domain.image import FileRef, ImageRef
from lima.domain.locator import BOOTSTRAP, absolute_path
from lima.domain.machine import Arch, GuestOS
from lima.domain.merge import merge
from lima.domain.mount_plan import plan_mounts
from lima.domain.mount_rules import mount_plan_problems
from lima.domain.parameters import unused_parameters
from lima.domain.problem import Problem
from lima.domain.sizes import parse_size
from lima.domain.support import copy_problem, guest_user_problems, unsupported
from lima.domain.template import (
    AudioSection,
    CaCertsSection,
    ContainerdSection,
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
from lima.domain.template import HostResolver as HostResolverSection
from lima.domain.validation import Surroundings, validate, validation_warnings
from lima.domain.values import Value
from lima.domain.variables import Expand


class Layers(Value):
    """What is merged: `override` before `template` before `default`, which are the user's files of those names."""

    template: Template
    default: Template | None = None
    override: Template | None = None


class Survey(Value):
    """What the host says about a filled template. `playbooks`: path to text, or to the reason why there is none."""

    surroundings: Surroundings
    playbooks: Mapping[str, "Playbook"] = {}


class Playbook(Value):
    """The text of an Ansible playbook; `problem` is a sentence where it cannot be read."""

    text: str = ""
    problem: str = ""


class Resolution(Value):
    """What became of a template.

    `template` has everything filled in, as `list` and `info` show it. `problems` are broken rules. `driver` is the
    driver's own pass over it; None, as `config`, where there are problems. `unsupported` stands in the way of a new
    instance only.
    """

    template: Template
    config: InstanceConfig | None
    problems: tuple[Problem, ...] = ()
    driver: DriverPass | None = None
    unsupported: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = ()

    def for_creation(self) -> InstanceConfig:
        """Raises: TemplateInvalidError for all that keeps a new instance from being what the template says."""
        refused = {problem.path for problem in self.unsupported}
        return self._config((*self.unsupported, *(found for found in self.blocking if found.path not in refused)))

    def for_start(self) -> InstanceConfig:
        """For an instance that exists: `unsupported` is for the caller to warn about. Raises: TemplateInvalidError."""
        return self._config(self.blocking)

    @property
    def blocking(self) -> tuple[Problem, ...]:
        """Everything that keeps a guest from being made of this template."""
        driver = self.driver
        of_driver = (*driver.problems, *mount_plan_problems(driver.template)) if driver is not None else ()
        return (*self.problems, *guest_user_problems(self.template), *of_driver)

    def _config(self, problems: tuple[Problem, ...]) -> InstanceConfig:
        if problems or self.config is None:
            raise TemplateInvalidError(
                tuple(str(problem) for problem in problems),
                hint="correct these fields, or remove them for their defaults",
            )
        return self.config


def resolve(
    layers: Layers, circumstances: Circumstances, *, engine: Expand, survey: Callable[[Template], Survey]
) -> Resolution:
    """Merge, fill, expand and check.

    Args:
        engine: Go's template language in full.
        survey: asks the host about the paths and networks that the filled template names.
    """
    template = layers.template
    merged = merge(template, default=layers.default, override=layers.override)
    completion = complete(merged, circumstances, engine=engine)
    filled = completion.template
    found = survey(filled)
    problems = (
        *_load_problems(template, filled, found),
        *validate(filled, found.surroundings),
    )
    driver = None if problems else driver_pass(filled, circumstances, paths=found.surroundings.paths)
    warnings = [*completion.warnings, *_network_warnings(filled, found), *validation_warnings(filled)]
    if driver is not None:
        warnings += driver.warnings
    return Resolution(
        template=filled,
        config=_config(driver, circumstances.facts, asked=merged)
        if driver is not None and not driver.problems
        else None,
        problems=problems,
        driver=driver,
        unsupported=unsupported(driver.template if driver is not None else filled),
        warnings=tuple(dict.fromkeys(warnings)),
    )


def _load_problems(template: Template, filled: Template, found: Survey) -> tuple[Problem, ...]:
    """What upstream finds while it loads a file, before any rule."""
    if not template.param:
        return ()
    unread = tuple(
        Problem(path=f"provision[{index}].playbook", message=playbook.problem)
        for index, step in enumerate(filled.provision or ())
        if step.playbook and (playbook := found.playbooks.get(step.playbook, Playbook())).problem
    )
    return (*unread, *unused_parameters(template, (playbook.text for playbook in found.playbooks.values())))


def _network_warnings(filled: Template, found: Survey) -> tuple[str, ...]:
    named = any(network.lima for network in filled.networks or ())
    warning = found.surroundings.networks.warning
    return (warning,) if named and warning else ()


# --- the filled template as a configuration --------------------------------------------------------------------------


def _config(driver: DriverPass, facts: HostFacts, *, asked: Template) -> InstanceConfig:
    """`driver` passed over a filled template that is valid; `asked` is the same without the built-in defaults."""
    filled = driver.template
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
        containerd=_containerd(filled, facts, asked.containerd or ContainerdSection()),
        additional_disks=_additional_disks(filled),
        mounts=plan_mounts(filled.mounts or (), driver.mount_choice, facts),
        mount_inotify=bool(filled.mount_inotify),
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
        vnc_display=(video.vnc.display if video.vnc else None) or DEFAULT_VNC,
        audio_device=(filled.audio or AudioSection()).device or "",
        timezone=filled.timezone or "",
        plain=bool(filled.plain),
        upgrade_packages=bool(filled.upgrade_packages),
        guest_install_prefix=filled.guest_install_prefix or "",
        message=filled.message or "",
        env=tuple((filled.env or {}).items()),
        param=tuple((filled.param or {}).items()),
        dns=filled.dns or (),
        host_resolver=_host_resolver(filled),
        propagate_proxy_env=bool(filled.propagate_proxy_env),
        provision=tuple(_provision(step) for step in filled.provision or ()),
        probes=tuple(
            Probe(description=probe.description or "", script=probe.script or "", hint=probe.hint or "")
            for probe in filled.probes or ()
        ),
        copy_to_host=tuple(
            CopyToHost(
                guest=item.guest or "",
                host=item.host or "",
                skip_if_missing=bool(item.skip_if_missing),
                delete_on_stop=bool(item.delete_on_stop),
            )
            for item in filled.copy_to_host or ()
            if not copy_problem(item)
        ),
        port_forwards=filled.port_forwards or (),
        port_forward_defaults=filled.port_forward_defaults is not False,
        ca_certs=CaCerts(
            remove_defaults=bool(certs.remove_defaults),
            files=tuple(absolute_path(path, facts) for path in certs.files or ()),
            certs=certs.certs or (),
        ),
        qemu=_qemu_options(filled),
        minimum_lima_version=filled.minimum_lima_version or "",
    )


def _host_resolver(filled: Template) -> HostResolver:
    section = filled.host_resolver or HostResolverSection()
    return HostResolver(
        enabled=bool(section.enabled), ipv6=bool(section.ipv6), hosts=tuple((section.hosts or {}).items())
    )


def _qemu_options(filled: Template) -> QemuOptions:
    section = qemu_options(filled).value or QemuSection()
    return QemuOptions(
        minimum_version=section.minimum_version or "",
        cpu_type=tuple(sorted((arch, cpu) for arch, cpu in (section.cpu_type or {}).items() if cpu)),
        accelerator=section.accelerator or "",
    )


def _containerd(filled: Template, facts: HostFacts, asked: ContainerdSection) -> Containerd:
    section = filled.containerd or ContainerdSection()
    return Containerd(
        system=bool(section.system),
        user=bool(section.user),
        archives=tuple(_file(file, facts) for file in section.archives or () if file.arch == filled.arch),
        is_asked=bool(asked.system or asked.user),
    )


def _additional_disks(filled: Template) -> tuple[AdditionalDisk, ...]:
    """Each name once, the first counts: `override.yaml`'s, the template's, `default.yaml`'s."""
    disks: dict[str, AdditionalDisk] = {}
    for disk in filled.additional_disks or ():
        name = disk.name or ""
        disks.setdefault(
            name,
            AdditionalDisk(
                name=name,
                format=disk.format is not False,
                fs_type=disk.fs_type or "",
                fs_args=disk.fs_args or (),
            ),
        )
    return tuple(disks.values())


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
        over_vsock=bool(ssh.over_vsock),
    )


def _provision(step: ProvisionStep) -> Provision:
    return Provision(
        mode=ProvisionMode(step.mode or ""),
        policy=RunPolicy(step.run_policy or RunPolicy.ALWAYS),
        script=step.script or "",
        path=step.path or "",
        content=step.content or "",
        owner=step.owner or "root:root",
        permissions=step.permissions or "644",
        overwrite=step.overwrite is not False,
        expression=step.expression or "",
        format=step.format or "auto",
        playbook=step.playbook or "",
        skip_default_dependency_resolution=bool(step.skip_default_dependency_resolution),
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
