"""Stories side by side: how each of them may end."""

import asyncio

import pytest

from lima.application import together
from lima.domain.errors import NetworkError


class Story:
    """Goes on until it is told how to end. `was_cancelled` once somebody ended it."""

    def __init__(self) -> None:
        self.was_cancelled = False
        self._end: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def end(self, error: Exception | None = None) -> None:
        if error is None:
            self._end.set_result(None)
        else:
            self._end.set_exception(error)

    async def __call__(self) -> None:
        try:
            await self._end
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise


async def test_the_first_end_is_the_end_of_all() -> None:
    short, long = Story(), Story()
    task = asyncio.ensure_future(together.first_end(short(), long()))
    await asyncio.sleep(0.01)
    short.end()
    await task
    assert long.was_cancelled


@pytest.mark.parametrize("wait", [together.first_end, together.all_of])
async def test_a_failure_is_the_end_of_all_and_is_raised(wait: object) -> None:
    assert callable(wait)
    bad, good = Story(), Story()
    task = asyncio.ensure_future(wait(bad(), good()))
    await asyncio.sleep(0.01)
    bad.end(NetworkError("gone"))
    with pytest.raises(NetworkError):
        await task
    assert good.was_cancelled


async def test_all_of_them_wait_for_the_last() -> None:
    first, last = Story(), Story()
    task = asyncio.ensure_future(together.all_of(first(), last()))
    first.end()
    await asyncio.sleep(0.01)
    assert not task.done()
    last.end()
    await task
    assert not last.was_cancelled


@pytest.mark.parametrize("wait", [together.first_end, together.all_of])
async def test_who_is_cancelled_takes_them_along(wait: object) -> None:
    assert callable(wait)
    stories = Story(), Story()
    task = asyncio.ensure_future(wait(*(story() for story in stories)))
    await asyncio.sleep(0.01)
    await together.end(task)
    assert task.cancelled()
    assert all(story.was_cancelled for story in stories)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (NetworkError("no route"), "names: no route"),
        (KeyError("x"), "names ended by an error in limactl itself: KeyError: 'x'"),
    ],
)
async def test_an_error_is_told_before_it_is_raised(error: Exception, sentence: str) -> None:
    told: list[tuple[str, Exception]] = []
    story = Story()
    story.end(error)
    with pytest.raises(type(error)):
        await together.told("names", story(), lambda *words: told.append(words))
    assert told == [(sentence, error)]


async def test_a_good_end_and_a_cancellation_are_not_told() -> None:
    told: list[str] = []
    good, stopped = Story(), Story()
    good.end()
    await together.told("a", good(), lambda sentence, _error: told.append(sentence))
    task = asyncio.ensure_future(together.told("b", stopped(), lambda sentence, _error: told.append(sentence)))
    await asyncio.sleep(0.01)
    await together.end(task)
    assert (stopped.was_cancelled, told) == (True, [])
