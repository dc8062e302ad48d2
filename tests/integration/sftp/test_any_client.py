"""Whatever is sent: the server answers within its bounds or ends the session, and touches nothing outside its share."""

import os
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sftp_client import asking, folder_of, text
from tests.shares.world import new_world

from lima.adapters.sftp.session import Session
from lima.adapters.sftp.wire import MAX_MESSAGE, Kind, ProtocolError, relative

PIECES = (
    "",
    ".",
    "..",
    "file",
    "folder",
    "near",
    "near-folder",
    "far",
    "far-relative",
    "far-folder",
    "magic",
    "loop",
    "fifo",
    "new",
    "x" * 300,
    "\0",
    "ü",
)
NUMBERS = st.sampled_from((0, 1, 2, 7, 100, 2**31, 2**32 - 1))
LONG_NUMBERS = st.one_of(NUMBERS, st.sampled_from((2**63 - 1, 2**63, 2**64 - 1)))
HANDLES = st.one_of(st.sampled_from([b"%x" % number for number in range(6)]), st.binary(max_size=8))
PATHS = st.builds(
    lambda start, pieces: (start + "/".join(pieces)).encode(),
    st.sampled_from(("", "/", "BASE/share/", "BASE/outside/", "../")),
    st.lists(st.sampled_from(PIECES), max_size=5),
)
ASKED = st.builds(
    asking,
    # a sparse file of any size is a file
    size=st.one_of(st.none(), LONG_NUMBERS),
    mode=st.one_of(st.none(), st.sampled_from((0o644, 0o755, 0o4755, 0o177777, 0o700))),
    owner=st.one_of(st.none(), st.tuples(NUMBERS, NUMBERS)),
    times=st.one_of(st.none(), st.tuples(NUMBERS, NUMBERS)),
)
NAMES = st.sampled_from(
    (b"posix-rename@openssh.com", b"statvfs@openssh.com", b"fstatvfs@openssh.com", b"hardlink@openssh.com",
     b"fsync@openssh.com", b"limits@openssh.com", b"no-such@openssh.com")
)  # fmt: skip
FIELD = st.one_of(
    PATHS.map(text), HANDLES.map(text), NUMBERS.map(lambda number: struct.pack(">I", number)),
    LONG_NUMBERS.map(lambda number: struct.pack(">Q", number)), ASKED, NAMES.map(text), st.binary(max_size=20),
)  # fmt: skip


def request(kind: Kind, *parts: st.SearchStrategy[bytes]) -> st.SearchStrategy[tuple[int, bytes]]:
    return st.tuples(st.just(int(kind)), st.tuples(*parts).map(b"".join))


def number(form: str, numbers: st.SearchStrategy[int]) -> st.SearchStrategy[bytes]:
    return numbers.map(lambda value: struct.pack(form, value))


PATH, HANDLE = PATHS.map(text), HANDLES.map(text)
WELL_FORMED = (
    request(Kind.OPEN, PATH, number(">I", st.integers(0, 63)), ASKED),
    request(Kind.CLOSE, HANDLE),
    request(Kind.READ, HANDLE, number(">Q", LONG_NUMBERS), number(">I", NUMBERS)),
    request(Kind.WRITE, HANDLE, number(">Q", LONG_NUMBERS), st.binary(max_size=100).map(text)),
    *(request(kind, PATH) for kind in (Kind.LSTAT, Kind.STAT, Kind.OPENDIR, Kind.REMOVE, Kind.RMDIR, Kind.REALPATH, Kind.READLINK)),
    *(request(kind, HANDLE) for kind in (Kind.FSTAT, Kind.READDIR)),
    *(request(kind, PATH, ASKED) for kind in (Kind.SETSTAT, Kind.MKDIR)),
    request(Kind.FSETSTAT, HANDLE, ASKED),
    *(request(kind, PATH, PATH) for kind in (Kind.RENAME, Kind.SYMLINK)),
    request(Kind.EXTENDED, NAMES.map(text), PATH, PATH),
    request(Kind.EXTENDED, NAMES.map(text), HANDLE),
)  # fmt: skip
ANYTHING = st.tuples(st.integers(0, 255), st.lists(FIELD, max_size=5).map(b"".join))
REQUESTS = st.lists(st.one_of(*WELL_FORMED, ANYTHING), max_size=25)


@pytest.mark.parametrize("walks", [False, True], ids=["kernel", "walking"])
@given(requests=REQUESTS, follows=st.booleans(), writable=st.booleans())
def test_no_request_does_harm(walks: bool, requests: list[tuple[int, bytes]], follows: bool, writable: bool) -> None:
    descriptors = len(os.listdir("/proc/self/fd"))
    with new_world() as world:
        share = folder_of(world, walks=walks, follows_links=follows, is_writable=writable, max_handles=5)
        session = Session(None, share)  # type: ignore[arg-type]  # answers are looked at one by one
        session.answer(Kind.INIT, memoryview(struct.pack(">I", 3)))
        try:
            for kind, body in requests:
                whole = struct.pack(">I", 1) + body.replace(b"BASE", world.base.encode())
                answer = b"".join(session.answer(kind, memoryview(whole)))
                assert 9 <= len(answer) <= MAX_MESSAGE + 4
                assert struct.unpack_from(">I", answer)[0] == len(answer) - 4
        except ProtocolError:
            pass
        finally:
            share.close()
        if not writable:
            assert sorted(os.listdir(world.share)) == sorted(UNTOUCHED)
            assert os.stat(world.inside("file")).st_size == 7
    assert len(os.listdir("/proc/self/fd")) == descriptors


UNTOUCHED = ("file", "folder", "near", "near-folder", "far", "far-relative", "far-folder", "magic", "loop", "fifo")


@given(path=PATHS, root=st.sampled_from((b"/", b"/srv", b"/srv/a b")))
def test_what_is_left_of_a_path_is_relative_and_leads_down(path: bytes, root: bytes) -> None:
    try:
        found = relative(path, root)
    except OSError:
        return
    assert found == b"." or all(part not in (b"", b".", b"..") for part in found.split(b"/"))
    assert relative(root + b"/" + found, root) == found
    assert relative(found, root) == found
