"""containerd: what a template asks for, what the default is worth, and what the seed says of it."""

from dataclasses import replace
from typing import Any

import pytest

from lima.domain.cidata import render_seed
from lima.domain.config import AdditionalDisk, Containerd
from lima.domain.image import FileRef
from tests.resolving import resolved
from tests.unit.domain.test_small_rules import request

ARCHIVE = "/home/jane/.lima/box/nerdctl-full.tgz"


def containerd(**data: Any) -> Containerd:
    config = resolved({"images": [{"location": "https://a.test/d.qcow2", "arch": "x86_64"}], **data}).config
    assert config is not None
    return config.containerd


def variables(wanted: Containerd, *, archive: str) -> dict[str, str]:
    asked = request()
    asked = replace(asked, config=asked.config.but(containerd=wanted), nerdctl_archive=archive)
    env = next(file.content.decode() for file in render_seed(asked, {}).files if file.path == "lima.env")
    lines = [line.removeprefix("LIMA_CIDATA_") for line in env.splitlines() if "CONTAINERD" in line]
    return {line.partition("=")[0]: line.partition("=")[2] for line in lines}


def test_by_default_it_is_on_and_nobody_asked() -> None:
    wanted = containerd()
    assert (wanted.system, wanted.user, wanted.is_asked, wanted.is_on) == (False, True, False, True)
    assert [file.location.rpartition("-")[2] for file in wanted.archives] == ["amd64.tar.gz"]
    assert all(file.digest.startswith("sha256:") for file in wanted.archives)


@pytest.mark.parametrize(
    ("section", "asked", "on"),
    [
        ({"user": True}, True, True),
        ({"system": True}, True, True),
        ({"user": False}, False, False),
        ({"user": None}, False, True),
        ({"user": False, "system": True}, True, True),
    ],
)
def test_who_switches_it_on_has_asked(section: dict[str, Any], asked: bool, on: bool) -> None:
    wanted = containerd(containerd=section)
    assert (wanted.is_asked, wanted.is_on) == (asked, on)


def test_plain_guests_have_none() -> None:
    assert not containerd(plain=True, containerd={"user": True, "system": True}).is_on


def test_archives_of_other_architectures_are_left_out() -> None:
    files = [{"location": "/a.tgz", "arch": "aarch64"}, {"location": "~/b.tgz"}]
    assert containerd(containerd={"archives": files}).archives == (FileRef(location="/home/jane/b.tgz"),)


@pytest.mark.parametrize(
    ("wanted", "archive", "expected"),
    [
        (Containerd(user=True), ARCHIVE, {"USER": "1", "SYSTEM": "", "ARCHIVE": "nerdctl-full.tgz"}),
        (Containerd(user=True, is_asked=True), "", {"USER": "1", "SYSTEM": ""}),
        (Containerd(user=True, system=True, is_asked=True), ARCHIVE, {"USER": "1", "SYSTEM": "1", "ARCHIVE": "nerdctl-full.tgz"}),
        # nobody asked, and there is no archive: the guest does not spend minutes on its distribution's packages
        (Containerd(user=True), "", {"USER": "", "SYSTEM": ""}),
        (Containerd(), "", {"USER": "", "SYSTEM": ""}),
    ],
)  # fmt: skip
def test_the_seed_says_what_there_is(wanted: Containerd, archive: str, expected: dict[str, str]) -> None:
    assert variables(wanted, archive=archive) == {f"CONTAINERD_{key}": value for key, value in expected.items()}


def test_the_archive_is_named_and_not_read() -> None:
    asked = replace(request(), nerdctl_archive="/nosuch/nerdctl-full.tgz")
    seed = render_seed(asked, {})
    (file,) = (file for file in seed.files if file.path == "nerdctl-full.tgz")
    assert (file.content, file.source) == (b"", "/nosuch/nerdctl-full.tgz")


def test_a_disk_whose_argument_would_break_a_line_is_refused() -> None:
    asked = request()
    disks = (AdditionalDisk(name="d", fs_args=("a\nLIMA_CIDATA_USER=root",)),)
    with pytest.raises(Exception, match="must not contain a line break"):
        render_seed(replace(asked, config=asked.config.but(additional_disks=disks)), {})
