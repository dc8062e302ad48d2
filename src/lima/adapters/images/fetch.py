"""Bytes from the network into a file: checked while they come, published by rename, never partial."""

import asyncio
import os
import time

from lima.adapters.images.digests import check_digest, new_hash
from lima.adapters.images.http import HTTPError, InvalidURL, client, did_not_answer
from lima.domain.errors import DownloadError
from lima.domain.image import FileRef, host_of, shown
from lima.domain.progress import StageProgress
from lima.ports.events import EventSink

CHUNK = 1 << 18
REPORT_S = 0.2


async def fetch(file: FileRef, path: str, *, progress: EventSink, stage: str) -> dict[str, str]:
    """Fetch into `path`, which is removed again when anything goes wrong. Returns the answer's headers, lower case.

    Raises: DownloadError, DigestMismatchError.
    """
    where = shown(file.location)
    running = new_hash(file.digest)
    try:
        async with client() as http, http.stream("GET", file.location) as answer:
            if answer.status_code != 200:
                raise DownloadError(
                    f"cannot fetch {where}: the server answered {answer.status_code} {answer.reason_phrase}",
                    hint="check the location in the template",
                )
            total = int(answer.headers.get("content-length", "0") or 0)
            done = 0
            reported = 0.0
            with open(path, "wb") as target:
                async for chunk in answer.aiter_raw(CHUNK):
                    target.write(chunk)
                    done += len(chunk)
                    if running is not None:
                        running.update(chunk)
                    if time.monotonic() - reported > REPORT_S:
                        reported = time.monotonic()
                        progress.emit(StageProgress(stage=stage, done=done, total=total, unit="B"))
                target.flush()
                await asyncio.to_thread(os.fsync, target.fileno())
            if total and done != total:
                raise DownloadError(f"{where} is cut off: {done} of {total} bytes came", hint="try again")
            check_digest(file, running)
            return {key.lower(): value for key, value in answer.headers.items()}
    except (HTTPError, InvalidURL) as error:
        if did_not_answer(error):
            raise DownloadError(
                f"cannot fetch {where}: {host_of(file.location)} does not answer ({error})",
                unreachable_host=host_of(file.location),
                hint="check the network and the proxy settings of this host",
            ) from error
        raise DownloadError(f"cannot fetch {where}: {error}", hint="try again") from error
