"""virtiofsd on this host: found, confined to its directory, and heard of when it fails."""

import asyncio
import errno
import json
import os
import struct
import subprocess
import sys

import pytest

from lima.adapters.system.host import SystemHostInspector
from lima.adapters.system.processes import SystemProcessTable
from lima.adapters.system.runner import AsyncProcessRunner
from lima.adapters.virtiofs import confine
from lima.adapters.virtiofs.binary import Virtiofsd, find_virtiofsd
from lima.adapters.virtiofs.server import VirtiofsdServer
from lima.domain.errors import LaunchFailedError, MissingToolError
from lima.ports.share_server import ServedDirectory

LOOK = """
import os, sys
place = sys.argv[1]
def attempt(name, function):
    try:
        print(name, function())
    except OSError as error:
        print(name, os.strerror(error.errno))
attempt("uid", os.getuid)
attempt("owner", lambda: os.stat(place + "/file").st_uid)
attempt("read", lambda: open(place + "/file").read())
attempt("write", lambda: open(place + "/file", "w").close())
attempt("below", lambda: open(place + "/folder/file", "w").close())
attempt("kill", lambda: os.kill(1, 0))
attempt("descriptors", lambda: [os.readlink("/proc/self/fd/" + fd)[:6] for fd in ("3", "4", "5") if os.path.exists("/proc/self/fd/" + fd)])
"""


SET_ID = """
import ctypes, errno, os, sys
file, new = sys.argv[1] + "/file", sys.argv[1] + "/new"
libc = ctypes.CDLL(None, use_errno=True)
def mode(path):
    return oct(os.stat(path).st_mode & 0o7777)
def attempt(name, function):
    try:
        print(name, function(), sep=": ")
    except OSError as error:
        print(name, os.strerror(error.errno), sep=": ")
def call(number, *arguments):
    if libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), "")
with open(file, "r+") as opened:
    attempt("write", lambda: (opened.write("x"), opened.flush(), mode(file))[-1])
    attempt("fchmod", lambda: os.fchmod(opened.fileno(), 0o4755))
attempt("chmod", lambda: os.chmod(file, 0o4711))
attempt("fchmodat", lambda: os.chmod("file", 0o6711, dir_fd=os.open(sys.argv[1], os.O_RDONLY)))
attempt("fchmodat2", lambda: call(452, -100, file.encode(), 0o4711, 0))
attempt("group", lambda: (os.chmod(file, 0o2755), mode(file))[-1])
attempt("create", lambda: os.open(new, os.O_CREAT | os.O_WRONLY, 0o4755))
attempt("create for a group", lambda: os.open(new, os.O_CREAT | os.O_WRONLY, 0o2755))
attempt("unnamed", lambda: os.open(sys.argv[1], os.O_TMPFILE | os.O_WRONLY, 0o4755))
attempt("mknod", lambda: os.mknod(new, 0o104755))
attempt("mkdir", lambda: os.mkdir(new, 0o2755))
attempt("openat2", lambda: call(437, -100, file.encode(), (ctypes.c_uint64 * 3)(), 24))
attempt("io_uring", lambda: call(425, 1, (ctypes.c_char * 120)()))
attempt("other modes", lambda: (os.chmod(file, 0o1751), mode(file))[-1])
attempt("other opens", lambda: os.close(os.open(file, os.O_RDONLY, 0o4755)))
attempt("other files", lambda: os.close(os.open(new, os.O_CREAT | os.O_WRONLY, 0o640)))
"""


def confined(location: str, mode: str, *command: str) -> list[str]:
    """What a command says where virtiofsd would run: as the guest's user 1000 is ours, and root nobody."""
    ready, tell = os.pipe()
    hear, go = os.pipe()
    argv = [sys.executable, "-IS", confine.__file__, str(tell), str(hear), location, mode, "--", *command]
    with subprocess.Popen(argv, pass_fds=(tell, hear), stdout=subprocess.PIPE, text=True) as child:
        os.close(tell)
        try:
            if os.read(ready, 1) != b"1":
                pytest.skip("no user namespace is to be had")
            for kind, own in (("uid", os.geteuid()), ("gid", os.getegid())):
                with open(f"/proc/{child.pid}/{kind}_map", "w", encoding="ascii") as file:
                    file.write(f"0 1879048192 1000\n1000 {own} 1\n")
            os.write(go, b"1")
            complaint = os.read(ready, 4096)
            said = child.communicate(timeout=30)[0]
        finally:
            for descriptor in (ready, hear, go):
                os.close(descriptor)
    assert complaint == b""
    return said.splitlines()


@pytest.mark.skipif(os.geteuid() != 0, reason="writes the map of a namespace itself, as root's host agent does")
@pytest.mark.parametrize(("mode", "written"), [("ro", "Read-only file system"), ("rw", "None")])
def test_it_is_confined_to_its_directory(tmp_path, mode: str, written: str) -> None:
    shared = tmp_path / "shared"
    (shared / "folder").mkdir(parents=True)
    (shared / "file").write_text("hello")
    said = dict(line.split(" ", 1) for line in confined(str(shared), mode, sys.executable, "-ISc", LOOK, str(shared)))
    assert said["uid"] == "0"
    assert said["owner"] == "1000"
    assert said["read"] == "hello"
    assert (said["write"], said["below"]) == (written, written)
    assert said["kill"] == "Operation not permitted"
    assert "pipe:" not in said["descriptors"]


@pytest.mark.skipif(os.geteuid() != 0, reason="see above")
def test_a_set_user_id_program_of_the_share_gives_nothing(tmp_path) -> None:
    said = confined(str(tmp_path), "rw", "/bin/sh", "-c", f"grep ' {tmp_path} ' /proc/self/mountinfo | cut -d' ' -f6")
    assert {"nosuid", "nodev"} <= set(said[0].split(","))


@pytest.mark.skipif(os.geteuid() != 0, reason="see above")
def test_no_program_of_a_guest_gets_the_rights_of_who_shares(tmp_path) -> None:
    file = tmp_path / "file"
    file.write_text("a program")
    file.chmod(0o6755)
    said = confined(str(tmp_path), "rw", sys.executable, "-ISc", SET_ID, str(tmp_path))
    refused, unknown = os.strerror(errno.EPERM), os.strerror(errno.ENOSYS)
    assert dict(line.split(": ", 1) for line in said) == {
        "write": "0o755", "fchmod": refused, "chmod": refused, "fchmodat": refused, "fchmodat2": refused,
        "group": "0o755", "create": refused, "create for a group": refused, "unnamed": refused, "mknod": refused,
        "mkdir": refused, "openat2": unknown, "io_uring": unknown, "other modes": "0o1751", "other opens": "None",
        "other files": "None",
    }  # fmt: skip
    assert (os.stat(tmp_path / "new").st_mode & 0o7777, file.stat().st_mode & 0o7777) == (0o640, 0o1751)


def verdict(machine: str, call: int, *arguments: int, mark: int = 0) -> int:
    """What the kernel would make of a call: 0, or an errno."""
    data = struct.pack("=IIQ6Q", call, mark or confine.MACHINES[machine][0], 0, *arguments, *(6 - len(arguments)) * [0])
    steps = list(struct.iter_unpack("=HBBI", confine.call_filter(machine)))
    at = word = 0
    while True:
        code, yes, no, value = steps[at]
        at += 1
        if code == confine.LOAD:
            (word,) = struct.unpack_from("=I", data, value)
        elif code == confine.RETURN:
            return 0 if value == confine.ALLOW else value - confine.FAIL
        else:
            tests = {confine.IF_EQUAL: word == value, confine.IF_AT_LEAST: word >= value}
            at += yes if tests.get(code, bool(word & value)) else no


@pytest.mark.parametrize(
    ("machine", "openat", "fchmod", "fchmodat", "mkdirat", "mknodat"),
    [("x86_64", 257, 91, 268, 258, 259), ("aarch64", 56, 52, 53, 34, 33), ("riscv64", 56, 52, 53, 34, 33)],
)
def test_on_every_machine_the_same_calls_are_refused(
    machine: str, openat: int, fchmod: int, fchmodat: int, mkdirat: int, mknodat: int
) -> None:
    create = os.O_CREAT | os.O_WRONLY
    for call, *arguments in (
        (openat, 3, 4, create, 0o4755), (openat, 3, 4, create, 0o2755), (openat, 3, 4, os.O_TMPFILE, 0o4755),
        (fchmod, 3, 0o4755), (fchmodat, 3, 4, 0o6755), (452, 3, 4, 0o4755, 0), (mkdirat, 3, 4, 0o2755),
        (mknodat, 3, 4, 0o104755, 0),
    ):  # fmt: skip
        assert verdict(machine, call, *arguments) == errno.EPERM
    for call, *arguments in (
        (openat, 3, 4, create, 0o644), (openat, 3, 4, os.O_RDWR, 0o4755), (fchmod, 3, 0o1777), (fchmodat, 3, 4, 0o2755),
        (452, 3, 4, 0o755, 0), (mkdirat, 3, 4, 0o1777), (mknodat, 3, 4, 0o100644, 0), (0, 0o6000, 0o6000, 0o6000),
    ):  # fmt: skip
        assert verdict(machine, call, *arguments) == 0
    assert [verdict(machine, call) for call in (437, 425, confine.X32 | openat)] == [errno.ENOSYS] * 3
    assert verdict(machine, 0, mark=0x40000003) == errno.ENOSYS, "i386, say"


def test_where_no_call_is_known_nothing_is_served() -> None:
    with pytest.raises(OSError, match="set-uid files cannot be kept from being made on s390x"):
        confine.call_filter("s390x")


@pytest.mark.parametrize("content", ["{", "[]", '{"type": "gpu", "binary": "/x"}', '{"type": "fs", "binary": "x"}'])
def test_descriptions_that_lead_nowhere_are_passed_over(tmp_path, content: str) -> None:
    folder = tmp_path / ".local/share/qemu/vhost-user"
    folder.mkdir(parents=True)
    (folder / "10.json").write_text(content)
    program = tmp_path / "virtiofsd"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    nowhere = str(tmp_path / "bin/qemu")
    found = find_virtiofsd(home=str(tmp_path), qemu=nowhere, fallbacks=(str(program),), system=str(tmp_path / "none"))
    assert found == str(program)


def test_a_description_comes_before_the_usual_places(tmp_path) -> None:
    folder = tmp_path / "share/qemu/vhost-user"
    folder.mkdir(parents=True)
    (folder / "50.json").write_text(json.dumps({"type": "fs", "binary": "/bin/sh"}))
    qemu = str(tmp_path / "bin/qemu")
    assert find_virtiofsd(home="/nonexistent", qemu=qemu, fallbacks=("/bin/true",), system="/none") == "/bin/sh"
    with pytest.raises(MissingToolError, match="virtiofsd") as caught:
        find_virtiofsd(home="/nonexistent", qemu="/none/bin/qemu", fallbacks=(), system="/none")
    assert "mountType: 9p" in caught.value.hint


def test_both_programs_are_told_the_same_in_their_own_words() -> None:
    ours, older = (Virtiofsd(path="/v", is_rust=rust).arguments(7, "/a,b") for rust in (True, False))
    assert ours == (
        "/v", "--fd=7", "--shared-dir=/a,b", "--sandbox={sandbox}", "--xattr", "--announce-submounts",
        "--rlimit-nofile=0", "--modcaps=-fsetid",
    )  # fmt: skip
    assert older[:4] == ("/v", "--fd=7", "-f", "-o")
    assert "source=/a\\,b" in older
    assert {"sandbox={sandbox}", "modcaps=-fsetid"} <= set(older)


async def test_one_that_does_not_start_is_told_with_its_reason(tmp_path) -> None:
    server = VirtiofsdServer(
        facts=SystemHostInspector().facts(), runner=AsyncProcessRunner(), processes=SystemProcessTable()
    )
    gone = ServedDirectory(
        location=str(tmp_path / "gone"), socket=str(tmp_path / "s"), log=str(tmp_path / "log"), guest_uid=1000
    )
    try:
        with pytest.raises(LaunchFailedError, match="No such file or directory"):
            await asyncio.wait_for(server.serve(gone), 30)
    except MissingToolError as error:
        pytest.skip(error.message)


async def test_a_location_that_is_a_link_serves_what_it_leads_to_and_is_confined(tmp_path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    processes = SystemProcessTable()
    server = VirtiofsdServer(facts=SystemHostInspector().facts(), runner=AsyncProcessRunner(), processes=processes)
    directory = ServedDirectory(
        location=str(tmp_path / "link"), socket=str(tmp_path / "s"), log=str(tmp_path / "log"), guest_uid=1000
    )
    try:
        process = await server.serve(directory)
    except MissingToolError as error:
        pytest.skip(error.message)
    try:
        _, writer = await asyncio.open_unix_connection(directory.socket)
        with open(f"/proc/{process.pid}/status", encoding="ascii") as file:
            status = {key: value.strip() for key, _, value in (line.partition(":") for line in file)}
        assert (status["Seccomp"], int(status["CapBnd"], 16) & 1 << confine.CAP_FSETID) == ("2", 0)
        # it greets nobody: that it goes on is the answer
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(server.wait(process), 1)
        writer.close()
        await asyncio.wait_for(server.wait(process), 10)
    finally:
        await server.stop(process)
