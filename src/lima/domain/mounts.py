"""Mounts: combining them by mount point, their defaults, and their rules. Source: reference, config §1.4, §2.4, §4.1."""

import posixpath
from collections.abc import Iterator, Mapping
from typing import TypeVar

import msgspec

from lima.domain.host import HostFacts
from lima.domain.host_paths import ABSENT, PathKind, PathState
from lima.domain.instance import quote
from lima.domain.machine import HostOS
from lima.domain.problem import Problem, field_problem
from lima.domain.sizes import parse_size
from lima.domain.template import Mount, NineP, Sshfs, Virtiofs
from lima.domain.variables import Expander, Variables

M = TypeVar("M", Sshfs, NineP, Virtiofs)

DEFAULT_QUEUE_SIZE = 1024
"""Of virtiofs."""
MOUNT_TYPES = ("reverse-sshfs", "9p", "virtiofs", "wsl2")
_SYSTEM_PATHS = ("/", "/bin", "/dev", "/etc", "/home", "/opt", "/sbin", "/tmp", "/usr", "/var")  # noqa: S108


def clean_path(path: str) -> str:
    """A path without `.`, `..` and double slashes, by its text alone; empty is `.`."""
    cleaned = posixpath.normpath(path)
    return cleaned[1:] if cleaned.startswith("//") else cleaned


def is_within(path: str, folder: str) -> bool:
    """Whether a clean path is `folder` or lies below it, by their text alone."""
    return f"{path}/".startswith(folder.rstrip("/") + "/")


def resolved_mounts(
    mounts: tuple[Mount, ...], facts: HostFacts, *, host: Variables, guest: Variables, expand: Expander
) -> tuple[Mount, ...]:
    """`mounts` are those of the default file, the template and the override file, in this order: for one mount point
    the first keeps its place and its location, later ones change what they set."""
    combined: dict[str, Mount] = {}
    for mount in mounts:
        placed = _placed(mount, facts, host, guest, expand)
        key = placed.mount_point or ""
        combined[key] = placed if key not in combined else _changed(combined[key], placed)
    return tuple(_filled(mount, facts) for mount in combined.values())


def _placed(mount: Mount, facts: HostFacts, host: Variables, guest: Variables, expand: Expander) -> Mount:
    location = clean_path(expand(mount.location, host, "mount location"))
    if location == "~" or location.startswith("~/"):
        location = clean_path(facts.home + location[1:])
    point = location if mount.mount_point is None else expand(mount.mount_point, guest, "mount point")
    return msgspec.structs.replace(mount, location=location, mount_point=point)


def _changed(mount: Mount, later: Mount) -> Mount:
    return msgspec.structs.replace(
        mount,
        writable=mount.writable if later.writable is None else later.writable,
        sshfs=_over(mount.sshfs, later.sshfs),
        ninep=_over(mount.ninep, later.ninep),
        virtiofs=_over(mount.virtiofs, later.virtiofs),
    )


def _over(section: M | None, later: M | None) -> M | None:
    if section is None or later is None:
        return section or later
    changes = {name: value for name in later.__struct_fields__ if (value := getattr(later, name)) is not None}
    return msgspec.structs.replace(section, **changes)


def _filled(mount: Mount, facts: HostFacts) -> Mount:
    """The files that a root host agent shares keep their owners: the guest's root is not the host's."""
    writable = bool(mount.writable)
    sshfs, ninep = mount.sshfs or Sshfs(), mount.ninep or NineP()
    return msgspec.structs.replace(
        mount,
        writable=writable,
        sshfs=Sshfs(
            cache=sshfs.cache is not False,
            follow_symlinks=bool(sshfs.follow_symlinks),
            sftp_driver=sshfs.sftp_driver or "",
        ),
        ninep=NineP(
            security_model=_given(ninep.security_model, "mapped-xattr" if facts.is_root else "none"),
            protocol_version=_given(ninep.protocol_version, "9p2000.L"),
            msize=_given(ninep.msize, "128KiB"),
            cache=_given(ninep.cache, "mmap" if writable else "fscache"),
        ),
    )


def _given(value: str | None, default: str) -> str:
    return default if value is None else value


def mount_problems(mounts: tuple[Mount, ...], *, user_home: str, paths: Mapping[str, PathState]) -> Iterator[Problem]:
    """`paths` tells what is at each location of the host."""
    for index, mount in enumerate(mounts):
        field = f"mounts[{index}]"
        yield from _location_problems(mount.location or "", f"{field}.location", paths)
        yield from _point_problems(mount.mount_point or "", f"{field}.mountPoint", user_home)
        if mount.ninep is not None and mount.ninep.msize is not None:
            try:
                parse_size(mount.ninep.msize)
            except ValueError as error:
                yield Problem(path=f"{field}.9p.msize", message=f"field `msize` has an invalid value: {error}")


def _location_problems(location: str, field: str, paths: Mapping[str, PathState]) -> Iterator[Problem]:
    if not location.startswith(("/", "~")):
        yield field_problem(field, f"must be an absolute path, got {quote(location)}")
        return
    if location.startswith("~"):
        unexpandable = f"unexpandable path {quote(location)}"
        yield field_problem(field, f"refers to an unexpandable path: {quote(location)}: {unexpandable}")
        return
    state = paths.get(location, ABSENT)
    if state.kind is PathKind.UNKNOWN:
        yield field_problem(field, f"refers to an inaccessible path: {quote(location)}: {state.problem}")
    elif state.kind not in (PathKind.MISSING, PathKind.DIRECTORY):
        yield field_problem(field, f"refers to a non-directory path: {quote(location)}: %!w(<nil>)")


def _point_problems(point: str, field: str, user_home: str) -> Iterator[Problem]:
    if point in _SYSTEM_PATHS:
        yield field_problem(field, "must not be a system path such as /etc or /usr")
    if point == user_home:
        yield field_problem(field, f"is the reserved internal home directory {quote(user_home)}")
    if point.startswith("~"):
        yield field_problem(field, "must not start with `~`")


def mount_type_problems(mount_type: str | None, unsupported: tuple[str, ...]) -> Iterator[Problem]:
    """Of `mountType`, whatever the driver."""
    if mount_type is None:
        return
    if mount_type not in MOUNT_TYPES:
        known = "`reverse-sshfs` or `9p` or `virtiofs`, or `wsl2`"
        yield field_problem("mountType", f"must be {known}, got {quote(mount_type)}")
    if mount_type in unsupported:
        listed = " ".join(unsupported)
        yield field_problem(
            "mountType", f"must not be one of [{listed}] (`mountTypesUnsupported`), got {quote(mount_type)}"
        )


def mount_warnings(mounts: tuple[Mount, ...], *, host_os: HostOS, paths: Mapping[str, PathState]) -> Iterator[str]:
    """What will not stop a start, but may surprise."""
    for index, mount in enumerate(mounts):
        if paths.get(mount.location or "", ABSENT).kind is PathKind.MISSING:
            yield f"field `mounts[{index}].location` refers to a non-existent directory: {quote(mount.location or '')}:"
        if mount.virtiofs is not None and mount.virtiofs.queue_size is not None and host_os != HostOS.LINUX:
            yield f"field mounts[{index}].virtiofs.queueSize is only supported on Linux"
