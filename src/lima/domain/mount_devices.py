"""A mount plan as the hypervisor's devices and as lines of the guest's fstab."""

import hashlib
from collections.abc import Iterator

from lima.domain.machine_spec import NinePShare, VirtiofsShare
from lima.domain.mount_plan import NINEP, VIRTIOFS, HostMount, MountPlan


def mount_tag(mount: HostMount) -> str:
    """How the guest finds it. Source: reference, runtime §0.5."""
    named = f"{mount.location}:{mount.given or mount.mount_point}"
    return "lima-" + hashlib.sha256(named.encode(errors="surrogateescape")).hexdigest()[:16]


def shares(plan: MountPlan, directory: str) -> tuple[NinePShare | VirtiofsShare, ...]:
    """What the hypervisor is asked for; sockets lie in the instance's `directory`."""
    if plan.type == VIRTIOFS:
        return tuple(
            VirtiofsShare(tag=mount_tag(mount), socket=virtiofs_socket(directory, index), queue_size=mount.queue_size)
            for index, mount in enumerate(plan.mounts)
        )
    if plan.type == NINEP:
        return tuple(
            NinePShare(
                tag=mount_tag(mount),
                path=mount.location,
                security_model=mount.ninep.security_model,
                read_only=not mount.writable,
            )
            for mount in plan.mounts
        )
    return ()


def virtiofs_socket(directory: str, index: int) -> str:
    """Source: reference, runtime §3.8."""
    return f"{directory}/virtiofsd-{index}.sock"


def fstab(plan: MountPlan) -> tuple[tuple[str, ...], ...]:
    """The six fields of each line, nothing escaped; of the types that a guest mounts by itself.

    Source: reference, runtime §10.3 and §10.4.
    """
    if plan.type not in (NINEP, VIRTIOFS):
        return ()
    return tuple(
        (mount_tag(mount), mount.mount_point, plan.type, ",".join(_options(mount, plan.type)), "0", "0")
        for mount in plan.mounts
    )


def _options(mount: HostMount, mount_type: str) -> Iterator[str]:
    yield "rw" if mount.writable else "ro"
    if mount_type == NINEP:
        ninep = mount.ninep
        yield from ("trans=virtio", f"version={ninep.protocol_version}", f"msize={ninep.msize}", f"cache={ninep.cache}")
    yield "nofail"


def fstab_line(fields: tuple[str, ...]) -> str:
    """As fstab(5) and /proc/mounts write them: what would end a field is octal."""
    return "\t".join(field.translate(_FSTAB) for field in fields) + "\n"


_FSTAB = {ord(character): f"\\{ord(character):03o}" for character in " \t\n\\#"}
