"""Becomes virtiofsd, confined to one directory: run as a program of its own, with the standard library only.

    python confine.py READY GO LOCATION ro|rw -- COMMAND…

In a user namespace of its own, whose map the parent writes (it is asked by a byte on the descriptor READY and answers
by one on GO), the program is root over the directory's files, and over nothing else on this host. The directory is
bound to itself without set-uid programs and devices, read-only where it is to be: virtiofsd of QEMU 7 has no such
option. The words `{sandbox}` in COMMAND become `namespace`, or `chroot` where this host (a container, mostly) lets no
one mount `/proc`.
"""

import contextlib
import ctypes
import os
import resource
import sys

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID = 0x00020000, 0x10000000, 0x20000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
SYS_MOUNT_SETATTR, AT_FDCWD, AT_RECURSIVE = 442, -100, 0x8000
"""The same number on every architecture; since Linux 5.12."""

libc = ctypes.CDLL(None, use_errno=True)


class MountAttributes(ctypes.Structure):
    """`struct mount_attr` of mount_setattr(2)."""

    _fields_ = (
        ("set", ctypes.c_uint64),
        ("clear", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns", ctypes.c_uint64),
    )


def checked(result: int, what: str) -> None:
    """Raises: OSError where a call of libc failed."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    """New namespaces for this process."""
    checked(libc.unshare(flags), "unshare")


def mount(source: str, target: str, kind: str, flags: int) -> None:
    """Whatever is attached or changed: `flags` says so."""
    words = (os.fsencode(source), os.fsencode(target), os.fsencode(kind))
    checked(libc.mount(*words, ctypes.c_ulong(flags), None), f"mount on {target}")


def confine(location: str, *, read_only: bool) -> None:
    """Bind the directory to itself, with all that is mounted below it, and take away what a guest must not have."""
    mount("none", "/", "", MS_REC | MS_PRIVATE)
    mount(location, location, "", MS_BIND | MS_REC)
    flags = MS_NOSUID | MS_NODEV | (MS_RDONLY if read_only else 0)
    attributes = MountAttributes(set=flags)
    path, size = os.fsencode(location), ctypes.sizeof(attributes)
    done = libc.syscall(SYS_MOUNT_SETATTR, AT_FDCWD, path, AT_RECURSIVE, ctypes.byref(attributes), size)
    if done < 0:
        mount("none", location, "", MS_REMOUNT | MS_BIND | flags)


def may_mount_proc() -> bool:
    """Tried in a process that is thrown away."""
    child = os.fork()
    if child == 0:
        try:
            unshare(CLONE_NEWPID | CLONE_NEWNS)
            first = os.fork()
            if first == 0:
                mount("proc", "/proc", "proc", 0)
                os._exit(0)
            os._exit(os.waitstatus_to_exitcode(os.waitpid(first, 0)[1]))
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def main(argv: list[str]) -> None:
    """Does not return. Whatever goes wrong is written to READY, which the program's start closes."""
    ready, go, location, mode, _, *command = argv
    tell = int(ready)
    try:
        unshare(CLONE_NEWUSER | CLONE_NEWNS)
        os.write(tell, b"1")
        if os.read(int(go), 1) != b"1":
            raise SystemExit(1)
        os.close(int(go))
        with contextlib.suppress(PermissionError):
            # denied in a namespace whose groups were mapped without privilege
            os.setgroups([])
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
        confine(os.path.realpath(location), read_only=mode == "ro")
        sandbox = "namespace" if may_mount_proc() else "chroot"
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        os.set_inheritable(tell, False)
        words = [word.replace("{sandbox}", sandbox) for word in command]
        os.execv(words[0], words)  # noqa: S606  argv is the parent's
    except OSError as error:
        os.write(tell, str(error).encode(errors="replace"))
        raise SystemExit(1) from error


if __name__ == "__main__":
    main(sys.argv[1:])
