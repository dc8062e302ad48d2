"""What an edit of an existing instance may not change. Source: reference, config §4.6."""

from collections.abc import Iterator, Sequence

import msgspec

from lima.domain.completion import DEFAULT_DISK
from lima.domain.problem import Problem
from lima.domain.sizes import parse_size
from lima.domain.template import Template


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


def refused_by_this_version(
    was: Template, now: Template, before: Sequence[Problem], after: Sequence[Problem]
) -> Iterator[Problem]:
    """What of `after` (see `support`) an edit brought about. What an instance had already is left to it, as long as the
    edit is about something else.

    Args:
        was, now: the configuration as it is written.
        before, after: what this version cannot honour of it.
    """
    changed = {
        field.encode_name
        for field in msgspec.structs.fields(Template)
        if getattr(was, field.name) != getattr(now, field.name)
    }
    for problem in after:
        if problem not in before or problem.path.partition(".")[0].partition("[")[0] in changed:
            yield problem
