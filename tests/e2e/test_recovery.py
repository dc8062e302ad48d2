"""Kills host agent, QEMU, control master and CLI as docs/recovery.md lists it, and looks at what the table promises."""

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.e2e.conftest import REPO, WARM_S, Home, fresh_home, is_alive, wait_for

pytestmark = [pytest.mark.guest, pytest.mark.needs_qemu]
NAME = "tiny"


@dataclass(frozen=True)
class Row:
    id: str
    killed: tuple[str, ...]
    when: str
    status: str
    reason: str
    next_start: str


def rows() -> list[Row]:
    with open(os.path.join(REPO, "docs", "recovery.md"), encoding="utf-8") as file:
        lines = [line for line in file if line.startswith("| ") and not line.startswith("| id ")]
    found = []
    for line in lines:
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if cells[1] == "-" or cells[2] not in ("rest", "boot", "stop") or cells[0].startswith(("host-", "foreign")):
            continue
        found.append(Row(cells[0], tuple(cells[1].split()), cells[2], cells[4], cells[5], cells[6]))
    return found


@pytest.fixture(scope="module")
def recovering() -> Iterator[Home]:
    with fresh_home() as home:
        home.ok("create", "template:tiny", timeout=300)
        yield home


def master_pid(home: Home) -> int:
    done = subprocess.run(
        ["ssh", "-F", home.file(NAME, "ssh.config"), "-O", "check", f"lima-{NAME}"],
        capture_output=True,
        timeout=10,
        check=False,
    )
    found = re.search(rb"pid=(\d+)", done.stderr)
    return int(found[1]) if found else 0


def boot_id(home: Home) -> str:
    return home.ok("shell", NAME, "cat", "/proc/sys/kernel/random/boot_id").out.strip()


def guest_runs(home: Home) -> bool:
    return is_alive(home.pid(NAME, "qemu.pid")) and os.path.exists(home.file(NAME, "serial.log"))


def kill(pid: int) -> None:
    if is_alive(pid):
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not is_alive(pid), seconds=10, what=f"pid {pid} dies")


@contextlib.contextmanager
def moment(home: Home, when: str, killed: tuple[str, ...]) -> Iterator["subprocess.Popen[bytes] | None"]:
    """The instance at the moment that the row names, with the command that runs then."""
    command = None
    if when == "boot":
        command = home.spawn("start", "--tty=false", NAME)
        wait_for(lambda: guest_runs(home), seconds=30, what="the guest executes")
    else:
        home.ok("start", "--tty=false", NAME)
    if when == "stop":
        command = home.spawn("stop", NAME)
        if "driver" in killed:
            # before the guest has ended by itself
            wait_for(lambda: "Shutting down" in home.read(NAME, "ha.stderr.log"), seconds=30, what="the stop began")
        else:
            wait_for(lambda: "poweroff" in home.read(NAME, "serial.log"), seconds=30, what="the guest heard the button")
    try:
        yield command
    finally:
        if command is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                command.communicate(timeout=60)
            command.kill()
            command.communicate()


RARER = ("agent-cli", "driver-cli", "agent-master", "driver-master")
"""Pairs that meet the same code as their parts: with `make e2e-all`."""


@pytest.mark.parametrize(
    "row",
    [pytest.param(row, id=row.id, marks=[pytest.mark.e2e_all] if row.id.endswith(RARER) else []) for row in rows()],
)
def test_what_the_table_promises(recovering: Home, row: Row) -> None:
    home = recovering
    home.limactl("stop", "-f", NAME)
    with moment(home, row.when, row.killed) as command:
        before = boot_id(home) if row.when == "rest" else ""
        victims = {
            "agent": home.pid(NAME, "ha.pid"),
            "driver": home.pid(NAME, "qemu.pid"),
            "master": master_pid(home) if "master" in row.killed else 0,
            "cli": command.pid if command is not None else 0,
        }
        # all at once, then their ends: whoever dies last must not have the time to react
        for victim in row.killed:
            if is_alive(victims[victim]):
                os.kill(victims[victim], signal.SIGKILL)
        for victim in row.killed:
            wait_for(lambda pid=victims[victim]: not is_alive(pid), seconds=10, what=f"{victim} dies")

        def as_promised() -> bool:
            record = home.record(NAME)
            reasons = " ".join(record.get("errors", []))
            is_settled = row.reason in reasons if row.reason else not reasons
            return record["status"] == row.status and is_settled

        wait_for(as_promised, seconds=60, what=f"{row.status}: {row.reason} (now {home.record(NAME)})")
    processes = home.processes(NAME)
    home.ok("start", "--tty=false", NAME, timeout=WARM_S)
    assert home.status(NAME) == "Running"
    if row.next_start == "nothing" and row.when == "rest" and "master" not in row.killed:
        assert home.processes(NAME) == processes
    if row.next_start == "attaches" and before:
        assert boot_id(home) == before
    if row.next_start == "boots" and before:
        assert boot_id(home) != before
    assert home.ok("shell", NAME, "hostname").out.strip() == "lima-tiny"


def test_fifty_lists_in_parallel_during_all_this_never_fail(recovering: Home) -> None:
    home = recovering
    home.limactl("stop", "-f", NAME)
    start = home.spawn("start", "--tty=false", NAME)
    lists = []
    for number in range(50):
        lists.append(home.spawn("list", "--json"))
        if number % 10 == 9:
            time.sleep(0.5)
        if number == 30:
            kill(home.pid(NAME, "ha.pid"))
    for process in lists:
        out, err = process.communicate(timeout=WARM_S)
        assert process.returncode == 0, err
        assert b'"name":"tiny"' in out
    start.communicate(timeout=WARM_S)
    home.ok("start", "--tty=false", NAME)


def test_two_starts_at_once_boot_once_and_both_end_well(recovering: Home) -> None:
    home = recovering
    home.limactl("stop", "-f", NAME)
    both = [home.spawn("start", "--tty=false", NAME) for _ in range(2)]
    errors = [process.communicate(timeout=WARM_S)[1].decode() for process in both]
    assert [process.returncode for process in both] == [0, 0], errors
    emulators = [pid for pid in home.processes(NAME) if "qemu" in os.readlink(f"/proc/{pid}/exe")]
    assert len(emulators) == 1


def test_pid_files_of_strangers_kill_nobody(recovering: Home) -> None:
    home = recovering
    home.limactl("stop", "-f", NAME)
    with subprocess.Popen(["sleep", "600"], stdin=subprocess.DEVNULL) as stranger:
        try:
            for file in ("ha.pid", "qemu.pid"):
                with open(home.file(NAME, file), "w", encoding="ascii") as handle:
                    handle.write(f"{stranger.pid}\n")
            assert home.status(NAME) == "Stopped"
            home.ok("stop", "-f", NAME)
            assert stranger.poll() is None
            for file in ("ha.pid", "qemu.pid"):
                with open(home.file(NAME, file), "w", encoding="ascii") as handle:
                    handle.write(f"{stranger.pid}\n")
            home.ok("delete", "-f", NAME)
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_a_command_killed_while_it_builds_the_image_is_finished_by_the_next(tmp_path) -> None:
    """Row `prepare-cli`: the instance is there, Stopped, and nothing half made is taken for whole."""
    with fresh_home(XDG_CACHE_HOME=str(tmp_path)) as home:
        start = home.spawn("start", "--tty=false", "template:tiny")
        building = os.path.join(str(tmp_path), "lima", "bootstrap")
        wait_for(lambda: os.path.isdir(building) and os.listdir(building), seconds=60, what="the build began")
        time.sleep(1)
        kill(start.pid)
        start.communicate()
        record = home.record(NAME)
        assert (record["status"], record.get("errors", [])) == ("Stopped", [])
        home.ok("start", "--tty=false", NAME)
        assert home.ok("shell", NAME, "hostname").out.strip() == "lima-tiny"
        (entry,) = os.listdir(building)
        assert not [name for name in os.listdir(os.path.join(building, entry)) if ".tmp." in name]
