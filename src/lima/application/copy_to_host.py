"""Copy the files that a template names from a ready guest to the host. Source: reference, runtime §1.6."""

import asyncio
from dataclasses import dataclass

from lima.application.guest_files import MissingFileError, read_guest_file
from lima.domain.config import CopyToHost as Copied
from lima.domain.config import InstanceConfig
from lima.domain.errors import LimaError, StorageError
from lima.domain.progress import Level, Note
from lima.ports.events import EventSink
from lima.ports.host_outbox import HostOutbox
from lima.ports.transport import Transport

MAX_BYTES = 16 * 1024**2
LIMIT_S = 60.0
"""For one file: what is a pipe in the guest would never end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyToHost:
    """Returns a sentence for each file that could not be copied."""

    outbox: HostOutbox
    log: EventSink

    async def __call__(self, transport: Transport, config: InstanceConfig) -> tuple[str, ...]:
        errors = []
        for item in config.copy_to_host:
            try:
                async with asyncio.timeout(LIMIT_S):
                    await self._copy(transport, item)
            except TimeoutError:
                errors.append(f"`{item.guest}` was not copied to `{item.host}`: it took longer than {LIMIT_S:.0f} s")
            except LimaError as error:
                errors.append(f"`{item.guest}` was not copied to `{item.host}`: {error.message}")
        return tuple(errors)

    async def _copy(self, transport: Transport, item: Copied) -> None:
        try:
            content = await read_guest_file(transport, item.guest, limit=MAX_BYTES)
        except MissingFileError:
            if item.skip_if_missing:
                self._say(f"`{item.guest}` is not in the guest, nothing to copy")
                return
            raise
        self.outbox.put(item.host, content)
        self._say(f"Copied `{item.guest}` from the guest to `{item.host}`")

    def take_away(self, config: InstanceConfig) -> None:
        """Remove what is not to outlive the guest; never raises."""
        for item in config.copy_to_host:
            if item.delete_on_stop:
                try:
                    self.outbox.take_away(item.host)
                except StorageError as error:
                    self._say(error.message, Level.WARNING)

    def _say(self, message: str, level: Level = Level.INFO) -> None:
        self.log.emit(Note(message=message, level=level))
