"""Who uses an additional disk, and whether that still counts."""

from dataclasses import dataclass

from lima.domain.disks import DiskUse, StoredDisk
from lima.domain.instance import instance_name_problem
from lima.ports.instance_store import InstanceStore


@dataclass(frozen=True, slots=True, kw_only=True)
class FindDiskUse:
    """By the link in the disk's directory and the facts of the instance that it leads to. Never changes anything.

    A holder lives while its host agent or its guest does, upstream's included, or while somebody holds its lock. One
    outside this LIMA_HOME cannot be asked, and counts as long as its directory is there.
    """

    instances: InstanceStore

    def __call__(self, disk: StoredDisk) -> DiskUse:
        if not disk.holder:
            return DiskUse()
        instance = disk.holder.rpartition("/")[2]
        if instance_name_problem(instance) or disk.holder != self.instances.directory(instance):
            return DiskUse(instance=instance, directory=disk.holder, is_live=disk.holder_is_there, is_elsewhere=True)
        facts = self.instances.facts(instance)
        process = facts.agent or facts.driver
        unknown = facts.problems if not facts.has_config else ()
        return DiskUse(
            instance=instance,
            directory=disk.holder,
            is_live=process is not None or facts.lock_held or bool(unknown),
            pid=process.pid if process is not None else facts.lock_holder,
            problems=unknown,
        )
