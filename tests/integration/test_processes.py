"""Processes by identity: real ones, zombies, and ones that took another's number."""

import asyncio
import fcntl
import os
import pathlib
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from lima.adapters.system import processes as module
from lima.adapters.system.processes import SystemProcessTable
from lima.domain.errors import InstanceError
from lima.domain.process import ProcessIdentity


def table(kind: str) -> SystemProcessTable:
    return SystemProcessTable() if kind == "proc" else SystemProcessTable(proc="/nowhere")


@pytest.fixture(params=["proc", "psutil"])
def processes(request: pytest.FixtureRequest) -> SystemProcessTable:
    return table(request.param)


@pytest.fixture
def child() -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def zombie() -> "subprocess.Popen[bytes]":
    process = subprocess.Popen(["true"])
    pidfd = os.pidfd_open(process.pid)
    select.select([pidfd], [], [], 30)
    os.close(pidfd)
    return process


def test_a_process_is_itself_until_it_ends(processes: SystemProcessTable, child: "subprocess.Popen[bytes]") -> None:
    identity = processes.identify(child.pid)
    assert identity is not None
    assert identity.pid == child.pid
    assert processes.is_alive(identity)
    assert processes.command_line(child.pid) == ("sleep", "60")

    child.kill()
    child.wait()

    assert not processes.is_alive(identity)
    assert processes.identify(child.pid) is None
    assert processes.command_line(child.pid) == ()


def test_a_zombie_is_dead(processes: SystemProcessTable) -> None:
    process = zombie()

    assert processes.identify(process.pid) is None
    process.wait()


@pytest.mark.parametrize("pid", [0, -1])
def test_no_number_is_no_process(processes: SystemProcessTable, pid: int) -> None:
    assert processes.identify(pid) is None
    assert processes.command_line(pid) == ()
    assert not processes.signal(ProcessIdentity(pid=pid, start_ticks=1, boot_id=""), 0)


def test_a_name_full_of_parentheses_is_read_well(tmp_path: pathlib.Path) -> None:
    program = tmp_path / "a) S 1 (b"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([program, "60"]) as process:
        deadline = time.monotonic() + 30
        while SystemProcessTable().command_line(process.pid)[:1] != (str(program),) and time.monotonic() < deadline:
            os.sched_yield()
        identity = SystemProcessTable().identify(process.pid)
        uptime = float(pathlib.Path("/proc/uptime").read_text(encoding="ascii").split()[0])
        process.kill()

    assert identity is not None
    assert abs(identity.start_ticks / os.sysconf("SC_CLK_TCK") - uptime) < 60


@pytest.mark.parametrize("change", ["start_ticks", "boot_id"])
def test_who_took_the_number_of_another_is_never_signalled(
    processes: SystemProcessTable, child: "subprocess.Popen[bytes]", change: str
) -> None:
    identity = processes.identify(child.pid)
    assert identity is not None
    other = ProcessIdentity(
        pid=identity.pid,
        start_ticks=identity.start_ticks - (change == "start_ticks"),
        boot_id="another" if change == "boot_id" else identity.boot_id,
    )

    assert not processes.signal(other, signal.SIGKILL)
    assert not processes.is_alive(other)

    assert child.poll() is None
    assert processes.signal(identity, signal.SIGKILL)
    assert child.wait(30) == -signal.SIGKILL
    assert not processes.signal(identity, signal.SIGKILL)


def test_without_pidfds_signals_work_all_the_same(
    child: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    processes = SystemProcessTable()
    identity = processes.identify(child.pid)
    assert identity is not None

    assert processes.signal(identity, signal.SIGTERM)
    assert child.wait(30) == -signal.SIGTERM
    assert not processes.signal(identity, signal.SIGTERM)


@pytest.mark.needs_root
def test_a_process_of_another_user_is_a_sentence() -> None:
    code = (
        "import os, signal, sys\n"
        "from lima.adapters.system.processes import SystemProcessTable\n"
        "from lima.domain.errors import InstanceError\n"
        "os.setuid(65534)\n"
        "table = SystemProcessTable()\n"
        "try:\n    table.signal(table.identify(os.getppid()), 0)\n"
        "except InstanceError as error:\n    print(error.message)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).parents[2] / "src")},
        capture_output=True,
        text=True,
        check=True,
    )

    assert "belongs to another user" in done.stdout


def test_a_system_that_refuses_to_watch_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "pidfd_open", refuse)
    with pytest.raises(InstanceError, match="Too many open files"):
        SystemProcessTable().signal(ProcessIdentity(pid=1, start_ticks=1, boot_id=""), 0)


@pytest.mark.parametrize("has_pidfd", [True, False])
async def test_the_end_of_a_process_wakes_who_waits_for_it(
    processes: SystemProcessTable,
    child: "subprocess.Popen[bytes]",
    monkeypatch: pytest.MonkeyPatch,
    has_pidfd: bool,
) -> None:
    if not has_pidfd:
        monkeypatch.delattr(os, "pidfd_open")
    identity = processes.identify(child.pid)
    assert identity is not None
    waiting = asyncio.ensure_future(processes.wait_gone(identity, timeout_s=60))
    also_waiting = asyncio.ensure_future(processes.wait_gone(identity, timeout_s=60))
    assert not await processes.wait_gone(identity, timeout_s=0.01)

    child.kill()

    # a zombie, since nobody has waited for it yet: dead all the same
    assert await waiting
    assert await also_waiting
    assert await processes.wait_gone(identity, timeout_s=60)


async def test_waiting_can_be_given_up_and_leaves_no_descriptor(child: "subprocess.Popen[bytes]") -> None:
    processes = SystemProcessTable()
    identity = processes.identify(child.pid)
    assert identity is not None
    before = len(os.listdir("/proc/self/fd"))
    waiting = asyncio.ensure_future(processes.wait_gone(identity, timeout_s=60))
    await asyncio.sleep(0)

    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    assert len(os.listdir("/proc/self/fd")) == before


async def test_who_took_the_number_of_another_is_not_waited_for(child: "subprocess.Popen[bytes]") -> None:
    other = ProcessIdentity(pid=child.pid, start_ticks=1, boot_id="another")

    assert await SystemProcessTable().wait_gone(other, timeout_s=60)
    assert child.poll() is None


def test_the_boot_id_is_the_kernels(child: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = pathlib.Path(module.BOOT_ID).read_text(encoding="ascii").strip()
    identity = SystemProcessTable().identify(child.pid)
    assert identity is not None
    assert identity.boot_id == kernel

    monkeypatch.setattr(module, "BOOT_ID", "/nowhere")
    without = SystemProcessTable().identify(child.pid)
    assert without is not None
    assert without.boot_id == ""


_HEADLESS = """\
import ctypes, fcntl, os, sys, threading

lock = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(lock, fcntl.LOCK_EX)

def last():
    os.read(0, 1)
    os._exit(0)

print("ready", flush=True)
os.read(0, 1)
threading.Thread(target=last).start()
ctypes.CDLL(None).pthread_exit(None)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="what becomes of the first thread is Linux's")
async def test_a_process_is_gone_when_its_last_thread_is(tmp_path: pathlib.Path) -> None:
    processes, lock = SystemProcessTable(), str(tmp_path / "lock")
    argv = [sys.executable, "-c", _HEADLESS, lock]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        assert child.stdout.readline() == b"ready\n"
        process = processes.identify(child.pid)
        assert process is not None
        child.stdin.write(b".")
        child.stdin.flush()
        while processes.is_alive(process):
            await asyncio.sleep(0.01)
        gone = asyncio.ensure_future(processes.wait_gone(process, timeout_s=10))
        await asyncio.sleep(0.05)
        assert not gone.done(), "its lock is still held"
        child.stdin.close()
        assert await gone
        with open(lock) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
