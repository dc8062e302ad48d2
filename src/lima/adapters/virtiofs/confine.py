"""Becomes virtiofsd, confined to one directory: run as a program of its own, with the standard library only.

    python confine.py READY GO LOCATION ro|rw -- COMMAND…

In a user namespace of its own, whose map the parent writes (it is asked by a byte on the descriptor READY and answers
by one on GO), the program is root over the directory's files, and over nothing else on this host. The directory is
bound to itself without set-uid programs and devices, read-only where it is to be: virtiofsd of QEMU 7 has no such
option. The words `{sandbox}` in COMMAND become `namespace`, or `chroot` where this host (a container, mostly) lets no
one mount `/proc`.

What the guest's user makes is the caller's on this host, where a mount option of ours says nothing. So the kernel also
refuses the program to make set-uid files (a filter of its system calls), and takes both bits away where it writes into
one or sets the group's (it lacks CAP_FSETID): there is no other way for a guest to get the rights of who shares.
"""

import contextlib
import ctypes
import os
import platform
import resource
import struct
import sys

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID = 0x00020000, 0x10000000, 0x20000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
SYS_MOUNT_SETATTR, AT_FDCWD, AT_RECURSIVE = 442, -100, 0x8000
"""The same number on every architecture; since Linux 5.12."""
PR_SET_SECCOMP, PR_CAPBSET_DROP, CAP_FSETID, SECCOMP_FILTER = 22, 24, 4, 2
SET_ID, SET_UID, O_CREAT, O_TMPFILE = 0o6000, 0o4000, 0o100, 0o20000000
LOAD, IF_EQUAL, IF_AT_LEAST, IF_ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
"""Classic BPF."""
ALLOW, FAIL, EPERM, ENOSYS = 0x7FFF0000, 0x00050000, 1, 38
CALL, ARCHITECTURE, ARGUMENTS = 0, 4, 16
"""Where they stand in `struct seccomp_data`. Of each argument the low half is looked at, on little-endian machines."""
UNSEEN = (425, 437)
"""io_uring_setup, openat2: their modes stand in memory. Both virtiofsd do without."""
Rule = tuple[int, int, int | None]
"""Of a call: which argument is a mode, its bits that are refused, and which one has flags, where there are any."""
EVERYWHERE: dict[int, Rule] = {452: (2, SET_UID, None)}  # fchmodat2
NEWER: dict[int, Rule] = {
    56: (3, SET_ID, 2), 34: (2, SET_ID, None), 33: (2, SET_ID, None),  # openat, mkdirat, mknodat
    52: (1, SET_UID, None), 53: (2, SET_UID, None),  # fchmod, fchmodat
}  # fmt: skip
MACHINES: dict[str, tuple[int, dict[int, Rule]]] = {
    # with the kernel's mark for it
    "aarch64": (0xC00000B7, NEWER),
    "riscv64": (0xC00000F3, NEWER),
    "x86_64": (0xC000003E, {
        2: (2, SET_ID, 1), 257: (3, SET_ID, 2), 85: (1, SET_ID, None),  # open, openat, creat
        83: (1, SET_ID, None), 258: (2, SET_ID, None),  # mkdir, mkdirat
        133: (1, SET_ID, None), 259: (2, SET_ID, None),  # mknod, mknodat
        90: (1, SET_UID, None), 91: (1, SET_UID, None), 268: (2, SET_UID, None),  # chmod, fchmod, fchmodat
    }),
}  # fmt: skip
X32 = 0x40000000
"""A bit of the calls of another ABI that x86_64 has."""

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


def call_filter(machine: str) -> bytes:
    """A program for seccomp(2). Raises: OSError for machines whose calls are not known here."""
    if machine not in MACHINES:
        raise OSError(ENOSYS, f"set-uid files cannot be kept from being made on {machine}")
    mark, calls = MACHINES[machine]

    def step(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
        return struct.pack("=HBBI", code, yes, no, value)

    def argument(number: int) -> bytes:
        return step(LOAD, ARGUMENTS + 8 * number)

    allowed, no_such_call = step(RETURN, ALLOW), step(RETURN, FAIL | ENOSYS)
    program = [step(LOAD, ARCHITECTURE), step(IF_EQUAL, mark, yes=1), no_such_call, step(LOAD, CALL)]
    program += [step(IF_AT_LEAST, X32, no=1), no_such_call]
    for call in UNSEEN:
        program += [step(IF_EQUAL, call, no=1), no_such_call]
    for call, (mode, bits, flags) in {**calls, **EVERYWHERE}.items():
        rule = [argument(mode), step(IF_ANY_BIT, bits, no=1), step(RETURN, FAIL | EPERM), allowed]
        if flags is not None:
            # what is only opened has no mode
            rule[:0] = [argument(flags), step(IF_ANY_BIT, O_CREAT | O_TMPFILE, no=len(rule) - 1)]
        program += [step(IF_EQUAL, call, no=len(rule)), *rule]
    return b"".join((*program, allowed))


class CallFilter(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = (("length", ctypes.c_ushort), ("program", ctypes.c_char_p))


def forbid_set_id() -> None:
    """For this process and what it becomes."""
    program = call_filter(platform.machine())
    size = len(program) // 8
    checked(libc.prctl(PR_CAPBSET_DROP, CAP_FSETID, 0, 0, 0), "dropping CAP_FSETID")
    loaded = libc.prctl(PR_SET_SECCOMP, SECCOMP_FILTER, ctypes.byref(CallFilter(length=size, program=program)), 0, 0)
    checked(loaded, "filtering system calls")


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
        if mode != "ro":
            forbid_set_id()
        os.set_inheritable(tell, False)
        words = [word.replace("{sandbox}", sandbox) for word in command]
        os.execv(words[0], words)  # noqa: S606  argv is the parent's
    except OSError as error:
        os.write(tell, str(error).encode(errors="replace"))
        raise SystemExit(1) from error


if __name__ == "__main__":
    main(sys.argv[1:])
