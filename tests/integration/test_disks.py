"""Additional disks on a real file system: complete or not at all, whoever is killed where, and one holder at a time."""

import asyncio
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest
from tests.dying import CHECKPOINT, SRC

from lima.adapters.filesystem.disks import FilesystemDiskStore
from lima.adapters.filesystem.instances import FilesystemInstanceStore
from lima.adapters.qemu.disks import FOREIGN, QemuDiskTool
from lima.adapters.system.processes import SystemProcessTable
from lima.adapters.system.runner import AsyncProcessRunner
from lima.domain.errors import DiskExistsError, ImageFormatError, StorageError
from lima.domain.machine_spec import DiskFormat
from lima.testing import fakes

PREAMBLE = (
    """
import asyncio, os, signal, sys
from lima.adapters.filesystem import atomic
from lima.adapters.filesystem.disks import FilesystemDiskStore
from lima.adapters.filesystem.instances import FilesystemInstanceStore
from lima.adapters.qemu import disks as qemu
from lima.adapters.system.processes import SystemProcessTable
from lima.adapters.system.runner import AsyncProcessRunner
from lima.testing.fakes import FakeEventSink
home, left = sys.argv[1], int(sys.argv[2])
processes = SystemProcessTable()
store = FilesystemDiskStore(home, processes)
"""
    + CHECKPOINT
)
CREATE = """
with store.making("d", "raw") as path:
    with open(path, "wb") as file:
        file.truncate(1 << 20)
"""
IMPORT = """
qemu.COPIED_AT_ONCE = 1 << 16
class Sink:
    def emit(self, event):
        checkpoint("copied a part")
with store.making("d", "raw") as path:
    asyncio.run(qemu.QemuDiskTool(runner=AsyncProcessRunner()).copy(home + "/../image", path, progress=Sink()))
"""
HOLD = "with store.alone_with('d'): store.hold('d', home + '/new')"
DELETE = "store.delete('d')"


def run(home: str, what: str, *, kill_at: int = 0) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PREAMBLE + what, home, str(kill_at)],
        env={**os.environ, "PYTHONPATH": SRC},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def home(tmp_path: pathlib.Path) -> str:
    return str(tmp_path / "home")


@pytest.fixture
def store(home: str) -> FilesystemDiskStore:
    return FilesystemDiskStore(home, SystemProcessTable())


@pytest.fixture
def tool() -> QemuDiskTool:
    return QemuDiskTool(runner=AsyncProcessRunner())


def make(store: FilesystemDiskStore, name: str = "d") -> None:
    with store.making(name, DiskFormat.RAW) as path, open(path, "wb") as file:
        file.truncate(1 << 20)


def with_disk(store: FilesystemDiskStore) -> None:
    make(store)
    store.hold("d", os.path.dirname(os.path.dirname(_look(store).directory)) + "/old")


def _look(store: FilesystemDiskStore) -> "object":
    disk = store.look("d")
    assert disk is not None
    return disk


def everything(home: str) -> list[str]:
    return sorted(
        os.path.relpath(os.path.join(folder, name), home)
        for folder, folders, files in os.walk(home)
        for name in (*folders, *files)
    )


DISK = ["_disks", "_disks/d", "_disks/d/datadisk", "_disks/d/format", "_journal"]
OPERATIONS: dict[str, tuple[Callable[[FilesystemDiskStore], None] | None, str, list[str]]] = {
    "create": (None, CREATE, DISK),
    "import": (None, IMPORT, DISK),
    "hold": (with_disk, HOLD, sorted([*DISK, "_disks/d/in_use_by"])),
    "delete": (with_disk, DELETE, ["_disks", "_journal"]),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_killed_at_any_point_the_disk_is_whole_or_not_there_and_the_next_command_clears_up(
    operation: str, tmp_path: pathlib.Path
) -> None:
    prepare, code, all_that_may_be = OPERATIONS[operation]
    kill_at = 0
    while True:
        kill_at += 1
        base = tmp_path / str(kill_at)
        base.mkdir()
        (base / "image").write_bytes(os.urandom(300_000))
        home = str(base / "home")
        store = FilesystemDiskStore(home, SystemProcessTable())
        if prepare is not None:
            prepare(store)
        victim = run(home, code, kill_at=kill_at)
        if victim.returncode == 0:
            break
        point = f"{victim.stdout.splitlines()[-1]} ({kill_at})"
        assert victim.returncode == -signal.SIGKILL, victim.stderr

        assert store.names() in ((), ("d",)), point
        if disk := store.look("d"):
            size = 300_000 if operation == "import" else 1 << 20
            assert disk.has_data, point
            assert os.stat(disk.path).st_size == size, point
            assert disk.recorded_format == "raw", point
            if operation == "hold":
                assert disk.holder in (f"{home}/old", f"{home}/new"), point
        # the next command, of instances too
        FilesystemInstanceStore(home, SystemProcessTable()).recover(is_alive=SystemProcessTable().is_alive)
        if operation not in ("create", "import") or store.look("d") is None:
            retried = run(home, code)
            assert retried.returncode == 0, (point, retried.stderr)
        assert everything(home) == all_that_may_be, point
    assert kill_at > 2, "no point was reached"


def test_recovery_says_what_it_did(home: str, store: FilesystemDiskStore) -> None:
    points = run(home, CREATE).stdout.splitlines()
    store.delete("d")
    make(store, "e")
    run(home, CREATE, kill_at=points.index("create-disk: filled") + 1)
    make(store, "f")
    said = store.recover(is_alive=SystemProcessTable().is_alive)
    assert said == ("Undid the unfinished creation of disk `d`",)
    assert store.names() == ("e", "f")


def test_of_many_that_create_the_same_one_wins(home: str) -> None:
    script = PREAMBLE + (
        "from lima.domain.errors import DiskExistsError\n"
        "sys.stdin.readline()\n"
        "try:\n    with store.making('d', 'raw') as path: open(path, 'w').write(str(os.getpid()))\n"
        "except DiskExistsError:\n    sys.exit(3)\n"
    )
    commands = [_python(script, home, "0") for _ in range(6)]
    codes = _let_go(commands)
    assert sorted(codes) == [0, 3, 3, 3, 3, 3]
    winner = commands[codes.index(0)].pid
    with open(f"{home}/_disks/d/datadisk", encoding="ascii") as file:
        assert file.read() == str(winner)


def test_of_many_instances_that_want_the_disk_of_a_dead_one_one_gets_it(home: str, store: FilesystemDiskStore) -> None:
    instances = FilesystemInstanceStore(home, SystemProcessTable())
    names = [f"i{number}" for number in range(5)]
    for name in (*names, "dead"):
        instances.create(name, {"lima.yaml": (b"images: []", 0o644)})
    make(store)
    store.hold("d", instances.directory("dead"))
    script = PREAMBLE + (
        "from types import SimpleNamespace as Config\n"
        "from lima.application.claim_disks import ClaimDisks\n"
        "from lima.application.find_disk_use import FindDiskUse\n"
        "from lima.domain.errors import DiskInUseError\n"
        "instances = FilesystemInstanceStore(home, processes)\n"
        "lock = instances.lock(sys.argv[3])\n"
        "claim = ClaimDisks(disks=store, instances=instances, find_use=FindDiskUse(instances=instances))\n"
        "sys.stdin.readline()\n"
        "try:\n    claim(sys.argv[3], Config(additional_disks=[Config(name='d')]))\n"
        "except DiskInUseError:\n    print('refused', flush=True)\n"
        "else:\n    print('got it', flush=True)\n"
        "sys.stdin.readline()\n"
    )
    commands = [_python(script, home, "0", name) for name in names]
    for command in commands:
        command.stdin.write("go\n")
        command.stdin.flush()
    answers = []
    for command in commands:
        lines = iter(command.stdout.readline, "")
        answers.append(next(line.strip() for line in lines if line.strip() in ("refused", "got it")))
    assert sorted(answers) == ["got it", "refused", "refused", "refused", "refused"]
    assert _look(store).holder == instances.directory(names[answers.index("got it")])
    assert set(_let_go(commands)) == {0}


def _python(script: str, *words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", script, *words],
        env={**os.environ, "PYTHONPATH": SRC},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _let_go(commands: "list[subprocess.Popen[str]]") -> list[int]:
    for command in commands:
        command.stdin.write("go\n")
        command.stdin.flush()
    for command in commands:
        command.communicate(timeout=60)
    return [command.returncode for command in commands]


# --- what upstream made, and what is damaged -------------------------------------------------------------------------


def test_upstreams_disks_are_understood(home: str, store: FilesystemDiskStore) -> None:
    os.makedirs(f"{home}/_disks/up")
    os.makedirs(f"{home}/box")
    pathlib.Path(f"{home}/_disks/up/datadisk").write_bytes(bytes(1 << 20))
    os.symlink(f"{home}/box", f"{home}/_disks/up/in_use_by")
    disk = store.look("up")
    assert disk is not None
    assert (disk.has_data, disk.recorded_format, disk.holder, disk.holder_is_there) == (True, "", f"{home}/box", True)
    store.hold("up", "")
    assert os.listdir(f"{home}/_disks/up") == ["datadisk"]


def test_ours_is_what_upstream_reads(home: str, store: FilesystemDiskStore) -> None:
    make(store)
    store.hold("d", f"{home}/box")
    assert os.readlink(f"{home}/_disks/d/in_use_by") == f"{home}/box"
    assert os.stat(f"{home}/_disks/d").st_mode & 0o777 == 0o700
    assert os.stat(home).st_mode & 0o777 == 0o700


def test_odd_things_among_the_disks_are_no_disks(home: str, store: FilesystemDiskStore) -> None:
    os.makedirs(f"{home}/_disks/empty")
    os.makedirs(f"{home}/_disks/.aside")
    pathlib.Path(f"{home}/_disks/file").write_text("x")
    pathlib.Path(f"{home}/_disks/empty/in_use_by").write_text("no link")
    pathlib.Path(f"{home}/_disks/empty/format").write_bytes(b"\xff\n")
    assert store.names() == ("empty",)
    disk = store.look("empty")
    assert disk is not None
    assert (disk.has_data, disk.holder, disk.recorded_format) == (False, "", "")
    with pytest.raises(DiskExistsError):
        make(store, "empty")


def test_a_link_through_another_link_leads_to_the_same_instance(
    home: str, store: FilesystemDiskStore, tmp_path: pathlib.Path
) -> None:
    make(store)
    os.symlink(home, tmp_path / "alias")
    store.hold("d", f"{tmp_path}/alias/box")
    assert _look(store).holder == f"{home}/box"


# --- images ----------------------------------------------------------------------------------------------------------


async def test_a_copy_keeps_its_holes(tool: QemuDiskTool, tmp_path: pathlib.Path) -> None:
    source = tmp_path / "source"
    with open(source, "wb") as file:
        file.write(os.urandom(100_000))
        file.seek(40 << 20)
        file.write(os.urandom(5000))
        file.truncate(80 << 20)
    sink = fakes.FakeEventSink()
    await tool.copy(str(source), str(tmp_path / "copy"), progress=sink)
    assert (tmp_path / "copy").read_bytes() == source.read_bytes()
    assert os.stat(tmp_path / "copy").st_blocks * 512 < 1 << 20
    assert sink.events[-1].done == sink.events[-1].total == 80 << 20


async def test_a_cancelled_copy_stops_soon(
    tool: QemuDiskTool, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lima.adapters.qemu.disks.COPIED_AT_ONCE", 1 << 12)
    (tmp_path / "source").write_bytes(os.urandom(4 << 20))
    sink = fakes.FakeEventSink()
    task = asyncio.ensure_future(tool.copy(str(tmp_path / "source"), str(tmp_path / "copy"), progress=sink))
    while not sink.events:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(sink.events) < 1000


async def test_a_copy_says_which_side_failed(tool: QemuDiskTool, tmp_path: pathlib.Path) -> None:
    with pytest.raises(ImageFormatError, match="nosuch"):
        await tool.copy(str(tmp_path / "nosuch"), str(tmp_path / "copy"), progress=fakes.FakeEventSink())
    (tmp_path / "source").write_bytes(b"x")
    with pytest.raises(StorageError, match="cannot be made"):
        await tool.copy(str(tmp_path / "source"), str(tmp_path / "no" / "copy"), progress=fakes.FakeEventSink())


@pytest.mark.parametrize(("offset", "magic", "name"), FOREIGN)
async def test_images_of_other_programs_are_not_taken_for_raw(
    tool: QemuDiskTool, tmp_path: pathlib.Path, offset: int, magic: bytes, name: str
) -> None:
    (tmp_path / "image").write_bytes(bytes(offset) + magic + bytes(4096))
    info = await tool.inspect(str(tmp_path / "image"))
    assert (info.format, info.problem) == (name, f"it is a {name} image")
    assert (await tool.inspect(str(tmp_path / "image"), format="raw")).problem == ""


@pytest.mark.needs_qemu
async def test_qemu_img_agrees_about_what_was_made(tool: QemuDiskTool, store: FilesystemDiskStore) -> None:
    for kind in DiskFormat:
        with store.making(f"a-{kind}", kind) as path:
            await tool.create_empty(path, size_bytes=10 << 20, format=kind)
        disk = store.look(f"a-{kind}")
        assert disk is not None
        await tool.grow(disk.path, format=kind, size_bytes=20 << 20)
        checked = subprocess.run(
            ["qemu-img", "info", "-f", kind, "--output=json", disk.path], capture_output=True, check=True, text=True
        )
        assert f'"format": "{kind}"' in checked.stdout
        assert f'"virtual-size": {20 << 20}' in checked.stdout
