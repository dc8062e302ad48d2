"""Whether an instance may be deleted or reset."""

from dataclasses import dataclass

from lima.domain.errors import InstanceNotFoundError
from lima.domain.instance import FileName, quote
from lima.ports.instance_store import InstanceStore


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtectInstance:
    """A protected instance is refused by `delete`, forced or not, and by `factory-reset`.

    Raises: InstanceNotFoundError, StorageError.
    """

    store: InstanceStore

    def __call__(self, name: str, *, wanted: bool) -> bool:
        """Whether that changed anything."""
        if not self.store.exists(name):
            raise InstanceNotFoundError(
                f"failed to inspect instance {quote(name)}: there is none of that name",
                hint="`limactl list` shows the instances there are",
            )
        if self.store.has(name, FileName.PROTECTED) == wanted:
            return False
        if wanted:
            self.store.write(name, FileName.PROTECTED, b"", mode=0o400)
        else:
            self.store.remove(name, FileName.PROTECTED)
        return True
