"""The store and death: a process is killed at every named point of every operation, and the next one recovers."""

import json
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest
from tests.dying import PREAMBLE, run

from lima.adapters.filesystem.instances import FilesystemInstanceStore
from lima.adapters.system.processes import SystemProcessTable

SRC = str(pathlib.Path(__file__).parents[2] / "src")

NEW = '{"lima.yaml": (b"new", 0o644), "lima-version": (b"2", 0o444)}'
CREATE = f"store.create('a', {NEW})"
DELETE = "store.delete('a')"
WRITE = "store.write('a', 'lima.yaml', b'new')"
LINK = "store.link_image('a', {'basedisk': home + '/../image', 'kernel': home + '/../kernel'})"
RECOVER = "store.recover(is_alive=processes.is_alive)"


@pytest.fixture
def home(tmp_path: pathlib.Path) -> str:
    for name in ("image", "kernel"):
        (tmp_path / name).write_bytes(os.urandom(5000))
    (tmp_path / "image").chmod(0o444)
    (tmp_path / "home").mkdir()
    return str(tmp_path / "home")


@pytest.fixture
def store(home: str) -> FilesystemInstanceStore:
    return FilesystemInstanceStore(home, SystemProcessTable())


def everything(home: str) -> list[str]:
    return sorted(
        os.path.relpath(os.path.join(folder, name), home)
        for folder, folders, files in os.walk(home)
        for name in (*folders, *files)
    )


def with_instance(store: FilesystemInstanceStore) -> None:
    store.create("a", {"lima.yaml": (b"old", 0o644)})
    store.write("a", "disk", b"d" * 10_000)
    os.makedirs(f"{store.directory('a')}/sock")
    os.mkfifo(f"{store.directory('a')}/sock/one.sock")


def with_interrupted_deletion(store: FilesystemInstanceStore) -> None:
    with_instance(store)
    home = os.path.dirname(store.directory("a"))
    points = run(home, DELETE).stdout.splitlines()
    with_instance(store)
    run(home, DELETE, kill_at=points.index("delete: renamed") + 1)
    assert not store.exists("a")


def created(store: FilesystemInstanceStore) -> bool:
    return store.read("a", "lima.yaml") == b"new" and store.read("a", "lima-version") == b"2"


def deleted(store: FilesystemInstanceStore) -> bool:
    return not store.exists("a")


def written(store: FilesystemInstanceStore) -> bool:
    return store.read("a", "lima.yaml") == b"new"


def linked(store: FilesystemInstanceStore) -> bool:
    return store.base_problem("a") == "" and all(
        store.read("a", file) == pathlib.Path(store.directory("a"), f"../../{source}").read_bytes()
        for file, source in (("basedisk", "image"), ("kernel", "kernel"))
    )


def nothing(_: FilesystemInstanceStore) -> None:
    pass


INSTANCE = ["_journal", "a", "a/disk", "a/lima.yaml", "a/sock", "a/sock/one.sock"]
OPERATIONS: dict[str, tuple[Callable[[FilesystemInstanceStore], None], str, Callable[..., bool], list[str]]] = {
    "create": (nothing, CREATE, created, ["_journal", "a", "a/ha.lock", "a/lima-version", "a/lima.yaml"]),
    "delete": (with_instance, DELETE, deleted, ["_journal"]),
    "write": (with_instance, WRITE, written, sorted([*INSTANCE, "a/ha.lock"])),
    "link": (
        with_instance,
        LINK,
        linked,
        sorted([*INSTANCE, "a/base.facts.json", "a/basedisk", "a/ha.lock", "a/kernel"]),
    ),
    "recover": (with_interrupted_deletion, RECOVER, deleted, ["_journal"]),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_killed_at_any_point_the_next_command_ends_well_with_nothing_lost_and_nothing_left(
    operation: str, tmp_path: pathlib.Path
) -> None:
    prepare, code, ended_well, all_that_may_be = OPERATIONS[operation]
    kill_at = 0
    while True:
        kill_at += 1
        base = tmp_path / str(kill_at)
        (base / "home").mkdir(parents=True)
        for name in ("image", "kernel"):
            (base / name).write_bytes(os.urandom(5000))
        (base / "image").chmod(0o444)
        home = str(base / "home")
        store = FilesystemInstanceStore(home, SystemProcessTable())
        prepare(store)

        victim = run(home, code, kill_at=kill_at)
        if victim.returncode == 0:
            break
        point = f"{victim.stdout.splitlines()[-1]} ({kill_at})"
        assert victim.returncode == -signal.SIGKILL, victim.stderr

        # whatever happened: the old state or the new one, and never a half
        assert store.names() in ((), ("a",)), point
        if operation == "write":
            assert store.read("a", "lima.yaml") in (b"old", b"new"), point
        if store.names() and operation == "create":
            assert created(store), point
        if store.exists("a") and operation == "delete":
            assert everything(f"{home}/a") == ["disk", "lima.yaml", "sock", "sock/one.sock"], point
        # the next command
        store.recover(is_alive=SystemProcessTable().is_alive)
        if operation != "create" or not store.exists("a"):
            retried = run(home, code)
            assert retried.returncode == 0, (point, retried.stderr)
        if store.exists("a"):
            store.lock("a").release()
        assert ended_well(store), point
        assert everything(home) == all_that_may_be, point
    assert kill_at > 2, "no point was reached"


def test_several_commands_may_recover_the_same_at_once(home: str, store: FilesystemInstanceStore) -> None:
    with_interrupted_deletion(store)
    script = PREAMBLE + RECOVER
    commands = [
        subprocess.Popen(
            [sys.executable, "-c", script, home, "0"],
            env={**os.environ, "PYTHONPATH": SRC},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(5)
    ]
    for command in commands:
        _, stderr = command.communicate(timeout=60)
        assert command.returncode == 0, stderr
    assert everything(home) == ["_journal"]


def test_of_many_that_create_at_once_exactly_one_wins(home: str) -> None:
    script = PREAMBLE + (
        "from lima.domain.errors import InstanceExistsError\n"
        "sys.stdin.readline()\n"
        "try:\n    store.create('a', {'lima.yaml': (str(os.getpid()).encode(), 0o644)})\n"
        "except InstanceExistsError:\n    sys.exit(3)\n"
    )
    commands = [
        subprocess.Popen(
            [sys.executable, "-c", script, home, "0"],
            env={**os.environ, "PYTHONPATH": SRC},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        )
        for _ in range(6)
    ]
    for command in commands:
        assert command.stdin
        command.stdin.write(b"go\n")
        command.stdin.flush()
    codes = []
    for command in commands:
        command.communicate(timeout=60)
        codes.append(command.returncode)

    assert sorted(codes) == [0, 3, 3, 3, 3, 3]
    assert everything(home) == ["_journal", "a", "a/lima.yaml"]


# --- file systems ----------------------------------------------------------------------------------------------------


def in_namespace(home: str, mounts: str, what: str) -> subprocess.CompletedProcess[str]:
    return run(home, what, prefix=("unshare", "--mount", "sh", "-ec", f'{mounts}\nexec "$@"', "sh"))


@pytest.mark.needs_root
def test_a_full_disk_is_told_with_a_hint_and_the_old_file_stays(home: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "big").write_bytes(b"x" * 500_000)
    what = """
from lima.domain.errors import StorageError
store.create("a", {"lima.yaml": (b"old", 0o644)})
for attempt in (
    lambda: store.write("a", "lima.yaml", b"x" * 500_000),
    lambda: store.create("b", {"lima.yaml": (b"x" * 500_000, 0o644)}),
    lambda: store.link_image("a", {"basedisk": home + "/../big"}),
):
    try:
        attempt()
    except StorageError as error:
        print("told:", error.message, "|", error.hint)
print(store.names(), store.read("a", "lima.yaml"), sorted(os.listdir(home)), os.listdir(home + "/a"), os.listdir(home + "/_journal"))
"""
    done = in_namespace(home, f"mount -t tmpfs -o size=128k tmpfs {home}", what)

    told = [line for line in done.stdout.splitlines() if line.startswith("told:")]
    assert done.returncode == 0, done.stderr
    assert len(told) == 3
    assert all("No space left on device" in line and "free some space" in line for line in told)
    assert done.stdout.splitlines()[-1] == "('a',) b'old' ['_journal', 'a'] ['lima.yaml'] []"


@pytest.mark.needs_root
def test_a_read_only_home_is_told_with_a_hint(home: str, store: FilesystemInstanceStore) -> None:
    with_instance(store)
    what = """
from lima.domain.errors import StorageError
for attempt in (
    lambda: store.write("a", "x", b""),
    lambda: store.delete("a"),
    lambda: store.create("b", {}),
    lambda: store.lock("a"),
    lambda: store.remove("a", "disk"),
):
    try:
        attempt()
    except StorageError as error:
        print("told:", error.message, "|", error.hint)
print(store.names(), store.facts("a").has_config)
"""
    done = in_namespace(home, f"mount --bind {home} {home} && mount -o remount,ro,bind {home}", what)

    told = [line for line in done.stdout.splitlines() if line.startswith("told:")]
    assert done.returncode == 0, done.stderr
    assert len(told) == 5
    assert all("Read-only file system" in line and "mounted read-only" in line for line in told)
    assert done.stdout.splitlines()[-1] == "('a',) True"


@pytest.mark.needs_root
@pytest.mark.parametrize("kind", ["tmpfs", "bind", "file"])
def test_a_mounted_directory_is_refused_not_emptied(
    home: str, store: FilesystemInstanceStore, tmp_path: pathlib.Path, kind: str
) -> None:
    with_instance(store)
    precious = tmp_path / "pre cious"
    precious.mkdir()
    (precious / "data").write_text("x", encoding="ascii")
    inside = f"{home}/a/sock/m p"
    os.mkdir(inside)
    mounts = {
        "tmpfs": f"mount -t tmpfs tmpfs '{inside}' && echo x > '{inside}/data'",
        "bind": f"mount --bind '{precious}' '{inside}'",
        "file": f"mount --bind '{precious}/data' {home}/a/disk",
    }[kind]
    what = """
from lima.domain.errors import StorageError
from lima.adapters.filesystem import removal
for attempt in (lambda: store.delete("a"), lambda: removal.remove_tree(home + "/a")):
    try:
        attempt()
    except (StorageError, OSError) as error:
        print("told:", error)
    removal.mounted_inside = lambda path: ""
print(os.path.exists(home + "/a/sock/m p/data"), os.listdir(home + "/_journal"))
"""
    done = in_namespace(home, mounts, what)

    told = [line for line in done.stdout.splitlines() if line.startswith("told:")]
    assert done.returncode == 0, done.stderr
    assert len(told) == 2
    assert "a file system is mounted at" in told[0]
    assert (precious / "data").read_text(encoding="ascii") == "x"
    assert done.stdout.splitlines()[-1] == f"{kind != 'file'} []"


@pytest.mark.needs_root
def test_after_a_change_of_boot_id_a_recorded_process_is_another(
    home: str, store: FilesystemInstanceStore, tmp_path: pathlib.Path
) -> None:
    with_instance(store)
    processes = SystemProcessTable()
    with subprocess.Popen(["sleep", "60"]) as unrelated:
        identity = processes.identify(unrelated.pid)
        assert identity is not None
        store.write("a", "qemu.pid", b"%d\n" % unrelated.pid)
        store.record_process("a", "driver.facts.json", identity)
        assert store.facts("a").driver == identity
        fake = tmp_path / "boot_id"
        fake.write_text("11111111-2222-4333-8444-555555555555\n", encoding="ascii")

        done = in_namespace(
            home,
            f"mount --bind {fake} /proc/sys/kernel/random/boot_id",
            "import json; f = store.facts('a'); print(json.dumps([f.driver is None, f.stale_driver_pid]))\n"
            f"from lima.domain.process import ProcessIdentity\n"
            f"print(processes.signal({identity!r}, 9))",
        )

        assert done.returncode == 0, done.stderr
        facts, signalled = done.stdout.splitlines()
        assert json.loads(facts) == [True, unrelated.pid]
        assert signalled == "False"
        assert unrelated.poll() is None
        unrelated.kill()
