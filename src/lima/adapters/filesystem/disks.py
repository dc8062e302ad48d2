"""The directories of additional disks under LIMA_HOME/_disks (ports/disk_store.py).

`datadisk` and `in_use_by` are upstream's; `format`, which says how the image is attached, is ours. The directory itself
is what is locked (flock) while somebody decides about the disk.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lima.adapters.filesystem import atomic, directories, journal
from lima.adapters.filesystem.removal import refuse_mounts
from lima.domain.disks import StoredDisk
from lima.domain.errors import DiskExistsError, DiskNotFoundError
from lima.domain.machine_spec import DiskFormat
from lima.domain.process import ProcessIdentity
from lima.ports.processes import ProcessTable

DATA = "datadisk"
HOLDER = "in_use_by"
FORMAT = "format"
_MAX_FORMAT = 64


class FilesystemDiskStore:
    """Disks as directories of `home/_disks`, which the first of them makes (0700)."""

    def __init__(self, home: str, processes: ProcessTable) -> None:
        self._home = os.path.realpath(home)
        self._folder = f"{self._home}/{journal.DISKS}"
        self._processes = processes

    def names(self) -> tuple[str, ...]:
        """Names of all directories but those that begin with a dot, in byte order."""
        try:
            entries = os.listdir(self._folder)
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise atomic.storage_error("read", self._folder, error) from error
        return tuple(sorted(name for name in entries if name[0] != "." and os.path.isdir(self._directory(name))))

    def look(self, name: str) -> StoredDisk | None:
        """What is there, None where there is no such disk. Never changes anything."""
        directory = self._directory(name)
        if not os.path.isdir(directory):
            return None
        holder = _holder(f"{directory}/{HOLDER}")
        return StoredDisk(
            name=name,
            directory=directory,
            has_data=os.path.isfile(f"{directory}/{DATA}"),
            recorded_format=_recorded(f"{directory}/{FORMAT}"),
            holder=holder,
            holder_is_there=bool(holder) and os.path.isdir(holder),
        )

    @contextmanager
    def making(self, name: str, format: DiskFormat) -> Iterator[str]:  # noqa: A002  the port's word
        """A path where the caller puts the image; it is the disk when the block ends well."""
        path = self._directory(name)
        taken = DiskExistsError(name, directory=path)
        if os.path.lexists(path):
            raise taken
        with atomic.translated("create", path):
            atomic.make_home(self._home)
            atomic.make_home(self._folder)
            with directories.appearing(
                self._home, path, operation=journal.CREATE_DISK, name=name, holder=self._me(), taken=taken
            ) as aside:
                atomic.write_new(f"{aside}/{FORMAT}", f"{format}\n".encode(), mode=0o644)
                yield f"{aside}/{DATA}"
                atomic.checkpoint("create-disk: filled")
                atomic.sync_file(f"{aside}/{DATA}")

    @contextmanager
    def alone_with(self, name: str) -> Iterator[None]:
        """Held while it is decided who uses the disk, or while it is changed; waits for whoever has it."""
        directory = self._directory(name)
        descriptor = self._locked(name, directory)
        try:
            with atomic.translated("clear", directory):
                atomic.remove_abandoned(directory, lambda pid: self._processes.identify(pid) is not None)
            yield
        finally:
            os.close(descriptor)

    def hold(self, name: str, instance_directory: str) -> None:
        """Make this instance the disk's holder, or nobody where it is empty. There is no moment in between."""
        directory = self._directory(name)
        path = f"{directory}/{HOLDER}"
        with atomic.translated("write", path):
            if not instance_directory:
                atomic.remove_if_there(path)
            else:
                temporary = atomic.aside(path)
                try:
                    os.symlink(instance_directory, temporary)
                    atomic.checkpoint("hold: aside")
                    os.rename(temporary, path)
                except BaseException:
                    atomic.remove_if_there(temporary)
                    raise
                atomic.checkpoint("hold: renamed")
            atomic.sync_directory(directory)

    def delete(self, name: str) -> None:
        """Remove the directory; what was interrupted, the next command finishes."""
        path = self._directory(name)
        if not os.path.lexists(path):
            return
        refuse_mounts(path)
        with atomic.translated("delete", path):
            directories.remove(self._home, path, operation=journal.DELETE_DISK, name=name, holder=self._me())

    def recover(self, *, is_alive: Callable[[ProcessIdentity], bool]) -> tuple[str, ...]:
        """Finish or undo multi-step operations whose process has died; one sentence for each."""
        return journal.recover(
            self._home, is_alive=is_alive, is_pid_alive=lambda pid: self._processes.identify(pid) is not None
        )

    def _directory(self, name: str) -> str:
        return f"{self._folder}/{name}"

    def _locked(self, name: str, directory: str) -> int:
        """A descriptor that carries the lock of the directory that has this name now."""
        while True:
            try:
                descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except (FileNotFoundError, NotADirectoryError) as error:
                raise DiskNotFoundError(name) from error
            except OSError as error:
                raise atomic.storage_error("lock", directory, error) from error
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                named, opened = os.stat(directory), os.fstat(descriptor)
                if (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino):
                    return descriptor
            except FileNotFoundError:
                pass  # deleted while we waited: opening it again says so
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)

    def _me(self) -> ProcessIdentity:
        me = self._processes.identify(os.getpid())
        return me or ProcessIdentity(pid=os.getpid(), start_ticks=0, boot_id="")


def _holder(path: str) -> str:
    """Where the link leads, with the folder's own links resolved (an instance may itself be one); empty: no link."""
    try:
        target = os.path.normpath(os.path.join(os.path.dirname(path), os.readlink(path)))
    except OSError:
        return ""
    folder, name = os.path.split(target)
    return f"{os.path.realpath(folder)}/{name}"


def _recorded(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read(_MAX_FORMAT).strip()
    except OSError:
        return ""
    return text if text in list(DiskFormat) else ""
