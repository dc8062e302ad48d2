"""Take the additional disks of an instance for it, before its guest runs."""

from dataclasses import dataclass

from lima.application.find_disk_use import FindDiskUse
from lima.domain.config import InstanceConfig
from lima.domain.disks import DiskUse, mount_point, way_out
from lima.domain.errors import DiskInUseError, DiskNotFoundError
from lima.domain.instance import quote
from lima.ports.disk_store import DiskStore
from lima.ports.instance_store import InstanceStore


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimDisks:
    """Returns a sentence for each. What an instance holds it may claim again; the lock of one that does not run is void.

    Raises: DiskNotFoundError, DiskInUseError; what was claimed until then stays so, `ReleaseDisks` gives it up.
    """

    disks: DiskStore
    instances: InstanceStore
    find_use: FindDiskUse

    def __call__(self, name: str, config: InstanceConfig) -> tuple[str, ...]:
        said: list[str] = []
        for wanted in config.additional_disks:
            if self.disks.look(wanted.name) is None:
                raise self._missing(name, wanted.name)
            with self.disks.alone_with(wanted.name):
                said += self._claim(name, wanted.name)
            said.append(f"Mounting disk {quote(wanted.name)} on {quote(mount_point(wanted.name))}")
        return tuple(said)

    def _claim(self, name: str, disk_name: str) -> list[str]:
        disk = self.disks.look(disk_name)
        if disk is None or not disk.has_data:
            raise self._missing(name, disk_name)
        own = self.instances.directory(name)
        use = self.find_use(disk)
        if use.instance and use.directory != own:
            if use.is_live:
                raise _in_use(name, disk_name, use)
            self.disks.hold(disk_name, own)
            return [f"Took disk {quote(disk_name)} over from instance {quote(use.instance)}, which does not run"]
        self.disks.hold(disk_name, own)
        return []

    def _missing(self, name: str, disk_name: str) -> DiskNotFoundError:
        return DiskNotFoundError(
            disk_name,
            context=f"instance {quote(name)}: ",
            hint=f"`limactl disk create {disk_name} --size=10GiB` makes it; or take it out of `additionalDisks:`",
        )


def _in_use(name: str, disk_name: str, use: DiskUse) -> DiskInUseError:
    who = f"instance {quote(use.instance)}"
    if use.pid:
        who += f" (pid {use.pid})"
    return DiskInUseError(
        f"instance {quote(name)}: disk {quote(disk_name)} is in use by {who}",
        instance=use.instance,
        hint=way_out(disk_name, use),
    )
