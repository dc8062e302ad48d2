"""Changes below folders, gathered on a thread and told in batches."""

import asyncio
import contextlib
import logging
import os
import select
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import CancelledError, Future

from lima.adapters.watching.inotify import (
    ATTRIB,
    CREATE,
    DELETE,
    IGNORED,
    ISDIR,
    MOVED_FROM,
    MOVED_TO,
    OVERFLOW,
    Event,
    Inotify,
)
from lima.adapters.watching.tree import IGNORED as LEFT_OUT
from lima.adapters.watching.tree import Place, Tree, join
from lima.domain.errors import StorageError
from lima.ports.folder_watch import PathChanged

SETTLE_S = 0.05
"""A batch is told when nothing has happened for this long,"""
LONGEST_S = 0.5
"""and after this long even so."""
MAX_PENDING = 20_000
"""Paths of one batch; beyond, what changed is the folder that they are in."""
MAX_KNOWN = 65_536
"""Paths whose last state is remembered."""

logger = logging.getLogger(__name__)
_Known = tuple[int, ...]


class InotifyFolderWatch:
    """A thread for each watch."""

    async def changes(self, folders: Sequence[str]) -> AsyncGenerator[Sequence[PathChanged], None]:
        loop = asyncio.get_running_loop()
        batches: asyncio.Queue[Sequence[PathChanged] | None] = asyncio.Queue(maxsize=1)

        def tell(batch: Sequence[PathChanged] | None) -> "Future[None]":
            return asyncio.run_coroutine_threadsafe(batches.put(batch), loop)

        # folders may lie on a network that does not answer
        watcher = await asyncio.to_thread(Watcher, folders, tell)
        thread = threading.Thread(target=watcher.run, name="folder watch", daemon=True)
        thread.start()
        try:
            while (batch := await batches.get()) is not None:
                yield batch
        finally:
            watcher.stop()


class Watcher:
    """Blocks: for a thread of its own. `tell` gives a future that is done when the batch has been taken."""

    def __init__(self, folders: Sequence[str], tell: Callable[[Sequence[PathChanged] | None], "Future[None]"]) -> None:
        self._folders = folders
        self._tell = tell
        self._inotify = Inotify()
        self._roots: list[int] = []
        for folder in folders:
            try:
                self._roots.append(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
            except OSError as error:
                self._close()
                raise StorageError(f"cannot watch `{folder}`: {error.strerror}") from error
        self._tree = Tree(self._inotify, self._roots, _warn_of_limit)
        self._stopping = os.eventfd(0, os.EFD_CLOEXEC)
        self._lock = threading.Lock()
        self._telling: Future[None] | None = None
        self._is_over = False
        self._pending: dict[Place, bool] = {}
        """Place → whether it is more than its attributes that changed."""
        self._known: OrderedDict[Place, _Known] = OrderedDict()

    def stop(self) -> None:
        """From any thread: `run` returns soon."""
        with self._lock:
            if not self._is_over:
                self._is_over = True
                os.eventfd_write(self._stopping, 1)
            if self._telling is not None:
                self._telling.cancel()

    def run(self) -> None:
        """Until it is stopped."""
        try:
            for root in range(len(self._roots)):
                for _ in self._tree.add((root, b"")):
                    if self._is_over:
                        return
            logger.info("watching %d folders for changes", len(self._tree))
            self._deliver(())
            while self._gather():
                taken, self._pending = self._pending, {}
                changes = (self._change(place, is_more=is_more) for place, is_more in taken.items())
                if batch := [change for change in changes if change is not None]:
                    self._deliver(batch)
        except Exception:
            if not self._is_over:
                logger.exception("the watch of %s ended", ", ".join(self._folders))
                self._deliver(None)
        finally:
            with self._lock:
                self._is_over = True
                os.close(self._stopping)
            self._close()

    def _deliver(self, batch: Sequence[PathChanged] | None) -> None:
        with self._lock:
            if self._is_over:
                return
            self._telling = telling = self._tell(batch)
        # whoever is slow to take a batch makes the kernel gather for the next one
        with contextlib.suppress(CancelledError):
            telling.result()

    def _gather(self) -> bool:
        """Wait for changes, and for their end: true where there are some, false where it is time to stop."""
        poll = select.poll()
        poll.register(self._inotify.descriptor, select.POLLIN)
        poll.register(self._stopping, select.POLLIN)
        began = 0.0
        while not self._is_over:
            if self._pending and time.monotonic() - began > LONGEST_S:
                return True
            ready = poll.poll(SETTLE_S * 1000 if self._pending else None)
            if not ready:
                return True
            had_none = not self._pending
            for event in self._inotify.read():
                self._take(event)
            if had_none:
                began = time.monotonic()
        return False

    # --- events ------------------------------------------------------------------------------------------------------

    def _take(self, event: Event) -> None:
        if event.mask & OVERFLOW:
            logger.warning("more changed than this host keeps: what was lost is told as a change of the whole mounts")
            for root in range(len(self._roots)):
                self._note((root, b""), is_more=True)
            return
        if event.mask & IGNORED:
            self._tree.drop(event.watch)
            return
        if event.name in LEFT_OUT:
            return
        for root, folder in self._tree.places(event.watch):
            self._take_at(event, (root, folder), (root, join(folder, event.name)))

    def _take_at(self, event: Event, folder: Place, place: Place) -> None:
        if event.mask & (DELETE | MOVED_FROM):
            self._note(folder, is_more=True)
            if event.mask & ISDIR:
                self._tree.forget(place)
            return
        self._note(place, is_more=not event.mask & ATTRIB)
        if event.mask & (CREATE | MOVED_TO):
            self._note(folder, is_more=True)
            if event.mask & ISDIR:
                for found in self._tree.add(place):
                    self._note(found, is_more=True)

    def _note(self, place: Place, *, is_more: bool) -> None:
        if len(self._pending) >= MAX_PENDING:
            place = place[0], place[1].rpartition(b"/")[0]
            is_more = True
        self._pending[place] = self._pending.get(place, False) or is_more

    # --- what is told ------------------------------------------------------------------------------------------------

    def _change(self, place: Place, *, is_more: bool) -> PathChanged | None:
        root, path = place
        state, text = self._tree.state(place), _text(path)
        if state is None or text is None:
            return None  # what came and went has changed its folder, which is told
        known = (state.st_mtime_ns, state.st_mode, state.st_uid, state.st_gid, state.st_size, state.st_nlink)
        if not is_more:
            # the guest that is told gives a path its times, which comes back to us
            last = self._known.get(place)
            if last == known or (last is None and len(self._known) >= MAX_KNOWN):
                return None
        self._known[place] = known
        self._known.move_to_end(place)
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        return PathChanged(folder=self._folders[root], path=text, mtime_ns=state.st_mtime_ns)

    def _close(self) -> None:
        for root in self._roots:
            os.close(root)
        self._inotify.close()


def _text(path: bytes) -> str | None:
    """As the guest's agent takes it."""
    try:
        return path.decode()
    except UnicodeDecodeError:
        return None


def _warn_of_limit() -> None:
    logger.warning(
        "this host allows no more watches (fs.inotify.max_user_watches): changes in some folders of mounts are not seen"
    )
