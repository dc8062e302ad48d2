"""The archive that containerd and nerdctl are installed from in the guest."""

import asyncio
from dataclasses import dataclass, field

from lima.domain.config import InstanceConfig
from lima.domain.errors import DownloadError, ImageError, StorageError
from lima.domain.image import FileRef, host_of
from lima.domain.instance import quote
from lima.ports.events import EventSink
from lima.ports.image_store import FileStore

PATIENCE_S = 0.5
"""How long its host may take to answer where nobody asked for containerd: a start without network must not be felt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NerdctlArchive:
    """`path` of an immutable file, empty where there is none; `why_not` says why, once."""

    path: str = ""
    why_not: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchNerdctl:
    """From the cache, or fetched. It is never an error that the archive cannot be had: a guest runs without it.

    What failed is not tried again by the same object, which lives as long as one command; the next command tries anew.
    """

    files: FileStore
    failed: set[str] = field(default_factory=set)

    async def __call__(self, config: InstanceConfig, *, progress: EventSink) -> NerdctlArchive:
        wanted = config.containerd
        reasons = []
        for archive in wanted.archives if wanted.is_on else ():
            if archive.location in self.failed:
                continue
            try:
                if not wanted.is_asked:
                    await self._look(archive)
                return NerdctlArchive(
                    path=await self.files.obtain_file(archive, title="the nerdctl archive", progress=progress)
                )
            except (ImageError, StorageError) as error:
                self.failed.add(archive.location)
                reasons.append(error.message)
        if wanted.is_on and not wanted.archives:
            reasons = [f"`containerd.archives` has none for {config.arch}"]
        return NerdctlArchive(why_not="; ".join(reasons))

    async def _look(self, archive: FileRef) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                if await self.files.is_within_reach(archive):
                    return
        except TimeoutError:
            pass
        host = host_of(archive.location)
        raise DownloadError(f"{quote(host)} does not answer", unreachable_host=host)
