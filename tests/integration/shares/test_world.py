"""The world that hostile clients are let loose in: what they may not do to it is noticed."""

import os
from collections.abc import Callable

import pytest
from tests.shares.world import World, new_world

CHANGES: dict[str, Callable[[World], object]] = {
    "content": lambda w: write(f"{w.outside}/folder/file", b"x"),
    "times": lambda w: os.utime(f"{w.outside}/file", (1, 1)),
    "mode": lambda w: os.chmod(f"{w.outside}/file", 0o600),
    "a hard link of the share's": lambda w: os.link(f"{w.outside}/file", w.inside("caught")),
    "a new file": lambda w: write(f"{w.outside}/new", b""),
    "a new file beside the share": lambda w: write(f"{w.base}/new", b""),
    "a file that is gone": lambda w: os.unlink(f"{w.outside}/folder/file"),
    "an attribute": lambda w: os.setxattr(f"{w.outside}/file", "user.x", b"y"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_changes_outside_is_noticed(change: Callable[[World], object]) -> None:
    with pytest.raises(AssertionError, match="something outside the share was touched"), new_world() as world:
        change(world)


def test_set_id_programs_are_noticed_and_nothing_else_is() -> None:
    with new_world() as world:
        assert world.dangers() == []
        os.chmod(world.inside("folder"), 0o2755)
        assert world.dangers() == []
        os.chmod(world.inside("file"), 0o4755)
        assert world.dangers() == ["file"]


def write(path: str, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)
