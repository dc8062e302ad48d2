"""Directories of the host in a real guest: what each type of mount does, what it refuses, how it comes and goes, and what
becomes of what a program writes while that which serves the mount is killed.

One Debian guest for each type, with several mounts. What the suite finds is compared with `tests/data/mounts`, whose
files `docs/mounts.md` is made of; LIMA_UPDATE_GOLDEN=1 writes them anew.
"""

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime

import pytest

from tests.e2e.conftest import COLD_S, REPO, is_alive, wait_for
from tests.e2e.mounting import KINDS, NAME, REFUSED, SET_ID, WATCHER, Guest, Told, Writer, started

pytestmark = [pytest.mark.guest, pytest.mark.needs_qemu, pytest.mark.needs_ssh, pytest.mark.e2e_all]

DATA = os.path.join(REPO, "tests", "data", "mounts")
BACK_S = 5.0
"""A mount whose server died is back after so long, or the instance says why not."""
QUICK_STOP_S = 90.0
"""A guest that hangs in a mount is not waited for as long as any other: three minutes."""
FILES = 1000
ARRIVES_S = 10.0
SILENT_S = 30.0
"""After which a watcher gives up."""


@pytest.fixture(scope="module", params=KINDS)
def guest(request: pytest.FixtureRequest) -> Iterator[Guest]:
    with started(KINDS[request.param]) as guest:
        yield guest


def test_the_log_of_the_start_says_what_is_mounted_how_and_why(guest: Guest) -> None:
    assert f"Mount type: {guest.kind.type} (`mountType` asks for it)" in guest.started
    assert f"Mounting `{guest.folder}/my files` on `/mnt/my files` (writable)" in guest.started
    assert f"Mounting `{guest.folder}/read` on `{guest.folder}/read` (read-only)" in guest.started


def test_every_mount_is_there_with_blanks_and_one_in_another(guest: Guest) -> None:
    mounted = guest.sh(f"awk '$3 == \"{guest.kind.file_system}\" {{print $2}}' /proc/mounts").splitlines()
    assert sorted(mounted) == sorted([
        f"{guest.folder}/read", "/mnt/write", "/mnt/mapped", "/mnt/my\\040files", "/mnt/my\\040files/it's\\040below",
        "/mnt/made", "/mnt/link",
    ])  # fmt: skip
    assert guest.sh('cat "/mnt/my files/it\'s below/file" /mnt/link/file') == "below\ntarget"


def test_a_location_that_was_missing_was_made_and_told(guest: Guest) -> None:
    made = f"{guest.folder}/not there/yet"
    assert f"Made `{made}`, which was missing" in guest.started
    assert os.stat(made).st_mode & 0o777 == 0o755


@pytest.mark.parametrize("point", ["/mnt/write", "/mnt/mapped"])
def test_the_contract(guest: Guest, point: str) -> None:
    if point not in guest.kind.golden:
        pytest.skip(f"{guest.kind.type} has one way to keep owners")
    with open(os.path.join(DATA, "suite.py"), encoding="utf-8") as file:
        found = json.loads(guest.python(file.read(), point, timeout=600))
    golden = os.path.join(DATA, f"{guest.kind.golden[point]}.json")
    if os.environ.get("LIMA_UPDATE_GOLDEN"):
        with open(golden, "w", encoding="utf-8") as file:
            file.write(json.dumps(found, indent=1) + "\n")
    with open(golden, encoding="utf-8") as file:
        assert found == json.load(file)


@pytest.mark.parametrize("user", ["lima", "root"])
def test_a_read_only_mount_refuses_writes_of_every_kind(guest: Guest, user: str) -> None:
    said = guest.python(REFUSED, f"{guest.folder}/read", user=user).splitlines()
    assert len(said) == 16
    assert [line for line in said if not line.endswith(("Read-only file system", "Operation not permitted"))] == []


def test_and_goes_on_refusing_when_the_guest_mounts_it_writable(guest: Guest) -> None:
    """The guest is root over its own mounts: what counts is this side."""

    def seen() -> list[str]:
        """Source and options of what is mounted there last."""
        return guest.sh(f"awk '$2 == \"{guest.folder}/read\" {{print $1, $4}}' /proc/mounts | tail -n 1").split()

    tag, options = seen()
    assert options.startswith("ro")
    words = {"tag": tag, "point": shlex.quote(f"{guest.folder}/read")}

    def as_root(script: str) -> None:
        guest.sh(f"sudo sh -c {shlex.quote(script.format(**words))}")

    as_root(guest.kind.mount_writable)
    try:
        assert seen()[1].startswith("rw")
        said = guest.python(REFUSED, f"{guest.folder}/read", user="root").splitlines()
        assert [line for line in said if line.endswith("DONE")] == []
    finally:
        as_root(guest.kind.mount_again)
    assert (guest.get("read/file"), sorted(os.listdir(f"{guest.folder}/read"))) == ("the host's\n", ["file", "folder"])


def test_what_the_host_changes_is_seen_in_the_guest(guest: Guest) -> None:
    guest.put("write/changes", "old")
    assert guest.sh("cat /mnt/write/changes") == "old"
    guest.put("write/changes", "newer")
    began = time.monotonic()
    wait_for(lambda: guest.sh("cat /mnt/write/changes") == "newer", seconds=60, what="the change is seen")
    assert time.monotonic() - began < guest.kind.seen_within_s
    guest.put("write/added", "x")
    os.unlink(f"{guest.folder}/write/changes")
    began = time.monotonic()
    wait_for(lambda: guest.sh("ls /mnt/write") == "added", seconds=60, what="names are seen")
    assert time.monotonic() - began < guest.kind.seen_within_s
    os.unlink(f"{guest.folder}/write/added")


def test_what_the_guest_writes_is_seen_on_the_host_at_once(guest: Guest) -> None:
    guest.sh("echo hello >/mnt/write/greeting && chmod 640 /mnt/write/greeting && sync /mnt/write/greeting")
    assert guest.get("write/greeting") == "hello\n"
    found = os.stat(f"{guest.folder}/write/greeting")
    assert (found.st_uid, found.st_mode & 0o7777) == (guest.kind.owner[0], 0o640)
    guest.sh("rm /mnt/write/greeting")
    assert not os.path.exists(f"{guest.folder}/write/greeting")


def test_both_sides_append_to_one_file_and_no_line_is_lost(guest: Guest) -> None:
    path = guest.put("write/log", "")

    def append() -> None:
        for number in range(300):
            with open(path, "a", encoding="utf-8") as file:
                file.write(f"host {number}\n")

    thread = threading.Thread(target=append)
    thread.start()
    guest.python("for n in range(300):\n with open('/mnt/write/log', 'a') as f: f.write('guest %d\\n' % n)\n")
    thread.join()
    lines = guest.get("write/log").splitlines()
    assert sorted(lines) == sorted(f"{side} {number}" for side in ("host", "guest") for number in range(300))
    os.unlink(path)


def test_nothing_outside_of_a_location_is_reached(guest: Guest) -> None:
    """A link that leads out of it leads into the guest; `..` of the root is the guest's as well."""
    secret = guest.put("secret", "the host's secret")
    # of names that no cache knows yet
    for name, target in (("far", secret), ("up", "../secret"), ("there", "/etc/hostname")):
        os.symlink(target, f"{guest.folder}/write/{name}")
        said = guest.sh(f"cat /mnt/write/{name} 2>/dev/null; ls /mnt/write/.. 2>/dev/null; true")
        assert "secret" not in said
        assert (f"lima-{NAME}" in said.splitlines()) is (name == "there")
        os.unlink(f"{guest.folder}/write/{name}")


@pytest.mark.parametrize("user", ["lima", "root"])
def test_the_guest_makes_no_set_user_id_program_of_the_hosts_root(guest: Guest, user: str) -> None:
    guest.python(SET_ID, "/mnt/mapped/tool", user=user)
    found = [os.stat(entry.path) for entry in os.scandir(f"{guest.folder}/mapped")]
    assert [oct(state.st_mode) for state in found if state.st_mode & 0o4000 and state.st_uid == 0] == []
    assert [oct(state.st_mode) for state in found if state.st_mode & 0o2000 and state.st_gid == 0] == []
    guest.sh("sudo rm -f /mnt/mapped/tool /mnt/mapped/tool2")
    if guest.kind.ours_is_the_guests:
        ours = guest.put("mapped/ours", "a program")
        os.chmod(ours, 0o6755)
        guest.sh(f"echo more | sudo -u {user} tee -a /mnt/mapped/ours >/dev/null")
        assert os.stat(ours).st_mode & 0o7777 == 0o755, "what a guest wrote into"
        os.unlink(ours)


def test_a_location_that_vanishes_is_an_error_and_no_hang(guest: Guest) -> None:
    shutil.rmtree(f"{guest.folder}/not there")
    said = guest.sh("ls /mnt/made 2>&1; touch /mnt/made/x 2>&1; echo answers", timeout=60)
    assert said.endswith("answers")
    assert guest.home.status(NAME) == "Running"
    assert not os.path.exists(f"{guest.folder}/not there")


def test_stopped_and_started_again_it_is_all_there_again(guest: Guest) -> None:
    daemons = guest.servers()
    assert bool(daemons) is (guest.kind.type == "virtiofs")
    guest.home.ok("stop", NAME, timeout=300)
    assert not any(is_alive(pid) for pid in daemons)
    assert guest.home.processes(NAME) == []
    console = guest.home.read(NAME, "serial.log")
    assert "Failed unmounting" not in console
    # for what comes: the contract does not want every change of the host's told to the guest
    guest.home.ok("edit", NAME, "--mount-inotify")
    guest.started = guest.home.ok("start", "--tty=false", NAME, timeout=COLD_S).err
    assert os.path.isdir(f"{guest.folder}/not there/yet")
    assert guest.sh('cat "/mnt/my files/it\'s below/file"') == "below"
    assert guest.count() == 7


def heard(guest: Guest, folder: str, count: int, act: Callable[[], None]) -> float:
    """Seconds from the last change to the last event of a watcher in the guest."""
    words = guest.home.command("shell", NAME, "python3", "-c", WATCHER, folder, str(count), str(SILENT_S))
    with subprocess.Popen(words, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, env=guest.home.env()) as watcher:
        try:
            assert watcher.stdout is not None
            assert watcher.stdout.readline() == b"ready\n"
            act()
            over = time.monotonic()
            said = watcher.communicate(timeout=120)[0].decode()
            seconds = time.monotonic() - over
            heard_of = int(said.removeprefix("heard of "))
            assert heard_of >= count, guest.sh("sudo journalctl -u lima-guestagent --no-pager | tail -n 5")
            return seconds
        finally:
            watcher.kill()


def test_watchers_in_the_guest_hear_of_every_change_on_the_host(guest: Guest) -> None:
    there, here = "/mnt/my files/many", f"{guest.folder}/my files/many"
    os.mkdir(here)
    os.chown(here, *guest.kind.owner)
    paths = [f"{here}/{number}" for number in range(FILES)]

    def write(text: str) -> None:
        for path in paths:
            with open(path, "a", encoding="utf-8") as file:
                file.write(text)

    def chmod() -> None:
        for path in paths:
            os.chmod(path, 0o600)

    def move() -> None:
        for path in paths:
            os.rename(path, f"{path}-moved")

    def delete() -> None:
        for path in paths:
            os.unlink(f"{path}-moved")

    # a watched folder hears of itself without a name
    for what, count, act in (
        ("created", FILES + 1, lambda: write("1")), ("changed", FILES, lambda: write("2")), ("new modes", FILES, chmod),
        ("moved", FILES + 1, move), ("deleted", 1, delete),
    ):  # fmt: skip
        seconds = heard(guest, there, count, act)
        print(f"\n{guest.kind.type}: {FILES} files, {what}: the last event {seconds:.1f} s after the last change")
        assert seconds < ARRIVES_S
    os.rmdir(here)
    made = f"mkdir '{there}' 2>/dev/null && rmdir '{there}' && echo made; true"
    wait_for(lambda: guest.sh(made) == "made", seconds=guest.kind.seen_within_s, what="the folder can be made again")


# --- a writer, and what is killed under it ---------------------------------------------------------------------------


@pytest.fixture
def writer(guest: Guest) -> Iterator[Writer]:
    """To be started by tests that need it."""
    yield Writer(guest)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{guest.folder}/write/records")


def report(what: str, guest: Guest, told: Told) -> None:
    print(
        f"\n{guest.kind.type}, {what} killed: {len(told.acknowledged)} records acknowledged, none lost;"
        f" the longest pause {told.pause_s:.1f} s; failures: {', '.join(told.failures) or 'none'}"
    )


def kill(pid: int) -> None:
    assert is_alive(pid)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not is_alive(pid), seconds=10, what=f"{pid} is gone")


def test_a_writer_survives_the_host_agent(guest: Guest, writer: Writer) -> None:
    """It serves sshfs itself, so that those mounts are back with the next one; the others never notice."""
    serving = guest.servers()
    writer.start()
    kill(guest.home.pid(NAME, "ha.pid"))
    guest.home.ok("start", NAME, timeout=COLD_S)
    writer.goes_on()
    told = writer.end()
    report("host agent", guest, told)
    assert writer.lost(told) == []
    assert (guest.servers(), all(map(is_alive, serving))) == (serving, True)
    assert guest.sh('cat "/mnt/my files/it\'s below/file"') == "below"
    if guest.kind.type == "reverse-sshfs":
        assert told.failures
    else:
        assert (told.failures, told.pause_s < BACK_S) == ([], True)


def master_of(guest: Guest) -> int:
    """The process that holds the ssh connection."""
    words = ["ssh", "-F", guest.home.file(NAME, "ssh.config"), "-O", "check", f"lima-{NAME}"]
    said = subprocess.run(words, check=True, capture_output=True, text=True, timeout=20).stderr
    found = re.search(r"pid=(\d+)", said)
    assert found, said
    return int(found[1])


@pytest.mark.parametrize(("victim", "seconds"), [("sshfs", BACK_S), ("ssh", 2 * BACK_S)])
def test_a_mount_by_sshfs_is_back_soon(guest: Guest, writer: Writer, victim: str, seconds: float) -> None:
    """With ssh goes a login as well, and all seven mounts, which are made one by one."""
    if guest.kind.type != "reverse-sshfs":
        pytest.skip("only mounts by sshfs hang on it")
    writer.start()
    if victim == "sshfs":
        guest.sh("sudo pkill -9 -f '[s]shfs :.* /mnt/write '")
    else:
        kill(master_of(guest))
    writer.goes_on()
    told = writer.end()
    report(victim, guest, told)
    assert writer.lost(told) == []
    assert told.failures
    assert told.pause_s < seconds
    wait_for(lambda: guest.count() == 7, seconds=30, what="the others are back")
    assert guest.sh('cat "/mnt/my files/it\'s below/file"') == "below"


def test_a_virtiofsd_that_dies_is_told_within_five_seconds_and_a_restart_mends_it(guest: Guest, writer: Writer) -> None:
    if guest.kind.type != "virtiofs":
        pytest.skip("only mounts by virtiofs have a server of their own")
    writer.start()
    victim = guest.servers()[served_at(guest, "/mnt/write")]
    kill(victim)
    record = wait_for(guest.degraded, seconds=BACK_S, what="list tells of it")
    assert record["status"] == "Running"
    (reason,) = record["errors"]
    assert reason.startswith("virtiofsd of mount `")
    assert reason.endswith("`limactl restart mounts` mounts it again")
    assert guest.sh("cat /mnt/link/file") == "target", "the other mounts go on"
    waits = writer.hear()
    said = guest.home.ok("restart", NAME, timeout=COLD_S + 200).err
    stopped_s = (moment(said, "has shut down") - moment(said, "Sending SIGINT")).total_seconds()
    told = writer.hear()
    report("virtiofsd", guest, told)
    print(f"the stop of a guest that hangs: {stopped_s:.0f} s")
    assert stopped_s < QUICK_STOP_S
    assert (told, writer.lost(told)) == (waits, [])
    assert guest.degraded() is None
    assert guest.count() == 7
    assert guest.sh("tail -n 1 /mnt/write/records; touch /mnt/write/again && rm /mnt/write/again")


def served_at(guest: Guest, point: str) -> int:
    """Which of the servers has that mount."""
    mounts = [facts["mount"] for facts in json.loads(guest.home.read(NAME, "shares.facts.json"))]
    (number,) = [number for number, mount in enumerate(mounts) if f"`{point}`" in mount]
    return number


def moment(log: str, message: str) -> datetime:
    (found,) = re.findall(rf'^time="([^"]+)".*{re.escape(message)}', log, re.MULTILINE)
    return datetime.fromisoformat(found)


def test_a_machine_that_is_killed_keeps_what_it_acknowledged(guest: Guest, writer: Writer) -> None:
    if guest.kind.type != "9p":
        pytest.skip("one type is enough, and QEMU is what serves 9p")
    writer.start()
    kill(guest.home.pid(NAME, "qemu.pid"))
    wait_for(lambda: guest.home.status(NAME) in ("Broken", "Stopped"), seconds=20, what="list tells of it")
    guest.home.ok("start", "--tty=false", NAME, timeout=COLD_S)
    told = writer.hear()
    report("QEMU", guest, told)
    assert told.acknowledged
    assert writer.lost(told) == []
    assert guest.count() == 7
