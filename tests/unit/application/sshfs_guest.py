"""A guest that runs sshfs: it has a table of mounts, and folders."""

import asyncio

from lima.application.share_folders import (
    AS_ROOT,
    MAKE_GUARD,
    MAKE_POINT,
    MOUNTS_FILE,
    REMOVE_GUARD,
    REMOVE_POINT,
    UNMOUNT,
    WHO,
)
from lima.domain.sshfs import GUARD, SshfsMount
from lima.ports.transport import RemoteResult
from lima.testing.fakes import FakeTransport

GUARD_TYPE = "tmpfs"


class Guest:
    """sshfs runs while its session does; what it mounts stays when it is killed, and is of no use."""

    def __init__(self, transport: FakeTransport) -> None:
        self.transport = transport
        transport.guest = self.run
        self.folders: dict[str, bool] = {}
        """Folder → whether anything is in it."""
        self.table: list[tuple[str, str]] = [("/", "ext4")]
        self.refusal = ""
        self.who = "1000\n1001\n"
        self.takes_guards = True
        self.sshfs_is_slow = False
        self.has_sshfs = True
        self.is_old = False
        self.unmounted: list[str] = []

    def run(self, argv: tuple[str, ...], _stdin: bytes) -> RemoteResult | None:
        if argv == ("cat", MOUNTS_FILE):
            self._sshfs()
            lines = (
                f"{source(kind)} {point.replace(' ', chr(92) + '040')} {kind} rw 0 0" for point, kind in self.table
            )
            return said("\n".join(lines))
        if argv[:-1] in (MAKE_GUARD, REMOVE_GUARD):
            return self._guard(argv[-1], is_new=argv[:-1] == MAKE_GUARD)
        if argv == ("sh", "-c", WHO):
            return said(self.who)
        if argv == ("sh", "-c", "command -v sshfs"):
            return said("", code=0 if self.has_sshfs else 127)
        if argv[:2] != ("sh", "-c"):
            return None
        _, _, script, _, point = argv
        if script == MAKE_POINT:
            is_new = point not in self.folders
            self.folders.setdefault(point, False)
            return said("made\n" if is_new else "")
        mounts = [entry for entry in self.table if entry[0] == point]
        if script == UNMOUNT:
            if not mounts:
                return said("", code=1, err="not mounted")
            self.table.remove(mounts[-1])
            self.unmounted.append(point)
            for session in self.sessions(point):
                session.set_result(said(""))
            return said("")
        assert script == REMOVE_POINT
        if self.folders.get(point, True) or mounts:
            return said("", code=1, err="not empty")
        del self.folders[point]
        return said("")

    def _guard(self, point: str, *, is_new: bool) -> RemoteResult:
        if not self.takes_guards:
            return said("", code=1, err="sudo: a password is required")
        if is_new:
            self.table.append((point, GUARD_TYPE))
        else:
            self.table.remove((point, GUARD_TYPE))
        return said("")

    def sessions(self, point: str) -> list["asyncio.Future[RemoteResult]"]:
        return [session for argv, session in self.transport.attached.items() if point in argv and not session.done()]

    @property
    def served(self) -> list[str]:
        """The mount points of sshfs, in the order of their making."""
        return [point for point, kind in self.table if kind == "fuse.sshfs"]

    def has(self, mount: SshfsMount) -> bool:
        return (mount.mount_point, "fuse.sshfs") in self.table and bool(self.sessions(mount.mount_point))

    def kill(self, mount: SshfsMount) -> None:
        """sshfs dies, and leaves a mount that nobody serves."""
        for session in self.sessions(mount.mount_point):
            session.set_result(said("", code=137))

    def _sshfs(self) -> None:
        for argv, session in self.transport.attached.items():
            point = argv[argv.index("sshfs") + 2]
            if session.done() or (point, "fuse.sshfs") in self.table or self.sshfs_is_slow:
                continue
            is_root = argv[:4] == AS_ROOT
            if self.is_old and "no_contain_symlinks" in argv[-1]:
                session.set_result(said("", code=1, err="fuse: unknown option(s): `-o no_contain_symlinks'"))
            elif self.refusal and "nonempty" not in argv[-1] and not (is_root and "access" in self.refusal):
                session.set_result(said("", code=1, err=self.refusal))
            elif (point, GUARD_TYPE) in self.table and not is_root:
                session.set_result(said("", code=1, err=f"fusermount3: user has no write access to mountpoint {point}"))
            else:
                self.table.append((point, "fuse.sshfs"))


def source(kind: str) -> str:
    return GUARD if kind == GUARD_TYPE else "x"


def said(out: str, *, code: int = 0, err: str = "") -> RemoteResult:
    return RemoteResult(exit_code=code, stdout=out.encode(), stderr=err.encode())
