"""Give up the additional disks that an instance holds, once its guest has ended."""

from dataclasses import dataclass

from lima.domain.errors import DiskNotFoundError
from lima.ports.disk_store import DiskStore
from lima.ports.instance_store import InstanceStore


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseDisks:
    """Returns the names of those given up: all that lead to the instance, whatever its template says by now. While its
    guest lives, none. Twice is no error."""

    disks: DiskStore
    instances: InstanceStore

    def __call__(self, name: str) -> tuple[str, ...]:
        own = self.instances.directory(name)
        if self.instances.facts(name).driver is not None:
            return ()
        return tuple(disk for disk in self.disks.names() if self._release(disk, own))

    def _release(self, name: str, own: str) -> bool:
        disk = self.disks.look(name)
        if disk is None or disk.holder != own:
            return False
        try:
            with self.disks.alone_with(name):
                disk = self.disks.look(name)
                if disk is None or disk.holder != own:
                    return False
                self.disks.hold(name, "")
        except DiskNotFoundError:
            return False
        return True
