"""What a guest mounts of its host: the type and why it was chosen, and every mount in its order. Light: `list` meets it.

A further type is a name in `HANDLED`, its options in `HostMount`, and what `mount_devices` has to say of it.
"""

from collections.abc import Iterator

from lima.domain.host import HostFacts
from lima.domain.instance import quote
from lima.domain.machine import HostOS
from lima.domain.mounts import DEFAULT_QUEUE_SIZE, clean_path, is_within
from lima.domain.sizes import parse_size
from lima.domain.template import Mount, NineP, Sshfs, Template, Virtiofs
from lima.domain.values import Value
from lima.domain.versions import at_least

NINEP, VIRTIOFS, REVERSE_SSHFS = "9p", "virtiofs", "reverse-sshfs"
HANDLED = (NINEP, VIRTIOFS, REVERSE_SSHFS)
"""Types that this version can mount."""


class MountChoice(Value):
    """A type of mount, and the reason in a few words."""

    type: str
    reason: str


class NinePOptions(Value):
    """`mounts[].9p`, filled. `msize` in bytes."""

    security_model: str = "none"
    protocol_version: str = "9p2000.L"
    msize: int = 128 << 10
    cache: str = "mmap"


class SshfsOptions(Value):
    """`mounts[].sshfs`, filled."""

    cache: bool = True
    follow_symlinks: bool = False


class HostMount(Value):
    """One directory of the host in the guest. `location` (host) and `mount_point` (guest) are absolute and clean; `given`
    is the mount point as the template has it."""

    location: str
    mount_point: str
    given: str = ""
    writable: bool = False
    ninep: NinePOptions = NinePOptions()
    queue_size: int = DEFAULT_QUEUE_SIZE
    sshfs: SshfsOptions = SshfsOptions()

    def __str__(self) -> str:
        mode = "writable" if self.writable else "read-only"
        return f"{quote(self.location)} on {quote(self.mount_point)} ({mode})"


class MountPlan(Value):
    """Every mount, those that others lie below first."""

    type: str = ""
    reason: str = ""
    mounts: tuple[HostMount, ...] = ()
    warnings: tuple[str, ...] = ()
    """What is done all the same, and may be regretted."""


def choose_mount_type(filled: Template, *, creating_version: str | None, facts: HostFacts) -> MountChoice:
    """For a guest of QEMU. `creating_version`: the content of `lima-version`, None for an instance without that file.

    Source: reference, config §4.8.
    """
    if filled.mount_type is not None:
        return MountChoice(type=filled.mount_type, reason="`mountType` asks for it")
    if facts.os == HostOS.WINDOWS:
        return MountChoice(type=REVERSE_SSHFS, reason="QEMU on Windows has nothing else")
    if NINEP in (filled.mount_types_unsupported or ()):
        return MountChoice(type=REVERSE_SSHFS, reason="`mountTypesUnsupported` rules out 9p")
    if not at_least(creating_version, (1, 0, 0)):
        return MountChoice(type=REVERSE_SSHFS, reason="the instance was made before Lima 1.0")
    return MountChoice(type=NINEP, reason="the default under QEMU")


def plan_mounts(mounts: tuple[Mount, ...], choice: MountChoice | None, facts: HostFacts) -> MountPlan:
    """`mounts` are filled. None where this version cannot mount that type: `support` refuses it, or warns."""
    if not mounts or choice is None or choice.type not in HANDLED:
        return MountPlan()
    planned = sorted((_planned(mount) for mount in mounts), key=lambda mount: mount.mount_point.count("/"))
    warnings = (*_warnings(planned, choice.type, facts), *_server_warnings(mounts, choice.type))
    return MountPlan(type=choice.type, reason=choice.reason, mounts=tuple(planned), warnings=warnings)


def _planned(mount: Mount) -> HostMount:
    ninep, sshfs = mount.ninep or NineP(), mount.sshfs or Sshfs()
    return HostMount(
        location=mount.location or "",
        mount_point=clean_path(mount.mount_point or ""),
        given=mount.mount_point or "",
        writable=bool(mount.writable),
        ninep=NinePOptions(
            security_model=ninep.security_model or "",
            protocol_version=ninep.protocol_version or "",
            msize=parse_size(ninep.msize or "0"),
            cache=ninep.cache or "",
        ),
        queue_size=(mount.virtiofs or Virtiofs()).queue_size or DEFAULT_QUEUE_SIZE,
        sshfs=SshfsOptions(cache=sshfs.cache is not False, follow_symlinks=bool(sshfs.follow_symlinks)),
    )


def _warnings(mounts: list[HostMount], mount_type: str, facts: HostFacts) -> Iterator[str]:
    for mount in mounts:
        if not mount.writable:
            continue
        if is_within(facts.lima_home, mount.location):
            yield f"mount {mount}: the guest can write to {quote(facts.lima_home)}, where its own configuration is"
        model = mount.ninep.security_model
        if facts.is_root and mount_type == NINEP and model in ("none", "passthrough"):
            yield (
                f"mount {mount}: `securityModel: {model}` makes the guest's root the host's root in it;"
                " `mapped-xattr` does not"
            )
        if facts.is_root and mount_type == VIRTIOFS:
            yield (
                f"mount {mount}: the guest can make set-uid programs of root in it; keep it where other users of this"
                " host do not get, or set `mountType: 9p`"
            )


def _server_warnings(mounts: tuple[Mount, ...], mount_type: str) -> Iterator[str]:
    for mount in mounts if mount_type == REVERSE_SSHFS else ():
        driver = (mount.sshfs or Sshfs()).sftp_driver
        if driver not in (None, "", "builtin"):
            yield (
                f"mount {quote(mount.mount_point or '')}: `sftpDriver: {driver}` is ignored: the server is always the"
                " one that is built in, which keeps guests within their shares"
            )
