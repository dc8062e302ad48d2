"""Stories that go on side by side in the host agent, and what becomes of them when one ends."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from lima.domain.errors import LimaError


async def first_end(*stories: Awaitable[Any]) -> None:
    """Return or raise with the one that ends first; the others end with it."""
    tasks = [asyncio.ensure_future(story) for story in stories]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        await end(*tasks)


async def all_of(*stories: Awaitable[Any]) -> None:
    """Return when all have ended, or raise with the first that fails; the others end with it."""
    tasks = [asyncio.ensure_future(story) for story in stories]
    try:
        await asyncio.gather(*tasks)
    finally:
        await end(*tasks)


async def end(*tasks: "asyncio.Future[Any]") -> None:
    """Cancel them, and return when all have ended, however they did."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def told(what: str, story: Awaitable[None], tell: Callable[[str, Exception], None]) -> None:
    """`story` to its end. What ends it is told (a sentence, and the error itself) before it is raised: whoever waits for
    a story of many may do so much later, and then has no use for how it ended.
    """
    try:
        await story
    except LimaError as error:
        tell(f"{what}: {error.message}", error)
        raise
    except Exception as error:
        tell(f"{what} ended by an error in limactl itself: {type(error).__name__}: {error}", error)
        raise
