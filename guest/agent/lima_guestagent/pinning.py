"""When folders are held: from the first host that tells of changes to the end of the last."""

import asyncio

from . import log
from .mounts import MountWatch, forgetful_mounts
from .pins import FolderPins

TYPE_CHECKING = False  # the module of that name costs start time
if TYPE_CHECKING:
    from collections.abc import Callable

    from .worker import Worker


class Pinning:
    """Holds the folders of the mounts that need it, as long as a host tells of changes.

    Args:
        most: folders.
        mounts: gives the mount points.
        watch: is made with the loop and what it is to call when they have changed; has `close`.
    """

    def __init__(
        self,
        loop: "asyncio.AbstractEventLoop",
        worker: "Worker",
        *,
        most: int,
        mounts: "Callable[[], list[bytes]]" = forgetful_mounts,
        watch: "Callable[..., MountWatch]" = MountWatch,
    ) -> None:
        self._loop = loop
        self._worker = worker
        self._most = most
        self._mounts = mounts
        self._new_watch = watch
        self._hosts = 0
        self._folders = None
        self._watch = None
        self._walk = None
        self._are_stale = False

    def begin(self) -> FolderPins:
        """The folders for one more host: all of them share."""
        if not self._hosts:
            self._watch = self._watching()  # first: no mount comes between
            self._folders = FolderPins(self._mounts(), self._most)
        self._hosts += 1
        self.go_on()
        return self._folders

    def _watching(self) -> "MountWatch | None":
        try:
            return self._new_watch(self._loop, self._remounted)
        except OSError as error:
            log.warning("inotify: mounts that come later are not held: %s" % error)
            return None

    def _remounted(self) -> None:
        """A boot may mount after the agent has begun."""
        self._are_stale = True
        self.go_on()

    def go_on(self) -> None:
        """Take the steps that there are, one job of the worker each, so that others have their turn between them."""
        if (self._are_stale or self._folders.has_more) and (self._walk is None or self._walk.done()):
            self._walk = self._loop.create_task(self._steps(self._folders))

    async def _steps(self, folders: FolderPins) -> None:
        try:
            while self._are_stale or folders.has_more:
                if self._are_stale:
                    self._are_stale = False
                    await self._worker.run(folders.mounted, self._mounts())
                else:
                    await self._worker.run(folders.step)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            log.error("inotify: cannot hold folders: %s: %s" % (type(error).__name__, error))

    async def end(self) -> None:
        """A host has gone; with the last one goes what was held."""
        self._hosts -= 1
        if self._hosts:
            return
        folders, self._folders = self._folders, None
        if self._watch is not None:
            self._watch.close()
            self._watch = None
        self._are_stale = False
        if self._walk is not None:
            self._walk.cancel()
            self._walk = None
            await self._worker.run(folders.close)
