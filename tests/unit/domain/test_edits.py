"""What an edit of an existing instance may not change."""

import pytest

from lima.domain.edits import disk_shrink_problems, refused_by_this_version
from lima.domain.problem import Problem
from lima.domain.template import Mount, Template

NO_MOUNTS = Problem(path="mounts", message="not yet")
NO_ITEM = Problem(path="portForwards[0].reverse", message="not yet")


@pytest.mark.parametrize(
    ("old", "new", "messages"),
    [
        ("60GiB", "50GiB", ["field `disk`: shrinking the disk (60GiB --> 50GiB) is not supported"]),
        (None, "50GiB", ["field `disk`: shrinking the disk (100GiB --> 50GiB) is not supported"]),
        ("60GiB", None, []),
        ("60GiB", "61440MiB", []),
        ("60GiB", "70GiB", []),
        ("60GiB", "xx", [
            "invalid size: 'xx'", "field `disk`: shrinking the disk (60GiB --> xx) is not supported",
        ]),
    ],
)  # fmt: skip
def test_the_disk_only_grows(old: str | None, new: str | None, messages: list[str]) -> None:
    assert [problem.message for problem in disk_shrink_problems(old=old, new=new)] == messages


def test_what_was_there_before_is_refused_only_where_it_is_changed() -> None:
    was = Template(cpus=1, mounts=(Mount(location="/a"),))
    other, more = Template(cpus=2, mounts=was.mounts), Template(mounts=(Mount(location="/b"),))
    assert list(refused_by_this_version(was, other, (NO_MOUNTS,), (NO_MOUNTS,))) == []
    assert list(refused_by_this_version(was, more, (NO_MOUNTS,), (NO_MOUNTS,))) == [NO_MOUNTS]
    assert list(refused_by_this_version(was, other, (), (NO_MOUNTS, NO_ITEM))) == [NO_MOUNTS, NO_ITEM]
