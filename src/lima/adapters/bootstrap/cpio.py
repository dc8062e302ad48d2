"""The newc archive that kernels take as an initramfs, written without root: owners and devices are only numbers."""

import gzip
import os
import stat
from dataclasses import dataclass, field

TRAILER = "TRAILER!!!"


@dataclass(slots=True)
class InitramfsArchive:
    """Collects entries in order; everything belongs to root."""

    _parts: list[bytes] = field(default_factory=list)
    _seen: set[str] = field(default_factory=set)
    _inode: int = 0

    def directory(self, path: str, mode: int = 0o755) -> None:
        """A directory, with its parents."""
        parent = os.path.dirname(path)
        if parent and parent not in self._seen:
            self.directory(parent)
        if path not in self._seen:
            self._seen.add(path)
            self._add(path, stat.S_IFDIR | mode, b"")

    def file(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """A regular file."""
        self.directory(os.path.dirname(path))
        self._add(path, stat.S_IFREG | mode, content)

    def symlink(self, path: str, target: str) -> None:
        """A symbolic link."""
        self.directory(os.path.dirname(path))
        self._add(path, stat.S_IFLNK | 0o777, target.encode())

    def device(self, path: str, mode: int, major: int, minor: int) -> None:
        """A character device."""
        self.directory(os.path.dirname(path))
        self._add(path, stat.S_IFCHR | mode, b"", major, minor)

    def compressed(self) -> bytes:
        """The whole archive, gzipped (every kernel reads that; level 6 unpacks as fast as any)."""
        self._add(TRAILER, 0, b"")
        data = b"".join(self._parts)
        return gzip.compress(data + b"\0" * (-len(data) % 512), compresslevel=6, mtime=0)

    def _add(self, path: str, mode: int, content: bytes, major: int = 0, minor: int = 0) -> None:
        self._inode += 1
        name = path.lstrip("/").encode() + b"\0" or b".\0"
        numbers = (self._inode, mode, 0, 0, 1, 0, len(content), 0, 0, major, minor, len(name), 0)
        header = b"070701" + b"".join(b"%08X" % number for number in numbers) + name
        self._parts.append(header + b"\0" * (-len(header) % 4) + content + b"\0" * (-len(content) % 4))
