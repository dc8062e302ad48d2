"""Rules about mounts. Source: reference, config §1.4 and §4.1."""

import pytest

from lima.domain.host_paths import PathKind, PathState
from lima.domain.mounts import clean_path, mount_problems
from lima.domain.template import Mount, NineP

PATHS = {
    "/dir": PathState(PathKind.DIRECTORY),
    "/file": PathState(PathKind.FILE),
    "/secret": PathState(PathKind.UNKNOWN, "stat /secret: permission denied"),
}


def _messages(mount: Mount) -> list[str]:
    return [problem.message for problem in mount_problems((mount,), user_home="/home/jane.guest", paths=PATHS)]


@pytest.mark.parametrize(
    ("mount", "message"),
    [
        (Mount(location="dir"), "field `mounts[0].location` must be an absolute path, got `dir`"),
        (Mount(location="/file"), "field `mounts[0].location` refers to a non-directory path: `/file`: %!w(<nil>)"),
        (
            Mount(location="/secret"),
            "field `mounts[0].location` refers to an inaccessible path: `/secret`: stat /secret: permission denied",
        ),
        (Mount(location="/dir", mount_point="/usr"), "must not be a system path such as /etc or /usr"),
        (Mount(location="/dir", mount_point="/home/jane.guest"), "is the reserved internal home directory"),
        (Mount(location="/dir", mount_point="~/x"), "must not start with `~`"),
        (Mount(location="/dir", ninep=NineP(msize="x")), "field `msize` has an invalid value: invalid size: 'x'"),
    ],
)
def test_mounts_that_no_guest_can_have(mount: Mount, message: str) -> None:
    (found,) = _messages(mount)
    assert message in found


@pytest.mark.parametrize(
    "mount", [Mount(location="/dir"), Mount(location="/gone"), Mount(location="/dir", ninep=NineP())]
)
def test_what_is_missing_or_not_said_is_no_problem(mount: Mount) -> None:
    assert _messages(mount) == []


@pytest.mark.parametrize(
    ("path", "cleaned"), [("", "."), ("//a//b/", "/a/b"), ("/a/../../b", "/b"), ("./a", "a"), ("//", "/")]
)
def test_paths_are_cleaned_by_their_text_alone(path: str, cleaned: str) -> None:
    assert clean_path(path) == cleaned
