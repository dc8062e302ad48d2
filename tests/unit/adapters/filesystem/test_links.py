"""Linked images: the bytes of the store, shared where that is safe."""

import errno
import fcntl
import json
import os
import stat

import pytest

from lima.adapters.filesystem import links
from lima.adapters.filesystem.instances import FilesystemInstanceStore
from lima.domain.errors import StorageError

CONTENT = os.urandom(100_000)


@pytest.fixture
def source(tmp_path: object) -> str:
    path = f"{tmp_path}/image"
    with open(path, "wb") as file:
        file.write(CONTENT)
        file.seek(8 << 20)
        file.write(CONTENT)
        file.truncate(16 << 20)
    os.utime(path, ns=(1_000_000_000, 1_234_567_890_123_456_789))
    os.chmod(path, 0o444)
    return path


def same(one: str, other: str) -> bool:
    with open(one, "rb") as first, open(other, "rb") as second:
        return first.read() == second.read()


def test_an_immutable_file_is_linked(store: FilesystemInstanceStore, instance: str, source: str) -> None:
    store.link_image(instance, {"basedisk": source})

    assert os.path.samefile(f"{store.directory(instance)}/basedisk", source)
    assert store.base_problem(instance) == ""


def test_a_file_that_may_be_written_to_is_copied_without_its_holes(
    store: FilesystemInstanceStore, instance: str, source: str
) -> None:
    os.chmod(source, 0o644)

    store.link_image(instance, {"basedisk": source})

    target = f"{store.directory(instance)}/basedisk"
    status = os.stat(target)
    assert not os.path.samefile(target, source)
    assert same(target, source)
    assert stat.S_IMODE(status.st_mode) == 0o444
    assert status.st_mtime_ns == os.stat(source).st_mtime_ns
    assert status.st_blocks * 512 < 2 << 20


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EPERM, errno.EMLINK])
def test_where_no_link_can_be_the_bytes_are_copied(
    store: FilesystemInstanceStore, instance: str, source: str, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refuse)
    store.link_image(instance, {"basedisk": source})

    assert same(f"{store.directory(instance)}/basedisk", source)


def test_a_file_system_that_knows_no_holes_is_copied_all_the_same(
    store: FilesystemInstanceStore, instance: str, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seek = os.lseek

    def without_holes(descriptor: int, position: int, how: int) -> int:
        if how in (os.SEEK_DATA, os.SEEK_HOLE):
            raise OSError(errno.EINVAL, "")
        return seek(descriptor, position, how)

    monkeypatch.setattr(os, "lseek", without_holes)
    os.chmod(source, 0o644)
    store.link_image(instance, {"basedisk": source})

    assert same(f"{store.directory(instance)}/basedisk", source)


def test_a_clone_shares_the_bytes_where_the_file_system_can(
    store: FilesystemInstanceStore, instance: str, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(fcntl, "ioctl", lambda _writer, request, _reader: asked.append(request) or 0)
    os.chmod(source, 0o644)

    store.link_image(instance, {"basedisk": source})

    assert asked == [0x40049409]
    assert os.stat(f"{store.directory(instance)}/basedisk").st_size == 0, "the clone was believed, nothing copied"


def test_a_copy_is_not_made_twice(
    store: FilesystemInstanceStore, instance: str, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "link", lambda _source, _target: False)
    store.link_image(instance, {"archive": source}, is_base=False)
    before = os.stat(f"{store.directory(instance)}/archive")

    store.link_image(instance, {"archive": source}, is_base=False)

    assert os.stat(f"{store.directory(instance)}/archive").st_ino == before.st_ino


def test_what_no_disk_stands_on_may_go_again(store: FilesystemInstanceStore, instance: str, source: str) -> None:
    store.link_image(instance, {"archive": source}, is_base=False)
    assert os.path.samefile(f"{store.directory(instance)}/archive", source)

    store.remove(instance, "archive")

    assert store.base_problem(instance) == ""


def test_linking_again_changes_nothing_and_leaves_nothing(
    store: FilesystemInstanceStore, instance: str, source: str
) -> None:
    store.link_image(instance, {"basedisk": source})
    store.link_image(instance, {"basedisk": source, "kernel": source})

    assert sorted(os.listdir(store.directory(instance))) == ["base.facts.json", "basedisk", "kernel", "lima.yaml"]
    assert os.stat(source).st_nlink == 3


def test_linking_replaces_what_was_there(store: FilesystemInstanceStore, instance: str, source: str) -> None:
    store.write(instance, "basedisk", b"old")

    store.link_image(instance, {"basedisk": source})

    assert same(f"{store.directory(instance)}/basedisk", source)


def test_a_link_in_the_store_is_followed(
    store: FilesystemInstanceStore, instance: str, source: str, tmp_path: object
) -> None:
    os.symlink(source, f"{tmp_path}/latest")

    store.link_image(instance, {"basedisk": f"{tmp_path}/latest"})

    assert not os.path.islink(f"{store.directory(instance)}/basedisk")
    assert os.path.samefile(f"{store.directory(instance)}/basedisk", source)


def test_a_missing_source_is_an_error_and_leaves_nothing(store: FilesystemInstanceStore, instance: str) -> None:
    with pytest.raises(StorageError, match="No such file"):
        store.link_image(instance, {"basedisk": "/nowhere/image"})

    assert os.listdir(store.directory(instance)) == ["lima.yaml"]


def test_a_full_disk_is_an_error_and_leaves_nothing(
    store: FilesystemInstanceStore, instance: str, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    os.chmod(source, 0o644)
    with pytest.raises(StorageError, match="No space left"):
        store.link_image(instance, {"basedisk": source})
    monkeypatch.undo()

    assert os.listdir(store.directory(instance)) == ["lima.yaml"]


def test_a_base_that_was_touched_is_told(store: FilesystemInstanceStore, instance: str, source: str) -> None:
    store.link_image(instance, {"basedisk": source, "kernel": source})
    recorded = json.loads(store.read(instance, "base.facts.json") or b"")
    assert recorded["basedisk"] == {"size": 16 << 20, "mtimeNs": 1_234_567_890_123_456_789}

    os.utime(source)
    assert "`basedisk` was written to" in store.base_problem(instance)
    with open(source, "ab") as file:
        file.write(b"x")
    assert "16777217 now" in store.base_problem(instance)
    store.remove(instance, "basedisk")
    assert "`basedisk` cannot be read" in store.base_problem(instance)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"../x":{"size":1,"mtimeNs":1}}', b'{"x":{"size":"y"}}'])
def test_nothing_recorded_is_no_problem(store: FilesystemInstanceStore, instance: str, content: bytes) -> None:
    assert store.base_problem(instance) == ""
    store.write(instance, "base.facts.json", content)
    assert store.base_problem(instance) == ""


def test_older_names_become_links(store: FilesystemInstanceStore, instance: str) -> None:
    store.write(instance, "diffdisk", b"qcow2")
    store.write(instance, "basedisk", b"\0" * 0x8001 + b"CD001")

    store.adopt_legacy_layout(instance)
    store.adopt_legacy_layout(instance)

    assert os.readlink(f"{store.directory(instance)}/disk") == "diffdisk"
    assert os.readlink(f"{store.directory(instance)}/iso") == "basedisk"


def test_a_base_that_is_no_iso_stays_a_base(store: FilesystemInstanceStore, instance: str) -> None:
    store.write(instance, "diffdisk", b"qcow2")
    store.write(instance, "basedisk", b"QFI\xfb")

    store.adopt_legacy_layout(instance)

    assert not store.has(instance, "iso")
    assert store.read(instance, "disk") == b"qcow2"


def test_a_present_disk_is_not_replaced_by_an_older_one(store: FilesystemInstanceStore, instance: str) -> None:
    store.write(instance, "diffdisk", b"old")
    store.write(instance, "disk", b"new")

    store.adopt_legacy_layout(instance)

    assert store.read(instance, "disk") == b"new"


def test_nothing_old_changes_nothing(store: FilesystemInstanceStore, instance: str) -> None:
    store.adopt_legacy_layout(instance)

    assert os.listdir(store.directory(instance)) == ["lima.yaml"]
    assert links.recorded_files(None) == {}
