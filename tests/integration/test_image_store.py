"""Images from files and from a server on loopback: whole, checked, shared, or not at all."""

import asyncio
import gzip
import hashlib
import http.server
import os
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from lima.adapters.images.fetch import fetch
from lima.adapters.images.reach import answers
from lima.adapters.images.store import CachedImageStore
from lima.adapters.qemu.disks import QemuDiskTool
from lima.adapters.system.clock import SystemClock
from lima.adapters.system.host import SystemHostInspector
from lima.adapters.system.runner import AsyncProcessRunner
from lima.domain.errors import DigestMismatchError, DownloadError, ImageFormatError
from lima.domain.image import FileRef, ImageRef
from lima.domain.progress import StageStarted
from lima.testing import fakes

DISK = os.urandom(1 << 16) + bytes(1 << 20)


class Handler(http.server.BaseHTTPRequestHandler):
    requests: list[str] = []  # noqa: RUF012  set anew for each server

    def do_GET(self) -> None:
        self.requests.append(self.path)
        if self.path == "/moved.raw":
            self.send_response(302)
            self.send_header("Location", "/disk.raw")
            self.end_headers()
            return
        if self.path == "/missing.raw":
            self.send_error(404)
            return
        body = gzip.compress(DISK, mtime=0) if self.path.endswith(".tgz") else DISK
        body = gzip.compress(DISK) if self.path.endswith(".gz") else body
        if self.path == "/damaged.raw.gz":
            body = body[: len(body) // 2]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body) * (2 if self.path == "/cut.raw" else 1)))
        self.send_header("Last-Modified", "Sat, 01 Aug 2026 00:00:00 GMT")
        self.end_headers()
        if self.path == "/slow.raw":
            time.sleep(0.5)
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        return


@pytest.fixture
def server() -> Iterator[str]:
    Handler.requests = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()
        thread.join()


@pytest.fixture
def store(tmp_path) -> CachedImageStore:
    facts = SystemHostInspector().facts().but(cache_dir=str(tmp_path / "cache"), home=str(tmp_path))

    async def over_http(file: FileRef, path: str, sink: fakes.FakeEventSink, stage: str) -> dict[str, str]:
        return await fetch(file, path, progress=sink, stage=stage)

    return CachedImageStore(
        facts=facts, builder=fakes.FakeImageBuilder(), disks=QemuDiskTool(runner=AsyncProcessRunner()),
        clock=SystemClock(), fetch=over_http, answers=answers,
    )  # fmt: skip


async def obtain(store: CachedImageStore, location: str, digest: str = "") -> str:
    image = ImageRef(disk=FileRef(location=location, digest=digest), arch="x86_64")
    stored = await store.obtain(image, progress=fakes.FakeEventSink())
    assert stored.disk is not None
    return stored.disk


def leftovers(folder: str) -> list[str]:
    return [name for _, _, files in os.walk(folder) for name in files if ".tmp." in name]


def content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


async def test_a_download_is_kept_where_upstream_keeps_it_and_fetched_once(
    store: CachedImageStore, server: str, tmp_path
) -> None:
    digest = "sha256:" + hashlib.sha256(DISK).hexdigest()
    path = await obtain(store, f"{server}/disk.raw", digest)
    key = hashlib.sha256(f"{server}/disk.raw".encode()).hexdigest()
    assert path == str(tmp_path / "cache" / "download" / "by-url-sha256" / key / "data")
    assert content(path) == DISK
    assert os.stat(path).st_mode & 0o777 == 0o444
    assert content(os.path.join(os.path.dirname(path), "sha256.digest")).decode() == digest
    assert await obtain(store, f"{server}/disk.raw", digest) == path
    assert Handler.requests == ["/disk.raw"]


async def test_redirects_are_followed(store: CachedImageStore, server: str) -> None:
    assert content(await obtain(store, f"{server}/moved.raw")) == DISK


async def test_compressed_images_unfold_sparsely(store: CachedImageStore, server: str, tmp_path) -> None:
    path = await obtain(store, f"{server}/disk.raw.gz")
    assert content(path) == DISK
    assert os.stat(path).st_blocks * 512 < len(DISK)
    local = tmp_path / "local.raw.gz"
    local.write_bytes(gzip.compress(DISK))
    assert content(await obtain(store, str(local))) == DISK


@pytest.mark.parametrize("path", ["/missing.raw", "/cut.raw"])
async def test_what_is_not_whole_is_never_kept(store: CachedImageStore, server: str, tmp_path, path: str) -> None:
    for _ in range(2):
        with pytest.raises(DownloadError):
            await obtain(store, server + path)
        assert leftovers(str(tmp_path)) == []
    assert Handler.requests == [path, path]


async def test_a_damaged_archive_is_refused(store: CachedImageStore, server: str, tmp_path) -> None:
    with pytest.raises(ImageFormatError, match="damaged"):
        await obtain(store, f"{server}/damaged.raw.gz")
    assert leftovers(str(tmp_path)) == []


async def test_a_wrong_digest_keeps_nothing(store: CachedImageStore, server: str, tmp_path) -> None:
    with pytest.raises(DigestMismatchError) as caught:
        await obtain(store, f"{server}/disk.raw", "sha256:" + "0" * 64)
    assert caught.value.actual.endswith(hashlib.sha256(DISK).hexdigest())
    assert leftovers(str(tmp_path)) == []
    assert content(await obtain(store, f"{server}/disk.raw")) == DISK


async def test_a_host_that_is_not_there_is_named(store: CachedImageStore) -> None:
    began = time.monotonic()
    with pytest.raises(DownloadError) as caught:
        await obtain(store, "http://user:secret@127.0.0.1:1/disk.raw")
    assert caught.value.unreachable_host == "127.0.0.1:1"
    assert "secret" not in caught.value.message
    assert time.monotonic() - began < 6


async def test_two_who_want_the_same_fetch_it_once(store: CachedImageStore, server: str) -> None:
    first, second = await asyncio.gather(obtain(store, f"{server}/slow.raw"), obtain(store, f"{server}/slow.raw"))
    assert first == second
    assert Handler.requests == ["/slow.raw"]


async def test_an_interrupted_download_leaves_nothing_and_the_next_goes_on(
    store: CachedImageStore, server: str, tmp_path
) -> None:
    task = asyncio.ensure_future(obtain(store, f"{server}/slow.raw"))
    while not Handler.requests:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert leftovers(str(tmp_path)) == []
    assert content(await obtain(store, f"{server}/slow.raw")) == DISK


async def test_a_local_file_that_changed_is_another_image(store: CachedImageStore, tmp_path) -> None:
    source = tmp_path / "disk.raw"
    source.write_bytes(DISK)
    before = await obtain(store, str(source))
    source.write_bytes(DISK[::-1])
    after = await obtain(store, f"file://{source}")
    assert before != after
    assert content(before) == DISK


# --- other files -----------------------------------------------------------------------------------------------------


async def test_another_file_is_kept_as_it_came_and_fetched_once(store: CachedImageStore, server: str) -> None:
    digest = "sha256:" + hashlib.sha256(gzip.compress(DISK, mtime=0)).hexdigest()
    sink = fakes.FakeEventSink()
    file = FileRef(location=f"{server}/fixed.tgz", digest=digest)
    path = await store.obtain_file(file, title="the nerdctl archive", progress=sink)
    assert gzip.decompress(content(path)) == DISK
    assert await store.obtain_file(file, title="the nerdctl archive", progress=sink) == path
    assert Handler.requests == ["/fixed.tgz"]
    titles = [event.title for event in sink.events if isinstance(event, StageStarted)]
    assert titles == ["Downloading the nerdctl archive (fixed.tgz)"]


async def test_a_local_file_is_taken_as_it_is(store: CachedImageStore, tmp_path) -> None:
    (tmp_path / "a.tgz").write_bytes(gzip.compress(DISK))
    file = FileRef(location="~/a.tgz")
    assert await store.is_within_reach(file)
    path = await store.obtain_file(file, title="the nerdctl archive", progress=fakes.FakeEventSink())
    assert content(path) == content(str(tmp_path / "a.tgz"))
    assert os.stat(path).st_mode & 0o777 == 0o444


async def test_within_reach_is_what_is_cached_or_answers(store: CachedImageStore, server: str) -> None:
    here, nobody = FileRef(location=f"{server}/disk.raw"), FileRef(location="http://127.0.0.1:1/disk.raw")
    assert await store.is_within_reach(here)
    assert not await store.is_within_reach(nobody)
    assert not await store.is_within_reach(FileRef(location="http://no-such-host.invalid/x"))
    assert Handler.requests == []


async def test_who_asks_may_stop_waiting_for_a_host_that_swallows_everything(store: CachedImageStore) -> None:
    with socket.socket() as full:
        # a listener whose queue is full: further connections hang, as with a firewall that drops them
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await store.is_within_reach(FileRef(location=f"http://127.0.0.1:{full.getsockname()[1]}/x"))
        assert time.monotonic() - began < 2
        for filler in fillers:
            filler.close()


async def test_a_built_image_is_built_once_and_a_failed_build_keeps_nothing(tmp_path) -> None:
    facts = SystemHostInspector().facts().but(cache_dir=str(tmp_path / "cache"))
    builder = fakes.FakeImageBuilder()
    disks = QemuDiskTool(runner=AsyncProcessRunner())
    store = CachedImageStore(
        facts=facts, builder=builder, disks=disks, clock=SystemClock(), fetch=None, answers=answers
    )  # type: ignore[arg-type]
    builder.fail_next(ImageFormatError("no packages"))
    with pytest.raises(ImageFormatError):
        await obtain(store, "bootstrap:x")
    first = await obtain(store, "bootstrap:x")
    assert await obtain(store, "bootstrap:x") == first
    assert builder.built == ["bootstrap:x"]
    assert not [name for name in os.listdir(os.path.dirname(first)) if ".tmp." in name]
