"""Mounts that a guest makes with `sshfs`, of an SFTP server of ours at the other end of an ssh command.

Source: reference, runtime §10.2.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from lima.domain.mount_plan import REVERSE_SSHFS, MountPlan

OWN_TYPES = ("fuse.sshfs", "fuse.osxfuse")
GUARD = "lima-guard"
"""The name of an empty, read-only file system below a mount: what a guest's programs write while the mount is away fails,
and is not hidden on the guest's own disk when it is back."""
_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True, kw_only=True)
class SshfsMount:
    """One of them. Paths are absolute and clean: `location` on the host, `mount_point` in the guest."""

    location: str
    mount_point: str
    writable: bool = False
    cache: bool = True
    follow_symlinks: bool = False

    def is_below(self, other: "SshfsMount") -> bool:
        """Whether it lies in what `other` mounts."""
        return self.mount_point.startswith(other.mount_point.rstrip("/") + "/")


def sshfs_mounts(plan: MountPlan) -> tuple[SshfsMount, ...]:
    """Those that need us: none where the guest mounts by itself."""
    if plan.type != REVERSE_SSHFS:
        return ()
    return tuple(
        SshfsMount(
            location=mount.location,
            mount_point=mount.mount_point,
            writable=mount.writable,
            cache=mount.sshfs.cache,
            follow_symlinks=mount.sshfs.follow_symlinks,
        )
        for mount in plan.mounts
    )


def in_order(mounts: Iterable[SshfsMount]) -> tuple[SshfsMount, ...]:
    """Those that others lie below come first."""
    return tuple(sorted(mounts, key=lambda mount: mount.mount_point.count("/")))


def sshfs_argv(mount: SshfsMount, *, raw_links: bool = False, nonempty: bool = False) -> tuple[str, ...]:
    """The guest's command. `raw_links`: a new sshfs (2026) wants to be told that links are shown that lead up or are
    absolute; `nonempty`: an old one, that files may be hidden. Neither knows the other's option."""
    options = ["allow_other"]
    if raw_links:
        options.append("no_contain_symlinks")
    if not mount.cache:
        options.append("cache=no")
    if mount.follow_symlinks:
        options.append("follow_symlinks")
    if nonempty:
        options.append("nonempty")
    mode = () if mount.writable else ("-o", "ro")
    return ("sshfs", f":{mount.location}", mount.mount_point, "-o", "slave", *mode, "-o", ",".join(options))


def wants_nonempty(complaint: str) -> bool:
    """Whether an sshfs has refused to hide files, and would do so when told."""
    return "nonempty" in complaint and "not empty" in complaint


def is_too_old(complaint: str) -> bool:
    """Whether an sshfs does not know `raw_links`."""
    return "no_contain_symlinks" in complaint


def wants_root(complaint: str) -> bool:
    """Whether the guest's user may not mount there: on what is another's, or in a read-only mount."""
    return "no write access to mountpoint" in complaint


def mounted(proc_mounts: str) -> dict[str, str]:
    """The type of what is mounted last on each mount point, guards aside, from the text of /proc/mounts."""
    return {point: kind for source, point, kind in _lines(proc_mounts) if source != GUARD}


def guarded(proc_mounts: str) -> frozenset[str]:
    """The mount points that have a guard."""
    return frozenset(point for source, point, _ in _lines(proc_mounts) if source == GUARD)


def _lines(proc_mounts: str) -> Iterator[tuple[str, str, str]]:
    for line in proc_mounts.splitlines():
        fields = line.split(" ")
        if len(fields) >= 3:
            yield fields[0], _OCTAL.sub(lambda match: chr(int(match[1], 8)), fields[1]), fields[2]
