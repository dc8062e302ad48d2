"""The instance directories under LIMA_HOME (ports/instance_store.py). Light where `list` uses it: names, facts, read.

Layout and file names are upstream's: reference, runtime §0.1 and §0.2.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import AbstractContextManager

from lima.adapters.filesystem import atomic, locks, pidfiles
from lima.adapters.filesystem.pidfiles import PidFile
from lima.domain.errors import InstanceExistsError, InstanceNotFoundError, StorageError
from lima.domain.instance import TEMPORARY_SUFFIXES, FileName, quote
from lima.domain.instance_files import is_kept_by_reset
from lima.domain.process import ProcessIdentity
from lima.domain.status import Facts

TYPE_CHECKING = False  # of typing, which costs 6 ms (docs/decisions/0008)
if TYPE_CHECKING:
    from lima.ports.instance_store import InstanceLock
    from lima.ports.processes import ProcessTable

_MAX_FILE = 16 * 1024 * 1024
_MAX_TAIL = 256 * 1024
_MAX_LINE = 1000
_MAX_SSH_CONFIG = 64 * 1024


class FilesystemInstanceStore:
    """Instances as directories of `home`, whose links are resolved; it is made (0700) by the first write."""

    def __init__(self, home: str, processes: ProcessTable) -> None:
        self._home = os.path.realpath(home)
        self._processes = processes

    # --- looking -----------------------------------------------------------------------------------------------------

    def names(self) -> tuple[str, ...]:
        """Names of all directories that are neither hidden nor ours, in byte order; and of links to an instance."""
        try:
            with os.scandir(self._home) as entries:
                found = [entry.name for entry in entries if entry.name[0] not in "._" and self._may_be_one(entry)]
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise atomic.storage_error("read", self._home, error) from error
        return tuple(sorted(found))

    def directory(self, name: str) -> str:
        """Absolute path of the instance directory, existing or not."""
        return f"{self._home}/{name}"

    def exists(self, name: str) -> bool:
        """Whether the directory is there."""
        return os.path.isdir(self.directory(name))

    def facts(self, name: str) -> Facts:
        """What the files and processes say. Never waits, never changes anything."""
        directory = self.directory(name)
        try:
            files = frozenset(os.listdir(directory))
        except FileNotFoundError:
            return Facts(has_config=False)
        except OSError as error:
            problem = f"{quote(directory)} cannot be read: {os.strerror(error.errno or 0)}"
            return Facts(has_config=False, problems=(problem,))
        agent, driver, lock = self._processes_of(name, files)
        return Facts(
            has_config=FileName.CONFIG in files,
            is_protected=FileName.PROTECTED in files,
            lock_held=lock.held,
            lock_holder=lock.holder.pid if lock.holder else 0,
            agent=agent.process,
            agent_is_foreign=_is_foreign(agent.process, lock),
            driver=driver.process,
            stale_agent_pid=agent.stale_pid,
            stale_driver_pid=driver.stale_pid,
            has_disk=FileName.DISK in files or FileName.DIFFDISK in files,
            ssh_port=self._ssh_port(name) if FileName.SSH_CONFIG in files else 0,
            problems=tuple(problem for problem in (agent.problem, driver.problem) if problem),
        )

    def has(self, name: str, file: str) -> bool:
        """Whether the instance has this file (a link that leads nowhere counts as absent)."""
        return os.path.exists(self._path(name, file))

    def read(self, name: str, file: str) -> bytes | None:
        """A file of the instance, None where it is missing. Raises: StorageError, where it is no file or over 16 MiB."""
        path = self._path(name, file)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise atomic.storage_error("read", path, error) from error
        with open(descriptor, "rb", buffering=0) as reader, atomic.translated("read", path):
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise StorageError(f"cannot read {quote(path)}: it is not a file")
            content = _read_up_to(reader.fileno(), _MAX_FILE + 1)
        if len(content) > _MAX_FILE:
            raise StorageError(f"cannot read {quote(path)}: it is larger than {_MAX_FILE >> 20} MiB")
        return content

    def tail(self, name: str, file: str, *, lines: int = 20) -> tuple[str, ...]:
        """The last lines of a log, control characters removed; empty where there is none."""
        try:
            descriptor = os.open(self._path(name, file), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            return ()
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                return ()
            start = max(0, status.st_size - _MAX_TAIL)
            content = os.pread(descriptor, _MAX_TAIL, start)
        except OSError:
            return ()
        finally:
            os.close(descriptor)
        from lima.adapters.filesystem.logtail import printable_lines

        return printable_lines(content, cut=start > 0, lines=lines, width=_MAX_LINE)

    # --- writing -----------------------------------------------------------------------------------------------------

    def write(self, name: str, file: str, content: bytes, *, mode: int = 0o644) -> None:
        """Replace a file: on the disk, complete, when this returns."""
        path = self._path(name, file)
        if not self.exists(name):
            raise _not_found(name)
        with atomic.translated("write", path):
            atomic.replace(path, content, mode=mode)

    def remove(self, name: str, file: str) -> None:
        """Remove a file; a missing one is no error."""
        path = self._path(name, file)
        with atomic.translated("remove", path):
            atomic.remove_if_there(path)

    def create(self, name: str, files: dict[str, tuple[bytes, int]]) -> None:
        """A new instance directory (0700) with these files (content, mode), complete or not at all."""
        from lima.adapters.filesystem.directories import appearing

        path = self.directory(name)
        taken = _exists(name, path)
        if os.path.lexists(path):
            raise taken
        with atomic.translated("create", path):
            atomic.make_home(self._home)
            with appearing(self._home, path, operation="create", name=name, holder=self._me(), taken=taken) as aside:
                for file, (content, mode) in files.items():
                    atomic.write_new(f"{aside}/{_plain(file)}", content, mode=mode)
                    atomic.checkpoint("create: file")

    def delete(self, name: str) -> None:
        """Remove the directory; what was interrupted, the next command finishes."""
        from lima.adapters.filesystem import directories
        from lima.adapters.filesystem.removal import refuse_mounts

        path = self.directory(name)
        if not os.path.lexists(path):
            return
        refuse_mounts(path)
        with atomic.translated("delete", path):
            directories.remove(self._home, path, operation="delete", name=name, holder=self._me())

    def clone(self, name: str, new: str) -> None:
        """A new instance with the lasting files of this one, complete or not at all."""
        from lima.adapters.filesystem.clones import copy_instance
        from lima.adapters.filesystem.directories import appearing

        source, path = self.directory(name), self.directory(new)
        taken = _exists(new, path)
        if not self.exists(name):
            raise _not_found(name)
        if os.path.lexists(path):
            raise taken
        # to the next command it is a creation: complete, or undone
        with (
            atomic.translated("clone", source),
            appearing(
                self._home, path, operation="create", name=new, holder=self._me(), taken=taken, step="clone"
            ) as aside,
        ):
            copy_instance(source, aside)

    def rename(self, name: str, new: str) -> None:
        """Give the instance another name, in one step."""
        from lima.adapters.filesystem.removal import refuse_mounts

        source, path = self.directory(name), self.directory(new)
        if not self.exists(name):
            raise _not_found(name)
        if os.path.lexists(path):
            raise _exists(new, path)
        refuse_mounts(source)
        with atomic.translated("rename", source):
            try:
                os.rename(source, path)
            except OSError as error:
                if os.path.lexists(path):
                    raise _exists(new, path) from error
                raise
            atomic.checkpoint("rename: renamed")
            atomic.sync_directory(self._home)

    def reset(self, name: str) -> tuple[str, ...]:
        """Remove all but what makes the instance, the disk first; returns the paths removed."""
        from lima.adapters.filesystem.removal import refuse_mounts, remove_tree

        directory = self.directory(name)
        refuse_mounts(directory)
        removed = []
        with atomic.translated("clear", directory):
            entries = [entry for entry in os.listdir(directory) if not is_kept_by_reset(entry)]
            for entry in sorted(entries, key=lambda entry: (entry not in (FileName.DISK, FileName.DIFFDISK), entry)):
                remove_tree(f"{directory}/{entry}")
                removed.append(f"{directory}/{entry}")
                atomic.checkpoint("reset: entry")
            atomic.sync_directory(directory)
        return tuple(removed)

    def remove_temporary(self, name: str) -> tuple[str, ...]:
        """Remove top-level `*.pid`, `*.sock`, `*.tmp`; returns the paths removed."""
        directory = self.directory(name)
        removed = []
        with atomic.translated("clear", directory):
            try:
                entries = sorted(os.listdir(directory))
            except FileNotFoundError:
                return ()
            for entry in entries:
                path = f"{directory}/{entry}"
                if entry.endswith(TEMPORARY_SUFFIXES) and not _is_directory(path) and atomic.remove_if_there(path):
                    removed.append(path)
        return tuple(removed)

    def record_process(self, name: str, file: str, process: ProcessIdentity) -> None:
        """Write `file` (a `*.facts.json`) so that a later command knows which process was meant."""
        self.write(name, file, pidfiles.encode_record(process))

    # --- the image ---------------------------------------------------------------------------------------------------

    def link_image(self, name: str, files: dict[str, str], *, is_base: bool = True) -> None:
        """Link immutable store files into the instance (`file` → absolute source), and record what a base was."""
        from lima.adapters.filesystem import links

        directory = self.directory(name)
        for file, source in files.items():
            path = self._path(name, file)
            with atomic.translated("make", path):
                links.place(source, path)
        if not is_base:
            return
        with atomic.translated("read", directory):
            known = links.recorded_files(self.read(name, FileName.BASE_FACTS))
            kept = [file for file in known if os.path.exists(self._path(name, file))]
            record = links.encode_base_facts(directory, sorted({*kept, *files}))
        self.write(name, FileName.BASE_FACTS, record)

    def adopt_legacy_layout(self, name: str) -> None:
        """Give files of older releases their new names, by relative links."""
        from lima.adapters.filesystem import links

        directory = self.directory(name)
        with atomic.translated("link", f"{directory}/{FileName.DISK}"):
            links.adopt_legacy_layout(directory)

    def base_problem(self, name: str) -> str:
        """Why a linked file is not the one recorded (size or mtime changed), or empty."""
        from lima.adapters.filesystem import links

        return links.base_problem(self.directory(name), self.read(name, FileName.BASE_FACTS))

    # --- who may change what -----------------------------------------------------------------------------------------

    def lock(self, name: str) -> InstanceLock:
        """Take the instance's lock. What writers that died had prepared aside is cleared away."""
        lock = locks.acquire(self.directory(name), name, self._processes)
        try:
            self._remove_abandoned(name)
        except BaseException:
            lock.release()
            raise
        return lock

    def inherit_lock(self, name: str, fileno: int) -> InstanceLock:
        """The lock that a parent process handed on as an open descriptor, now held in this process's name."""
        return locks.inherit(self.directory(name), name, fileno, self._processes)

    def home_lock(self) -> AbstractContextManager[None]:
        """Held while something shared by all instances is made."""
        from lima.adapters.filesystem.journal import FOLDER

        folder = f"{self._home}/{FOLDER}"
        with atomic.translated("make", folder):
            atomic.make_home(folder)
        return locks.exclusive(f"{folder}/home.lock")

    def recover(self, *, is_alive: Callable[[ProcessIdentity], bool]) -> tuple[str, ...]:
        """Finish or undo multi-step operations whose process has died; one sentence for each."""
        from lima.adapters.filesystem import journal

        return journal.recover(
            self._home, is_alive=is_alive, is_pid_alive=lambda pid: self._processes.identify(pid) is not None
        )

    # --- inside ------------------------------------------------------------------------------------------------------

    def _may_be_one(self, entry: os.DirEntry[str]) -> bool:
        """A directory with or without `lima.yaml`: what is half made is shown as broken, and not passed over."""
        if entry.is_symlink():
            return _may_be_there(self._path(entry.name, FileName.CONFIG))
        return entry.is_dir()

    def _path(self, name: str, file: str) -> str:
        return f"{self._home}/{name}/{_plain(file)}"

    def _processes_of(self, name: str, files: frozenset[str]) -> tuple[PidFile, PidFile, locks.LockState]:
        """Host agent, driver and lock as they were at one moment: looked at again where one ended meanwhile."""
        directory = self.directory(name)
        while True:
            agent = driver = PidFile()
            if FileName.HA_PID in files:
                agent = pidfiles.read_agent(directory, name, self._processes)
            if FileName.QEMU_PID in files:
                driver = pidfiles.read_driver(directory, self._processes)
            lock = locks.LockState(held=False)
            if FileName.HA_LOCK in files:
                lock = locks.probe(directory, self._processes)
            if all(pid.process is None or self._processes.is_alive(pid.process) for pid in (agent, driver)):
                return agent, driver, lock

    def _me(self) -> ProcessIdentity:
        me = self._processes.identify(os.getpid())
        return me or ProcessIdentity(pid=os.getpid(), start_ticks=0, boot_id="")

    def _ssh_port(self, name: str) -> int:
        """The port of the first `Port ` line of `ssh.config`; 0 where there is none."""
        try:
            with open(self._path(name, FileName.SSH_CONFIG), "rb") as file:
                content = file.read(_MAX_SSH_CONFIG)
        except OSError:
            return 0
        for line in content.splitlines():
            words = line.split()
            if len(words) == 2 and words[0] == b"Port" and words[1].isdigit():
                return int(words[1]) if len(words[1]) <= 5 else 0
        return 0

    def _remove_abandoned(self, name: str) -> None:
        """Remove aside files whose writer is no more."""
        directory = self.directory(name)
        with atomic.translated("clear", directory):
            atomic.remove_abandoned(directory, lambda pid: self._processes.identify(pid) is not None)


def _is_foreign(agent: ProcessIdentity | None, lock: locks.LockState) -> bool:
    """Alive, but not who holds the lock: upstream's, which takes none."""
    if agent is None:
        return False
    return not lock.held or (lock.holder is not None and lock.holder.pid != agent.pid)


def _may_be_there(path: str) -> bool:
    """Whether the file is there, as far as we may know: what cannot be looked at is reported, not hidden."""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _is_directory(path: str) -> bool:
    return os.path.isdir(path) and not os.path.islink(path)


def _plain(file: str) -> str:
    """The name, if it is one: files of an instance lie in its directory, nowhere else."""
    if not file or "/" in file or "\0" in file or file in (".", ".."):
        raise ValueError(f"not the name of a file in an instance directory: {file!r}")
    return file


def _read_up_to(descriptor: int, limit: int) -> bytes:
    parts = []
    while limit and (part := os.read(descriptor, min(limit, 1 << 20))):
        parts.append(part)
        limit -= len(part)
    return b"".join(parts)


def _not_found(name: str) -> InstanceNotFoundError:
    return InstanceNotFoundError(f"instance {quote(name)} does not exist")


def _exists(name: str, path: str) -> InstanceExistsError:
    return InstanceExistsError(
        f"instance {quote(name)} already exists ({quote(path)})",
        hint=f"choose another name, or `limactl delete {name}`",
    )
