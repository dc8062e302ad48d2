"""What an edit of an existing instance may not change. Source: reference, config §4.6."""

from collections.abc import Iterator

from lima.domain.completion import DEFAULT_DISK
from lima.domain.problem import Problem
from lima.domain.sizes import parse_size


def disk_shrink_problems(*, old: str | None, new: str | None) -> Iterator[Problem]:
    """`old` and `new` are `disk` as the two texts state it; None where they do not."""
    if new is None:
        return
    before = old or DEFAULT_DISK
    sizes = []
    for text in (before, new):
        try:
            sizes.append(parse_size(text))
        except ValueError as error:
            yield Problem(path="disk", message=str(error))
            sizes.append(0)
    if sizes[1] < sizes[0]:
        yield Problem(path="disk", message=f"field `disk`: shrinking the disk ({before} --> {new}) is not supported")
