"""Clones, new names and resets on real directories: what they hold, and what is left when they are killed."""

import os
import pathlib
import signal

import pytest
from tests.dying import run

from lima.adapters.filesystem.instances import FilesystemInstanceStore
from lima.adapters.system.processes import SystemProcessTable
from lima.domain.errors import InstanceExistsError, StorageError

MIB = 1 << 20
IDENTITY = (
    "protected", "ssh.config", "known_hosts", "ssh_host_ed25519_key", "ha.facts.json", "provision-report.json",
    "cidata.iso", "swtpm", "qemu.pid", "x.tmp", "ha.lock",
)  # fmt: skip


@pytest.fixture
def home(tmp_path: pathlib.Path) -> str:
    return str(tmp_path / "home")


@pytest.fixture
def store(home: str) -> FilesystemInstanceStore:
    return FilesystemInstanceStore(home, SystemProcessTable())


def with_instance(store: FilesystemInstanceStore) -> str:
    """`a` as a boot leaves it: an immutable base, a disk with holes, a link of an older release, identity, sockets."""
    store.create("a", {"lima.yaml": (b"cpus: 1\n", 0o644), "lima-version": (b"2.2.0", 0o444)})
    directory = store.directory("a")
    base = pathlib.Path(directory, "basedisk")
    base.write_bytes(b"base" * 1000)
    base.chmod(0o444)
    with open(f"{directory}/diffdisk", "wb") as disk:
        disk.write(b"start")
        disk.truncate(64 * MIB)
        disk.seek(32 * MIB)
        disk.write(b"middle")
    os.symlink("diffdisk", f"{directory}/disk")
    os.makedirs(f"{directory}/sock/deeper")
    os.mkfifo(f"{directory}/sock/docker.sock")
    os.mkfifo(f"{directory}/pipe")
    pathlib.Path(directory, "sock/deeper/notes").write_text("n")
    pathlib.Path(directory, "vz-identifier").write_text("me")
    os.mkdir(f"{directory}/swtpm")
    for file in set(IDENTITY) - {"swtpm"}:
        pathlib.Path(directory, file).write_text(file)
    return directory


def content(directory: str) -> list[str]:
    return sorted(
        os.path.relpath(os.path.join(folder, name), directory)
        for folder, folders, files in os.walk(directory)
        for name in (*folders, *files)
    )


CLONED = [
    "basedisk", "diffdisk", "disk", "lima-version", "lima.yaml", "sock", "sock/deeper", "sock/deeper/notes",
    "vz-identifier",
]  # fmt: skip


def test_a_clone_is_another_machine_with_the_same_content(store: FilesystemInstanceStore) -> None:
    old = with_instance(store)
    store.clone("a", "b")
    new = store.directory("b")
    assert content(new) == CLONED
    assert os.readlink(f"{new}/disk") == "diffdisk"
    assert store.read("b", "vz-identifier") == b""
    assert os.stat(new).st_mode & 0o777 == 0o700
    # shared where nobody writes, copied where the guest does, and holes stay holes
    assert os.path.samefile(f"{old}/basedisk", f"{new}/basedisk")
    assert not os.path.samefile(f"{old}/diffdisk", f"{new}/diffdisk")
    with open(f"{old}/diffdisk", "rb") as one, open(f"{new}/diffdisk", "rb") as other:
        assert one.read() == other.read()
    assert os.stat(f"{new}/diffdisk").st_blocks * 512 < 2 * MIB
    with open(f"{new}/diffdisk", "r+b") as disk:
        disk.write(b"clone")
    assert pathlib.Path(old, "diffdisk").read_bytes()[:5] == b"start"


def test_a_disk_elsewhere_is_copied_and_not_shared(store: FilesystemInstanceStore, tmp_path: pathlib.Path) -> None:
    directory = with_instance(store)
    os.unlink(f"{directory}/disk")
    (tmp_path / "elsewhere").write_bytes(b"guest")
    os.symlink(tmp_path / "elsewhere", f"{directory}/disk")
    store.clone("a", "b")
    assert not os.path.islink(f"{store.directory('b')}/disk")
    assert store.read("b", "disk") == b"guest"


def test_what_is_there_already_is_not_touched(store: FilesystemInstanceStore, home: str) -> None:
    with_instance(store)
    os.makedirs(f"{home}/b/sub")
    os.symlink("nowhere", f"{home}/c")
    for new in ("b", "c"):
        with pytest.raises(InstanceExistsError):
            store.clone("a", new)
        with pytest.raises(InstanceExistsError):
            store.rename("a", new)
    assert content(f"{home}/b") == ["sub"]
    assert sorted(os.listdir(home)) == ["_journal", "a", "b", "c"]


def test_a_clone_that_fails_leaves_nothing(store: FilesystemInstanceStore, home: str) -> None:
    os.unlink(f"{with_instance(store)}/disk")
    os.symlink(f"{home}/gone", f"{home}/a/disk")
    with pytest.raises(StorageError, match="cannot clone"):
        store.clone("a", "b")
    assert os.listdir(f"{home}/_journal") == []
    assert sorted(os.listdir(home)) == ["_journal", "a"]


def test_a_rename_is_one_step_that_leaves_every_file(store: FilesystemInstanceStore) -> None:
    before = content(with_instance(store))
    lock = store.lock("a")
    store.rename("a", "b")
    lock.release()
    assert content(store.directory("b")) == sorted(before)
    assert store.names() == ("b",)


def test_a_reset_takes_folders_too(store: FilesystemInstanceStore) -> None:
    directory = with_instance(store)
    removed = store.reset("a")
    assert removed[:2] == (f"{directory}/diffdisk", f"{directory}/disk")
    assert content(directory) == ["ha.lock", "lima-version", "lima.yaml", "protected", "vz-identifier"]


@pytest.mark.parametrize(
    ("what", "ends_well"),
    [
        ("store.clone('a', 'b')", lambda store: content(store.directory("b")) == CLONED),
        ("store.rename('a', 'b')", lambda store: store.names() == ("b",)),
        ("store.reset('a')", lambda store: not store.has("a", "disk") and not store.has("a", "basedisk")),
    ],
    ids=("clone", "rename", "reset"),
)
def test_killed_at_any_point_it_is_done_or_undone_or_can_be_done_again(
    tmp_path: pathlib.Path,
    what: str,
    ends_well: "object",
) -> None:
    assert callable(ends_well)
    kill_at = 0
    while True:
        kill_at += 1
        home = str(tmp_path / str(kill_at))
        store = FilesystemInstanceStore(home, SystemProcessTable())
        with_instance(store)
        victim = run(home, what, kill_at=kill_at)
        if victim.returncode == 0:
            break
        point = f"{victim.stdout.splitlines()[-1]} ({kill_at})"
        assert victim.returncode == -signal.SIGKILL, victim.stderr
        assert store.names() in (("a",), ("b",), ("a", "b")), point
        if store.exists("a"):
            assert store.read("a", "lima.yaml") == b"cpus: 1\n", point
            # a base without a disk is made again; a disk without its base would be lost
            assert store.has("a", "basedisk") or not store.has("a", "disk"), point
        store.recover(is_alive=SystemProcessTable().is_alive)
        assert os.listdir(f"{home}/_journal") == [], point
        assert not [name for name in os.listdir(home) if name.startswith(".")], point
        if not ends_well(store):
            assert run(home, what).returncode == 0, point
        assert ends_well(store), point
    assert ends_well(store)
    assert kill_at > 1, "no point was reached"
