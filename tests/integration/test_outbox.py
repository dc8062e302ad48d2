"""Files from guests on a real file system: what a guest may have planted in a shared folder is not followed."""

import os
import stat
from pathlib import Path

import pytest

from lima.adapters.filesystem.outbox import LocalHostOutbox
from lima.domain.errors import StorageError


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return os.path.realpath(tmp_path)


def test_modes_are_the_users_alone(folder: str) -> None:
    LocalHostOutbox().put(f"{folder}/made/file", b"x")
    assert stat.S_IMODE(os.stat(f"{folder}/made").st_mode) == 0o700
    assert stat.S_IMODE(os.stat(f"{folder}/made/file").st_mode) == 0o600
    assert os.listdir(f"{folder}/made") == ["file"]


def test_a_link_in_the_files_place_is_left(folder: str) -> None:
    os.mkdir(f"{folder}/secret")
    os.symlink(f"{folder}/secret/authorized_keys", f"{folder}/kubeconfig")
    with pytest.raises(StorageError, match="is a symbolic link"):
        LocalHostOutbox().put(f"{folder}/kubeconfig", b"x")
    with pytest.raises(StorageError):
        LocalHostOutbox().take_away(f"{folder}/kubeconfig")
    assert os.path.islink(f"{folder}/kubeconfig")
    assert os.listdir(f"{folder}/secret") == []


def test_a_link_on_the_way_is_not_followed(folder: str) -> None:
    os.mkdir(f"{folder}/ssh")
    os.mkdir(f"{folder}/shared")
    os.symlink(f"{folder}/ssh", f"{folder}/shared/out")
    with pytest.raises(StorageError, match="`out` on the way is a symbolic link"):
        LocalHostOutbox().put(f"{folder}/shared/out/authorized_keys", b"x")
    assert os.listdir(f"{folder}/ssh") == []


def test_what_is_no_file_is_left(folder: str) -> None:
    os.mkfifo(f"{folder}/pipe")
    os.mkdir(f"{folder}/directory")
    for name in ("pipe", "directory"):
        with pytest.raises(StorageError, match="no regular file"):
            LocalHostOutbox().put(f"{folder}/{name}", b"x")
    with pytest.raises(StorageError):
        LocalHostOutbox().put(f"{folder}/pipe/below", b"x")


def test_a_file_that_others_hold_open_keeps_its_content(folder: str) -> None:
    outbox = LocalHostOutbox()
    outbox.put(f"{folder}/file", b"old")
    with open(f"{folder}/file", "rb") as before:
        outbox.put(f"{folder}/file", b"new")
        assert before.read() == b"old"
