"""The instance lock between real processes."""

import os
import pathlib
import signal
import subprocess
import sys
import threading

import pytest

from lima.adapters.filesystem.instances import FilesystemInstanceStore
from lima.adapters.system.processes import SystemProcessTable
from lima.domain.errors import InstanceBusyError

SRC = str(pathlib.Path(__file__).parents[2] / "src")
PREAMBLE = """
import os, subprocess, sys
from lima.adapters.filesystem.instances import FilesystemInstanceStore
from lima.adapters.system.processes import SystemProcessTable
store = FilesystemInstanceStore(sys.argv[1], SystemProcessTable())
"""


@pytest.fixture
def home(tmp_path: pathlib.Path) -> str:
    return str(tmp_path / "home")


@pytest.fixture
def store(home: str) -> FilesystemInstanceStore:
    store = FilesystemInstanceStore(home, SystemProcessTable())
    store.create("a", {"lima.yaml": (b"", 0o644)})
    return store


def start(home: str, code: str, *arguments: str, **options: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
        [sys.executable, "-c", PREAMBLE + code, home, *arguments],
        env={**os.environ, "PYTHONPATH": SRC},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )


def line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def finish(process: "subprocess.Popen[str]") -> None:
    process.communicate(timeout=30)


HOLD = "lock = store.lock('a'); print('locked', flush=True); sys.stdin.read()"


def test_another_process_is_refused_and_told_who_has_it(home: str, store: FilesystemInstanceStore) -> None:
    holder = start(home, HOLD)
    assert line(holder) == "locked"

    facts = store.facts("a")
    assert (facts.lock_held, facts.lock_holder) == (True, holder.pid)
    with pytest.raises(InstanceBusyError, match=str(holder.pid)):
        store.lock("a")

    finish(holder)
    assert not store.facts("a").lock_held
    store.lock("a").release()


def test_the_lock_of_a_killed_process_is_free(home: str, store: FilesystemInstanceStore) -> None:
    holder = start(home, HOLD)
    assert line(holder) == "locked"

    os.kill(holder.pid, signal.SIGKILL)
    finish(holder)

    assert not store.facts("a").lock_held
    store.lock("a").release()


def test_a_child_that_was_handed_the_lock_keeps_it_after_its_parents_death(
    home: str, store: FilesystemInstanceStore
) -> None:
    adopt = "lock = store.inherit_lock('a', int(sys.argv[2])); print(os.getpid(), flush=True); sys.stdin.read()"
    parent = start(
        home,
        "lock = store.lock('a')\n"
        f"subprocess.Popen([sys.executable, '-c', sys.argv[2] + {adopt!r}, sys.argv[1], str(lock.fileno)], pass_fds=[lock.fileno])\n"
        "os._exit(0)",
        PREAMBLE,
    )
    child = int(line(parent))
    parent.wait(30)

    facts = store.facts("a")
    assert (facts.lock_held, facts.lock_holder) == (True, child)
    with pytest.raises(InstanceBusyError, match=str(child)):
        store.lock("a")

    finish(parent)  # closes the child's stdin too: it ends
    processes = SystemProcessTable()
    identity = processes.identify(child)
    if identity is not None:
        pidfd = os.pidfd_open(child)
        import select

        select.select([pidfd], [], [], 30)
        os.close(pidfd)
    assert not store.facts("a").lock_held


def test_between_two_processes_without_a_name_in_between_the_lock_is_held_by_somebody(
    home: str, store: FilesystemInstanceStore
) -> None:
    """The command died after handing the lock on, and the agent has not yet written its own name."""
    heir = start(
        home,
        "lock = store.lock('a')\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import sys; print(1, flush=True); sys.stdin.read()'],"
        " pass_fds=[lock.fileno])\n"
        "child.stdin = None; os._exit(0)",
    )
    assert line(heir) == "1"
    heir.wait(30)

    facts = store.facts("a")
    assert (facts.lock_held, facts.lock_holder) == (True, 0)
    with pytest.raises(InstanceBusyError, match="another process"):
        store.lock("a")
    finish(heir)


def test_no_amount_of_looking_makes_a_locker_fail(home: str, store: FilesystemInstanceStore) -> None:
    lookers = [
        start(home, "print('looking', flush=True)\nwhile not os.path.exists(sys.argv[1] + '/enough'): store.facts('a')")
        for _ in range(3)
    ]
    for looker in lookers:
        assert line(looker) == "looking"
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            store.facts("a")

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for _ in range(500):
            store.lock("a").release()  # InstanceBusyError here is the failure
    finally:
        over.set()
        thread.join()
        pathlib.Path(home, "enough").touch()
        for looker in lookers:
            finish(looker)
            assert looker.returncode == 0


def test_of_many_lockers_at_a_time_only_one_is_inside(home: str, store: FilesystemInstanceStore) -> None:
    code = """
from lima.domain.errors import InstanceBusyError
path = sys.argv[1] + "/inside"
done = 0
while done < 40:
    try:
        lock = store.lock("a")
    except InstanceBusyError:
        continue
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL)   # FileExistsError: somebody else is inside
    os.close(descriptor)
    os.unlink(path)
    lock.release()
    done += 1
"""
    lockers = [start(home, code) for _ in range(4)]
    for locker in lockers:
        finish(locker)
        assert locker.returncode == 0


def test_a_command_that_runs_a_program_does_not_leave_it_the_lock(home: str, store: FilesystemInstanceStore) -> None:
    holder = start(
        home,
        "lock = store.lock('a')\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import sys; print(1, flush=True); sys.stdin.read()'],"
        " close_fds=False)\n"
        "os._exit(0)",
    )
    assert line(holder) == "1"
    holder.wait(30)

    assert not store.facts("a").lock_held
    store.lock("a").release()
    finish(holder)


def test_a_lock_file_whose_instance_was_deleted_meanwhile_is_nobodys(home: str, store: FilesystemInstanceStore) -> None:
    lock = store.lock("a")
    store.delete("a")
    store.create("a", {"lima.yaml": (b"", 0o644)})

    other = store.lock("a")

    assert not os.path.sameopenfile(lock.fileno, other.fileno)
    lock.release()
    assert store.facts("a").lock_held
    other.release()


def test_the_home_lock_lets_one_in_at_a_time(home: str, store: FilesystemInstanceStore) -> None:
    code = """
path = sys.argv[1] + "/inside"
for _ in range(50):
    with store.home_lock():
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
        os.unlink(path)
"""
    rivals = [start(home, code) for _ in range(3)]
    for rival in rivals:
        finish(rival)
        assert rival.returncode == 0
