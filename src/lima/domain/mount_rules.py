"""Mounts that would take a guest its system, or its mount command its senses. What holds for every template is in `mounts`."""

from collections.abc import Iterator

from lima.domain.instance import quote
from lima.domain.mount_plan import NINEP, VIRTIOFS
from lima.domain.mounts import DEFAULT_QUEUE_SIZE, clean_path, is_within
from lima.domain.problem import Problem, field_problem
from lima.domain.template import NineP, Template, Virtiofs

_WHOLE = (
    "/", "/bin", "/etc", "/home", "/mnt", "/opt", "/run", "/sbin", "/usr", "/usr/bin", "/usr/lib", "/usr/lib64",
    "/usr/local", "/usr/local/bin", "/usr/local/lib", "/usr/sbin", "/usr/share", "/var", "/var/cache", "/var/lib",
    "/var/log", "/var/run", "/tmp", "/var/tmp",  # noqa: S108  places that are not used
)  # fmt: skip
_WITH_ALL_BELOW = (
    "/boot", "/dev", "/lib", "/lib32", "/lib64", "/libx32", "/mnt/lima-cidata", "/proc", "/sys", "/usr/lib/systemd",
    "/usr/lib/lima", "/var/lib/cloud", "/var/lib/lima", "/var/lib/systemd", "/etc/systemd", "/etc/ssh",
    "/etc/sudoers.d", "/etc/pam.d", "/run/lima", "/run/systemd",
)  # fmt: skip
_SECURITY_MODELS = ("passthrough", "mapped-xattr", "mapped-file", "none")


def mount_plan_problems(template: Template) -> Iterator[Problem]:
    """Mounts that would take a guest its system, or its mount command its senses. `template` is filled, its driver's
    part too."""
    points: dict[str, int] = {}
    home = clean_path((template.user.home if template.user else None) or "/")
    agent = clean_path(f"{template.guest_install_prefix}/lib/lima-guestagent")
    for index, mount in enumerate(template.mounts or ()):
        field_name = f"mounts[{index}]"
        point = clean_path(mount.mount_point or "")
        first = points.setdefault(point, index)
        if problem := _point_problem(mount.mount_point or "", point, home, agent):
            yield field_problem(f"{field_name}.mountPoint", problem)
        elif first != index:
            yield field_problem(f"{field_name}.mountPoint", f"is that of `mounts[{first}]` as well: {quote(point)}")
        if template.mount_type == NINEP:
            yield from _ninep_problems(mount.ninep or NineP(), f"{field_name}.9p")
        elif template.mount_type == VIRTIOFS:
            yield from _virtiofs_problems(mount.virtiofs or Virtiofs(), f"{field_name}.virtiofs")


def _point_problem(given: str, point: str, home: str, agent: str) -> str:
    if any(ord(character) < 32 or character == "\x7f" for character in given):
        return "must not contain control characters"
    if not given.startswith("/"):
        return f"must be an absolute path, got {quote(given)}"
    if point in _WHOLE or any(is_within(point, path) for path in _WITH_ALL_BELOW):
        return f"belongs to the guest's system, which would not run without it: {quote(point)}"
    if is_within(agent, point) or is_within(point, agent):
        # where an update removes the version before it
        return f"would have the guest agent installed on the host: {quote(point)}"
    if is_within(home, point):
        return f"would hide the home directory of the guest's user, {quote(home)}: {quote(point)}"
    if is_within(point, f"{home}/.ssh"):
        return f"would hide the keys that let you into the guest: {quote(point)}"
    return ""


def _ninep_problems(ninep: NineP, field_name: str) -> Iterator[Problem]:
    if ninep.security_model not in _SECURITY_MODELS:
        known = " or ".join(map(quote, _SECURITY_MODELS))
        yield field_problem(f"{field_name}.securityModel", f"must be {known}, got {quote(ninep.security_model or '')}")
    for key, value in (("protocolVersion", ninep.protocol_version or ""), ("cache", ninep.cache or "")):
        # one option among others of the guest's mount
        if not value or not all(character.isalnum() or character in "._-" for character in value):
            yield field_problem(f"{field_name}.{key}", f"must be a single word, got {quote(value)}")


def _virtiofs_problems(virtiofs: Virtiofs, field_name: str) -> Iterator[Problem]:
    queue = virtiofs.queue_size or DEFAULT_QUEUE_SIZE
    if not 4 <= queue <= 1024 or queue & (queue - 1):
        yield field_problem(f"{field_name}.queueSize", f"must be a power of two from 4 to 1024, got {queue}")
