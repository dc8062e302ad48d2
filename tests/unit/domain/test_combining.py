"""Same-key entries of one embedded template: the earlier wins, later ones fill its gaps."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lima.domain.combining import combined
from lima.domain.tree import Tree, plain, tree_of


def _combined(data: dict[str, Any]) -> Any:
    return plain(combined(Tree(tree_of(data))).root)


@pytest.mark.parametrize(
    ("disks", "result"),
    [
        (
            [{"name": "a", "format": True}, {"name": "a", "format": False, "fsType": "xfs"}],
            [{"name": "a", "format": True, "fsType": "xfs"}],
        ),
        (["a", {"name": "a", "fsType": "xfs"}], [{"name": "a", "fsType": "xfs"}]),
        (["a", {"name": "a"}], ["a"]),
        (["a", {"name": "a", "fsType": None, "fsArgs": []}], ["a"]),
        (["a", "a"], ["a"]),
        ([{"name": "a", "fsArgs": ["x"]}, {"name": "a", "fsArgs": ["y"]}], [{"name": "a", "fsArgs": ["x"]}]),
        ([{"name": "a", "fsArgs": []}, {"name": "a", "fsArgs": ["y"]}], [{"name": "a", "fsArgs": ["y"]}]),
        (["a", "b", {"name": "*", "format": True}], [{"name": "a", "format": True}, {"name": "b", "format": True}]),
        ([{"name": "*", "format": True}, "a"], ["a"]),
        ([None, {"name": "*", "format": True}], [None]),
        ([{"fsType": "xfs"}, {"fsType": "ext4"}], [{"fsType": "xfs"}, {"fsType": "ext4"}]),
    ],
)
def test_disks_combine_by_name(disks: list[Any], result: list[Any]) -> None:
    assert _combined({"additionalDisks": disks}) == {"additionalDisks": result}


@pytest.mark.parametrize(
    ("mounts", "result"),
    [
        (
            [{"location": "~"}, {"location": "~", "writable": True}, {"location": "~", "mountPoint": "/h"}],
            [{"location": "~", "writable": True}, {"location": "~", "mountPoint": "/h"}],
        ),
        (
            [{"location": "~", "mountPoint": "/h"}, {"location": "/x", "mountPoint": "/h", "writable": True}],
            [{"location": "~", "mountPoint": "/h", "writable": True}],
        ),
        (
            [{"location": "~", "sshfs": {"cache": True}}, {"location": "~", "sshfs": {"cache": False, "x": 1}}],
            [{"location": "~", "sshfs": {"cache": True}}],
        ),
        (
            [{"location": "~", "9p": None}, {"location": "~", "9p": {"msize": "1MiB"}}],
            [{"location": "~", "9p": {"msize": "1MiB"}}],
        ),
        (
            [{"location": "~"}, {"location": "*", "virtiofs": {"queueSize": 5, "other": 1}}],
            [{"location": "~", "virtiofs": {"queueSize": 5}}],
        ),
        ([{"location": "~", "9p": 5}, {"location": "~", "9p": {"msize": "1MiB"}}], [{"location": "~", "9p": 5}]),
        (
            [{"location": "~", "9p": {"msize": "2MiB"}}, {"location": "~", "9p": {"msize": "1MiB"}}],
            [{"location": "~", "9p": {"msize": "2MiB"}}],
        ),
        ([{"location": "~"}, {"location": "~", "9p": {}, "sshfs": [1]}], [{"location": "~"}]),
        (["~", "~", None, {"location": "*", "writable": True}], ["~", "~", None]),
    ],
)
def test_mounts_combine_by_mount_point_or_location_and_never_take_a_location(
    mounts: list[Any], result: list[Any]
) -> None:
    assert _combined({"mounts": mounts}) == {"mounts": result}


@pytest.mark.parametrize(
    ("networks", "result"),
    [
        (
            [{"interface": "e1", "lima": "a"}, {"interface": "e1", "socket": "/s", "metric": 5}],
            [{"interface": "e1", "lima": "a", "metric": 5}],
        ),
        ([{"interface": "e1"}, {"interface": "e1", "lima": "b"}], [{"interface": "e1", "lima": "b"}]),
        (
            [{"interface": "e1", "metric": 1}, {"interface": "*", "macAddress": "m", "vzNAT": True}],
            [{"interface": "e1", "metric": 1, "macAddress": "m", "vzNAT": True}],
        ),
        ([{"lima": "a"}, {"lima": "b"}], [{"lima": "a"}, {"lima": "b"}]),
        (["x", "x", {"interface": "*", "metric": 1}], ["x", "x"]),
    ],
)
def test_networks_combine_by_interface(networks: list[Any], result: list[Any]) -> None:
    assert _combined({"networks": networks}) == {"networks": result}


def test_other_lists_stay_and_what_is_no_list_is_left_to_the_decoder() -> None:
    tree = Tree(tree_of({"images": [{"location": "a"}, {"location": "a"}], "mounts": {"location": "x"}}))
    assert combined(tree) is tree


@given(st.lists(st.sampled_from(["a", "b", "c", "*"]) | st.fixed_dictionaries({"name": st.sampled_from(["a", "*"])})))
def test_one_entry_of_each_key_is_left_where_the_first_stood(disks: list[Any]) -> None:
    names = [disk if isinstance(disk, str) else disk["name"] for disk in disks]
    left = [
        disk if isinstance(disk, str) else disk["name"]
        for disk in _combined({"additionalDisks": disks})["additionalDisks"]
    ]
    assert left == [name for name in dict.fromkeys(names) if name != "*"]
