"""The clients that are served at this moment, whatever they speak."""

import asyncio
from collections.abc import Coroutine
from typing import Any

MAX_CONNECTIONS = 4096


class Connections:
    """Tasks that end by themselves, or all at once at the end. At most `limit`."""

    def __init__(self, limit: int = MAX_CONNECTIONS) -> None:
        self._limit = limit
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def add(self, story: Coroutine[Any, Any, None]) -> "asyncio.Task[None] | None":
        """Run it, or drop it and return None where there are too many."""
        if len(self._tasks) >= self._limit:
            story.close()
            return None
        task = asyncio.ensure_future(story)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def end(self) -> None:
        """Cancel all, and return when they are gone."""
        while tasks := list(self._tasks):
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
