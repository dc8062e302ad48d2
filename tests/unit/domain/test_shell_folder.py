"""Where a shell in a guest begins. Source: reference, cli §7.2."""

import pytest

from lima.domain.shell_folder import guest_folders

HOME = ("/home/jane", "/home/jane")


@pytest.mark.parametrize(
    ("mounts", "current", "folders"),
    [
        ((), "/home/jane/src", ()),
        ((HOME,), "/home/jane/src", ("/home/jane/src", "/home/jane")),
        ((HOME,), "/home/jane", ("/home/jane",)),
        ((HOME,), "/home/janet", ("/home/jane",)),
        ((HOME,), "/srv", ("/home/jane",)),
        ((("/srv", "/mnt/x/"),), "/srv/a b", ("/mnt/x/a b",)),
        ((("/srv", "/mnt/x"), ("/srv/deep", "/deep")), "/srv/deep/er", ("/deep/er",)),
        ((("/srv", ""),), "/srv", ()),
        ((("/", "/host"),), "/etc", ("/host/etc", "/host/home/jane")),
        ((("/", "/host"),), "/", ("/host/", "/host/home/jane")),
    ],
)
def test_where_the_user_is_or_the_users_home(
    mounts: tuple[tuple[str, str], ...], current: str, folders: tuple[str, ...]
) -> None:
    assert guest_folders(mounts, current=current, home="/home/jane") == folders
