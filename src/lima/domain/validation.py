"""Rules that a filled template must keep, in upstream's words, all broken ones at once. Source: reference, config §4.

Each field's own rules stand in the module of that field; here are the rest, and the order of all.
"""

import re
from collections.abc import Iterator, Mapping

from lima.domain.file_rules import arch_problems, containerd_problems, image_problems
from lima.domain.host_paths import PathState
from lima.domain.instance import identifier_problem, quote
from lima.domain.machine import Arch, GuestOS, HostOS
from lima.domain.mounts import mount_problems, mount_type_problems
from lima.domain.networks import KnownNetworks, network_problems
from lima.domain.parameters import parameter_problems
from lima.domain.portforward import forward_problems, plain_mode_warnings, port_problems
from lima.domain.problem import Problem, field_problem
from lima.domain.provision_rules import probe_problems, provision_problems
from lima.domain.sizes import parse_size
from lima.domain.template import ContainerdSection, Template, UserSection
from lima.domain.values import Value
from lima.domain.versions import is_older, minimum_version_problem

DRIVERS = ("qemu", "vz", "wsl2")
_WINDOWS_SHELLS = ("cmd.exe", "powershell.exe", "pwsh.exe")


class Surroundings(Value):
    """What rules ask of the world, collected beforehand: what is at the paths that a template names, and networks.

    `tool_version` is ours, for `minimumLimaVersion`.
    """

    tool_version: str
    host_os: HostOS = HostOS.LINUX
    paths: Mapping[str, PathState] = {}
    networks: KnownNetworks = KnownNetworks()
    drivers: tuple[str, ...] = DRIVERS


def named_paths(template: Template) -> tuple[str, ...]:
    """The host paths of a filled template that rules look at."""
    mounts = (mount.location for mount in template.mounts or ())
    sockets = (network.socket for network in template.networks or ())
    playbooks = (step.playbook for step in template.provision or ())
    return tuple(dict.fromkeys(path for path in (*mounts, *sockets, *playbooks) if path))


def validate(template: Template, surroundings: Surroundings) -> tuple[Problem, ...]:
    """`template` comes from `completion.complete`."""
    return tuple(_rules(template, surroundings))


def validation_warnings(template: Template) -> tuple[str, ...]:
    """What is accepted, but should not stay."""
    found = []
    for step in template.provision or ():
        if "LIMA_CIDATA" in (step.script or ""):
            found.append("provisioning scripts should not reference the LIMA_CIDATA variables")
        if step.playbook:
            replacement = f"ansible-playbook {quote(step.playbook)}"
            found.append(f"provision mode `ansible` is deprecated, use `{replacement}` instead")
    if template.plain:
        found += plain_mode_warnings(template.port_forwards or ())
    return tuple(dict.fromkeys(found))


def _rules(template: Template, around: Surroundings) -> Iterator[Problem]:
    user = template.user or UserSection()
    if template.base:
        yield Problem(path="base", message="field `base` must be empty for YAML validation")
    yield from _minimum_version(template.minimum_lima_version, around.tool_version)
    yield from _system(template, around.drivers)
    yield from _shell(template)
    yield from image_problems(template.images or ())
    for name, size in (("memory", template.memory), ("disk", template.disk)):
        yield from _size(name, size or "")
    for index, disk in enumerate(template.additional_disks or ()):
        if problem := identifier_problem(disk.name or ""):
            path = f"additionalDisks[{index}].name"
            yield Problem(path=path, message=f"field `{path} is invalid`: {problem}")
    yield from mount_problems(template.mounts or (), user_home=user.home or "", paths=around.paths)
    port = template.ssh.local_port if template.ssh else None
    if port:
        yield from port_problems("ssh.localPort", port)
    yield from mount_type_problems(template.mount_type, template.mount_types_unsupported or ())
    yield from provision_problems(template.provision or (), os=template.os or "", paths=around.paths)
    yield from containerd_problems(template.containerd or ContainerdSection())
    yield from probe_problems(template.probes or ())
    yield from forward_problems(template.port_forwards or (), host_os=around.host_os)
    yield from _copies(template)
    if template.dns and template.host_resolver and template.host_resolver.enabled:
        yield Problem(path="dns", message="field `dns` must be empty when field `HostResolver.Enabled` is true")
    yield from network_problems(
        template.networks or (), host_os=around.host_os, known=around.networks, paths=around.paths
    )
    yield from parameter_problems(template.param or {})
    yield from _sudo(template)
    yield from _devices(template)


def _size(name: str, size: str) -> Iterator[Problem]:
    try:
        parse_size(size)
    except ValueError as error:
        yield field_problem(name, f"has an invalid value: {error}")


def _copies(template: Template) -> Iterator[Problem]:
    for index, copy in enumerate(template.copy_to_host or ()):
        for side, path in (("guest", copy.guest or ""), ("host", copy.host or "")):
            if path and not path.startswith("/"):
                yield Problem(
                    path=f"copyToHost[{index}].{side}",
                    message=f"field `CopyToHost[{index}].{side}` must be an absolute path, but is {quote(path)}",
                )


def _devices(template: Template) -> Iterator[Problem]:
    if template.tpm and template.arch not in (Arch.X86_64, Arch.AARCH64, Arch.ARMV7L, Arch.RISCV64):
        yield field_problem("tpm", f"is not supported on architecture {quote(template.arch or '')}")
    interface = template.audio.interface if template.audio else ""
    if interface not in (None, "", "hda", "virtio"):
        yield Problem(
            path="audio.interface", message=f'invalid audio.interface "{interface}", must be "hda" or "virtio"'
        )


def _minimum_version(minimum: str | None, tool_version: str) -> Iterator[Problem]:
    if minimum is None:
        return
    path = "minimumLimaVersion"
    if problem := minimum_version_problem(minimum):
        yield Problem(path=path, message=f"field `{path}` must be a semvar value, got {quote(minimum)}: {problem}")
    elif is_older(tool_version, minimum):
        yield Problem(
            path=path, message=f"template requires Lima version {quote(minimum)}; this is only {quote(tool_version)}"
        )


def _system(template: Template, drivers: tuple[str, ...]) -> Iterator[Problem]:
    os, arch, vm_type = template.os or "", template.arch or "", template.vm_type or ""
    if vm_type not in drivers:
        yield Problem(path="vmType", message=f"vmType {quote(vm_type)} is not a registered driver")
    if os == GuestOS.WINDOWS:
        if vm_type != "qemu":
            yield Problem(
                path="os", message=f"currently Windows guest is only supported on `qemu`; got {quote(vm_type)}"
            )
        if arch not in (Arch.X86_64, Arch.AARCH64):
            yield Problem(
                path="os",
                message=f"currently Windows guest is only supported on [`x86_64`, `aarch64`]; got {quote(arch)}",
            )
    elif os not in list(GuestOS):
        yield Problem(
            path="os", message=f"field `os` must be one of [`Linux` `Darwin` `FreeBSD` `Windows`]; got {quote(os)}"
        )
    yield from arch_problems(arch, "arch")


def _shell(template: Template) -> Iterator[Problem]:
    shell = (template.user or UserSection()).shell or ""
    if template.os == GuestOS.WINDOWS:
        if re.split(r"[/\\]", shell)[-1].lower() not in _WINDOWS_SHELLS:
            yield Problem(
                path="user.shell",
                message="field `user.shell` must be one of [cmd.exe powershell.exe pwsh.exe] for Windows guest,"
                f" got {quote(shell)}",
            )
    elif not shell.startswith("/"):
        yield Problem(path="user.shell", message=f"field `user.shell` must be an absolute path, got {quote(shell)}")


def _sudo(template: Template) -> Iterator[Problem]:
    allowed = (template.user or UserSection()).passwordless_sudo
    path = "user.passwordlessSudo"
    if template.os == GuestOS.DARWIN:
        if allowed:
            yield Problem(path=path, message="`user.passwordlessSudo: true` is not supported on macOS guests")
        return
    if allowed is False and template.vm_type == "wsl2":
        yield Problem(path=path, message="`user.passwordlessSudo: false` is not supported on WSL2 guest")
    if allowed is False and not template.plain:
        yield Problem(path=path, message="`user.passwordlessSudo: false` requires `plain: true`")
