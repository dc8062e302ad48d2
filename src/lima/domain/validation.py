"""Rules that a filled template must keep, in upstream's words, all broken ones at once.

`validate` holds for every instance. `unsupported` lists what this version cannot honour yet and what no guest could
boot with: a new instance is refused for it, an existing one (made by upstream, say) starts with a warning.
Source: reference, config §4.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lima.domain.instance import quote
from lima.domain.locator import BOOTSTRAP
from lima.domain.machine import Arch, GuestOS
from lima.domain.sizes import parse_size
from lima.domain.template import File, ProvisionStep, Template, UserSection
from lima.domain.versions import is_older, minimum_version_problem

DRIVERS = ("qemu", "vz", "wsl2")
MIN_MEMORY = 32 * 1024**2
MIN_DISK = 1024**2

_DIGEST = re.compile(r"[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[a-zA-Z0-9=_-]+")
_HEX_LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}
_BOOTSTRAP = re.compile(r"bootstrap:(?:tiny|debian/[a-z][a-z0-9-]*)(?:\?.*)?")
_PARAM_NAME = r"^[a-zA-Z][a-zA-Z0-9_]*$"
_WINDOWS_SHELLS = ("cmd.exe", "powershell.exe", "pwsh.exe")
_MODES = ("system", "user", "boot", "data", "dependency", "ansible", "yq")
_MODES_LATER = ("dependency", "ansible", "yq")
_NOT_YET = "not supported by this version yet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One broken rule. `path` is the field as a template names it."""

    path: str
    message: str

    def __str__(self) -> str:
        return self.message if re.split(r"[.\[]", self.path)[0] in self.message else f"{self.path}: {self.message}"


def validate(template: Template, *, tool_version: str) -> tuple[Problem, ...]:
    """`template` comes from `completion.complete`. `tool_version` is ours, for `minimumLimaVersion`."""
    return tuple(_rules(template, tool_version))


def _rules(template: Template, tool_version: str) -> Iterator[Problem]:
    if template.base:
        yield Problem(path="base", message="field `base` must be empty for YAML validation")
    yield from _minimum_version(template.minimum_lima_version, tool_version)
    yield from _system(template)
    yield from _shell(template)
    yield from _images(template)
    for name, size in (("memory", template.memory), ("disk", template.disk)):
        try:
            parse_size(size or "")
        except ValueError as error:
            yield Problem(path=name, message=f"field `{name}` has an invalid value: {error}")
    port = template.ssh.local_port if template.ssh else None
    if port:
        yield from _port("ssh.localPort", port)
    yield from _provision(template)
    if template.dns and template.host_resolver and template.host_resolver.enabled:
        yield Problem(path="dns", message="field `dns` must be empty when field `HostResolver.Enabled` is true")
    yield from _params(template.param or {})
    yield from _sudo(template)
    if template.tpm and template.arch not in (Arch.X86_64, Arch.AARCH64, Arch.ARMV7L, Arch.RISCV64):
        yield Problem(path="tpm", message=f"field `tpm` is not supported on architecture {quote(template.arch or '')}")
    interface = template.audio.interface if template.audio else ""
    if interface not in (None, "", "hda", "virtio"):
        yield Problem(
            path="audio.interface", message=f'invalid audio.interface "{interface}", must be "hda" or "virtio"'
        )


def _minimum_version(minimum: str | None, tool_version: str) -> Iterator[Problem]:
    if not minimum:
        return
    path = "minimumLimaVersion"
    if problem := minimum_version_problem(minimum):
        yield Problem(path=path, message=f"field `{path}` must be a semvar value, got {quote(minimum)}: {problem}")
    elif is_older(tool_version, minimum):
        yield Problem(
            path=path, message=f"template requires Lima version {quote(minimum)}; this is only {quote(tool_version)}"
        )


def _system(template: Template) -> Iterator[Problem]:
    os, arch, vm_type = template.os or "", template.arch or "", template.vm_type or ""
    if vm_type not in DRIVERS:
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
    yield from _arch(arch, "arch")


def _arch(arch: str, path: str) -> Iterator[Problem]:
    if arch not in list(Arch):
        known = "x86_64 aarch64 armv7l ppc64le riscv64 s390x"
        yield Problem(path=path, message=f"field `arch` must be one of [{known}]; got {quote(arch)}")


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


# --- images ----------------------------------------------------------------------------------------------------------


def _images(template: Template) -> Iterator[Problem]:
    if not template.images:
        yield Problem(path="images", message="field `images` must be set")
    for index, image in enumerate(template.images or ()):
        path = f"images[{index}]"
        yield from _file(image, path)
        for name, part in (("kernel", image.kernel), ("initrd", image.initrd)):
            if part is None:
                continue
            yield from _file(part, f"{path}.{name}")
            if part.arch != image.arch:
                yield Problem(
                    path=f"{path}.{name}",
                    message=f"{path}.{name} has unexpected architecture {quote(part.arch or '')},"
                    f" must be {quote(image.arch or '')}",
                )


def _file(file: File, path: str) -> Iterator[Problem]:
    location, digest = file.location or "", file.digest or ""
    if location.startswith(BOOTSTRAP):
        yield from _bootstrap(location, digest, path)
    elif problem := local_path_problem(location):
        yield Problem(
            path=f"{path}.location",
            message=f"field `{path}.location` refers to an invalid local file path: {quote(location)}: {problem}",
        )
    yield from _arch(file.arch or "", f"{path}.arch")
    if digest and (problem := digest_problem(digest)):
        yield Problem(path=f"{path}.digest", message=f"field `{path}.digest` is invalid: {digest}: {problem}")


def _bootstrap(location: str, digest: str, path: str) -> Iterator[Problem]:
    if not _BOOTSTRAP.fullmatch(location):
        yield Problem(
            path=f"{path}.location",
            message=f"field `{path}.location` must be `bootstrap:tiny` or `bootstrap:debian/SUITE`, got {quote(location)}",
        )
    if digest:
        yield Problem(
            path=f"{path}.digest", message=f"field `{path}.digest` must be empty: an image that is built here has none"
        )


def local_path_problem(location: str) -> str:
    """Why `location` cannot be a host path, or empty. An URL is none of these."""
    if not location:
        return "empty path"
    if "://" not in location and location.startswith("~") and location != "~" and not location.startswith("~/"):
        return f"unexpandable path {quote(location)}"
    return ""


def digest_problem(digest: str) -> str:
    """What is wrong with `algorithm:hex`, or empty."""
    if not _DIGEST.fullmatch(digest):
        return "invalid checksum digest format"
    algorithm, _, text = digest.partition(":")
    if algorithm not in _HEX_LENGTHS:
        return "unsupported digest algorithm"
    if len(text) != _HEX_LENGTHS[algorithm]:
        return "invalid checksum digest length"
    return "" if re.fullmatch("[a-f0-9]+", text) else "invalid checksum digest format"


# --- provisioning ----------------------------------------------------------------------------------------------------


def _provision(template: Template) -> Iterator[Problem]:
    for index, step in enumerate(template.provision or ()):
        path = f"provision[{index}]"
        if step.file is not None and step.file.url:
            yield Problem(
                path=f"{path}.file",
                message=f"field `{path}.file.url` must be empty during validation (script should already be embedded)",
            )
        if step.file is not None and step.file.digest:
            yield Problem(path=f"{path}.file", message=f"field `{path}.file.digest` support is not yet implemented")
        yield from _step(step, path, template.os or "")


def _step(step: ProvisionStep, path: str, os: str) -> Iterator[Problem]:
    mode = step.mode or ""

    def problem(name: str, message: str) -> Problem:
        return Problem(path=f"{path}.{name}", message=f"field `{path}.{name}` {message}")

    if mode not in _MODES:
        yield problem("mode", "must one of `system`, `user`, `boot`, `data`, `dependency`, `ansible`, or `yq`")
    if mode != "dependency" and step.skip_default_dependency_resolution is not None:
        yield problem(
            "mode",
            "cannot set skipDefaultDependencyResolution, only valid on scripts of type `dependency`",
        )
    if os == GuestOS.WINDOWS and mode in ("ansible", "boot", "yq"):
        yield Problem(path=f"{path}.mode", message=f"provision mode {quote(mode)} is not supported on Windows VM")
    if mode in ("data", "yq"):
        if not step.path:
            yield problem("path", f"must not be empty when mode is {quote(mode)}")
        elif not step.path.startswith("/"):
            yield problem("path", "must be an absolute path")
        if mode == "yq" and not step.expression:
            yield problem("expression", "must not be empty when mode is `yq`")
        permissions = step.permissions or ""
        if not re.fullmatch("[+-]?[0-7]{1,21}", permissions):
            yield problem(
                "permissions", f'must be an octal number: strconv.ParseInt: parsing "{permissions}": invalid syntax'
            )
        if mode == "yq":
            return
    else:
        if not step.script and mode != "ansible":
            yield problem("script", "must not be empty")
        for name in ("content", "overwrite", "owner"):
            if getattr(step, name) is not None:
                yield problem(name, "can only be set when mode is `data`")
        for name in ("path", "permissions"):
            if getattr(step, name) is not None:
                yield problem(name, "can only be set when mode is `data`, or `yq`")
    if step.format is not None:
        yield problem("format", "can only be set when mode is `yq`")
    if step.playbook and mode != "ansible":
        yield Problem(path=f"{path}.playbook", message=f"field `{path}.playbook can only be set when mode is `ansible`")


# --- parameters, user ------------------------------------------------------------------------------------------------


def _params(params: Mapping[str, str]) -> Iterator[Problem]:
    for key, value in params.items():
        if not re.match(_PARAM_NAME, key) or key.endswith("\n"):
            yield Problem(path=f"param.{key}", message=f"param {quote(key)} name does not match regex `{_PARAM_NAME}`")
        for rune in value:
            if not rune.isprintable() and rune != "\t":
                yield Problem(
                    path=f"param.{key}",
                    message=f"param {quote(key)} value contains unprintable character {rune!r}",
                )


def unused_parameters(template: Template) -> tuple[Problem, ...]:
    """Parameters of a template as it was written that nothing in it mentions."""
    texts = list(_texts_with_parameters(template))

    def used(key: str) -> bool:
        pattern = re.compile(rf"{{{{[^}}]*\.Param\.{re.escape(key)}[^}}]*}}}}|\bPARAM_{re.escape(key)}\b")
        return key == "internal_netplanOptional" or any(pattern.search(text) for text in texts)

    return tuple(
        Problem(
            path=f"param.{key}",
            message=f"field `param` key {quote(key)} is not used in any provision, probe, copyToHost, or portForward",
        )
        for key in template.param or {}
        if not used(key)
    )


def _texts_with_parameters(template: Template) -> Iterator[str]:
    groups: tuple[tuple[tuple[Any, ...] | None, tuple[str, ...]], ...] = (
        (template.provision, ("script", "content", "expression", "owner", "path", "permissions")),
        (template.probes, ("script",)),
        (template.copy_to_host, ("guest", "host")),
        (template.port_forwards, ("guest_socket", "host_socket")),
        (template.mounts, ("location", "mount_point")),
    )
    for items, names in groups:
        for item in items or ():
            yield from (text for name in names if (text := getattr(item, name)))


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


def guest_user_problems(template: Template) -> tuple[Problem, ...]:
    """What the seed cannot make a user of; upstream says the first four when it writes the seed."""
    user = template.user or UserSection()
    name, home = user.name or "", user.home or ""
    found = []
    if name == "root":
        found.append(Problem(path="user.name", message="field User must not be `root`"))
    elif not name or re.search(r"[\s:/,\\\x00-\x1f\x7f]|^[-.]", name):
        found.append(Problem(path="user.name", message=f"field `user.name` must be a user name, got {quote(name)}"))
    if user.uid == 0:
        found.append(Problem(path="user.uid", message="field UID must not be 0"))
    if not home:
        found.append(Problem(path="user.home", message="field Home must be set"))
    elif not home.startswith("/") or re.search(r"[:\x00-\x1f\x7f]", home):
        found.append(
            Problem(path="user.home", message=f"field `user.home` must be an absolute path, got {quote(home)}")
        )
    return tuple(found)


def _port(path: str, port: int) -> Iterator[Problem]:
    rules = ((port < 0, "be > 0"), (port == 22, "not be 22"), (port > 65535, "be < 65536"))
    yield from (Problem(path=path, message=f"field `{path}` must {rule}") for broken, rule in rules if broken)


# --- what this version cannot do -------------------------------------------------------------------------------------


def unsupported(template: Template) -> tuple[Problem, ...]:
    """`template` comes from `completion.complete`; what is off, empty or a default is no reason to refuse."""
    return tuple(_beyond_this_version(template)) + tuple(_beyond_any_guest(template))


def _beyond_this_version(template: Template) -> Iterator[Problem]:
    containerd, resolver, rosetta = template.containerd, template.host_resolver, template.rosetta
    asked = {
        "base": template.base,
        "os": template.os not in (None, GuestOS.LINUX),
        "vmType": template.vm_type not in (None, "qemu"),
        "additionalDisks": template.additional_disks,
        "mounts": template.mounts,
        "mountInotify": template.mount_inotify,
        "containerd.system": containerd and containerd.system,
        "containerd.user": containerd and containerd.user,
        "probes": template.probes,
        "portForwards": template.port_forwards,
        "copyToHost": template.copy_to_host,
        "networks": template.networks,
        "hostResolver.hosts": resolver and resolver.hosts,
        "rosetta.enabled": rosetta and rosetta.enabled,
        "nestedVirtualization": template.nested_virtualization,
        "tpm": template.tpm,
    }
    yield from (Problem(path=path, message=_NOT_YET) for path, value in asked.items() if value)
    for index, step in enumerate(template.provision or ()):
        if step.mode in _MODES_LATER:
            yield Problem(path=f"provision[{index}].mode", message=f"{quote(step.mode or '')} is {_NOT_YET}")
        if step.file is not None and step.file.url:
            yield Problem(path=f"provision[{index}].file", message=_NOT_YET)


def _beyond_any_guest(template: Template) -> Iterator[Problem]:
    if template.images and all(image.arch != template.arch for image in template.images):
        yield Problem(path="images", message=f"field `images` has no image for arch {quote(template.arch or '')}")
    if (template.cpus or 0) < 0:
        yield Problem(path="cpus", message=f"field `cpus` must be > 0, got {template.cpus}")
    for name, text, least in (("memory", template.memory, MIN_MEMORY), ("disk", template.disk, MIN_DISK)):
        try:
            size = parse_size(text or "")
        except ValueError:
            continue  # `validate` says so
        if size < least:
            hint = f"; a number without a unit is in bytes, did you mean `{text}GiB`?" if (text or "").isdigit() else ""
            yield Problem(path=name, message=f"field `{name}` is too little for a guest: {size} bytes{hint}")
