"""What a locator means."""

from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lima.domain.errors import LocatorError
from lima.domain.instance import instance_name_problem
from lima.domain.locator import (
    ArgumentKind,
    LocatorKind,
    TemplateLocator,
    absolute_locator,
    absolute_path,
    classify_argument,
    format_locator,
    image_name,
    image_template,
    lasting_locator,
    parse_locator,
    rewritten_template_url,
    suggested_name,
    template_file_name,
)
from lima.domain.machine import Arch
from tests.strategies import JANE


@pytest.mark.parametrize(
    ("argument", "kind"),
    [
        (None, ArgumentKind.NONE),
        ("-", ArgumentKind.STDIN),
        ("default", ArgumentKind.INSTANCE),
        ("docker", ArgumentKind.INSTANCE),
        ("foo.qcow2", ArgumentKind.INSTANCE),
        ("ubuntu-24.04", ArgumentKind.INSTANCE),
        ("foo.yaml", ArgumentKind.LOCATOR),
        ("./foo", ArgumentKind.LOCATOR),
        ("template:default", ArgumentKind.LOCATOR),
        ("https://h/x", ArgumentKind.LOCATOR),
        ("a b", ArgumentKind.LOCATOR),
        ("", ArgumentKind.LOCATOR),
    ],
)
def test_the_positional_of_create_and_start(argument: str | None, kind: ArgumentKind) -> None:
    assert classify_argument(argument) is kind


@given(st.text())
def test_an_argument_is_an_instance_exactly_if_it_may_be_called_that(text: str) -> None:
    assert (classify_argument(text) is ArgumentKind.INSTANCE) == (instance_name_problem(text) is None)


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("template:default", LocatorKind.TEMPLATE, "default"),
        ("template:deprecated/centos-7", LocatorKind.TEMPLATE, "deprecated/centos-7"),
        ("http://h/x.yaml", LocatorKind.HTTP, "http://h/x.yaml"),
        ("HTTPS://h/x", LocatorKind.HTTP, "HTTPS://h/x"),
        ("file:///a/b%20c.yaml", LocatorKind.PATH, "/a/b c.yaml"),
        ("-", LocatorKind.STDIN, "-"),
        ("x.yaml", LocatorKind.PATH, "x.yaml"),
        ("C:x.yaml", LocatorKind.PATH, "C:x.yaml"),
        ("foo:bar", LocatorKind.PATH, "foo:bar"),
        ("./disk.img", LocatorKind.IMAGE, "./disk.img"),
        ("https://h/disk.raw.xz", LocatorKind.IMAGE, "https://h/disk.raw.xz"),
        ("./disk.img.zst", LocatorKind.PATH, "./disk.img.zst"),
        ("bootstrap:tiny", LocatorKind.IMAGE, "bootstrap:tiny"),
    ],
)
def test_kinds_of_locators(text: str, kind: LocatorKind, value: str) -> None:
    assert parse_locator(text) == TemplateLocator(kind=kind, value=value)


def test_the_old_form_of_template_locators_is_rewritten() -> None:
    assert rewritten_template_url("template://default") == "template:default"
    assert rewritten_template_url("template:default") == "template:default"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("template:../x", "template name `../x` must not contain `..`"),
        ("template:", "template name must not be empty"),
        ("template:/", "template name must not be empty"),
        ("file:x.yaml", "file URL `file:x.yaml` is not an absolute path"),
        ("file://host/x", "file URL `file://host/x` is not an absolute path"),
        ("http://[", "`http://[` is not a valid URL"),
        ("https:///x.yaml", "`https:///x.yaml` is not a valid URL"),
        ("http://h:99999999/", "`http://h:99999999/` is not a valid URL"),
        ("", "locator is empty"),
        ("a\x00b/c", 'template locator "a\\x00b/c" contains control characters'),
    ],
)
def test_malformed_locators_are_refused(text: str, message: str) -> None:
    with pytest.raises(LocatorError) as caught:
        parse_locator(text)
    assert caught.value.message == message


LOCATORS = st.one_of(
    st.text(),
    st.text(alphabet="ab/.%0A2E~:", max_size=12).map("file:///".__add__),
    st.text(alphabet="ab/.img-", max_size=12).map("template:".__add__),
    st.text(alphabet="ahtps:/[]?#.@1_-~").map("http://".__add__),
    st.text(alphabet="ab/.qcow2", max_size=12),
)


@given(LOCATORS)
@example("file:///a%2Eimg")
@example("file:///a%0Ab%25")
@example("TEMPLATE:x")
def test_a_printed_locator_reads_back(text: str) -> None:
    with suppress(LocatorError):
        locator = parse_locator(text)
        assert parse_locator(format_locator(locator)) == locator


@given(LOCATORS, LOCATORS)
def test_an_absolute_locator_stays_what_it_is_wherever_it_stands(text: str, parent: str) -> None:
    with suppress(LocatorError):
        absolute = absolute_locator(text, parent=parent, facts=JANE)
        assert absolute_locator(absolute, parent=parent, facts=JANE) == absolute


@given(st.text() | st.text(alphabet="ahtps:/[]?#.@1_-~").map("http://".__add__))
def test_any_text_is_a_locator_or_refused(text: str) -> None:
    with suppress(LocatorError):
        name = suggested_name(parse_locator(text), host_arch=Arch.X86_64)
        assert name == "" or instance_name_problem(name + "x") is None


@pytest.mark.parametrize(
    ("name", "file"),
    [("default", "default.yaml"), ("ubuntu-24.04", "ubuntu-24.04.yaml"), ("a.b/c", "a.b/c.yaml"), ("run.sh", "run.sh")],
)
def test_template_files_end_in_yaml_unless_they_say_otherwise(name: str, file: str) -> None:
    assert template_file_name(name) == file


@pytest.mark.parametrize(
    ("locator", "name"),
    [
        ("template:deprecated/centos-7", "centos-7"),
        ("template:ubuntu-24.04", "ubuntu-24.04"),
        ("https://h/d/Foo.YAML?x=y.yml", "foo"),
        ("/x/foo.yaml.yml", "foo"),
        ("/x/foo.yml.yaml", "foo.yml"),
        ("file:///x/bar.yaml", "bar"),
        ("-", ""),
        ("bootstrap:debian/trixie?init=cloud-init", "debian-trixie"),
        ("https://h/ubuntu-24.04-server-cloudimg-amd64.img", "ubuntu-24.04-amd64"),
    ],
)
def test_instance_names_follow_from_locators(locator: str, name: str) -> None:
    assert suggested_name(parse_locator(locator), host_arch=Arch.X86_64) == name


def test_a_file_whose_name_is_no_identifier_gives_no_instance_name() -> None:
    with pytest.raises(
        LocatorError, match=r"filename `/x/_hidden\.yaml` is invalid: identifier `_hidden` must match"
    ) as caught:
        suggested_name(parse_locator("/x/_hidden.yaml"), host_arch=Arch.X86_64)
    assert "--name" in caught.value.hint


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("ubuntu-24.04-server-cloudimg-amd64.img", "ubuntu-24.04-amd64"),
        ("nocloud_alpine-3.22.4-aarch64-uefi-cloudinit-r0.qcow2", "alpine-3.22.4-aarch64-r0"),
        ("Arch-Linux-x86_64-cloudimg-20260715.556894.qcow2", "archlinux"),
        ("Rocky-8-GenericCloud-Base-8.10-20240528.0.x86_64.qcow2", "rocky-8.10"),
        ("Fedora-Cloud-Base-Generic-44-1.7.x86_64.qcow2", "fedora-44-1.7"),
        ("CentOS-Stream-GenericCloud-10-20260720.0.aarch64.qcow2", "centos-10.aarch64"),
        ("FreeBSD-16.0-CURRENT-arm64-aarch64-BASIC-CLOUDINIT-zfs.raw.xz", "freebsd-16.0-arm64-zfs"),
        ("UniversalMac_15.6.1_24G90_Restore.ipsw", "macos-15.6.1"),
    ],
)
def test_image_names_lose_what_says_nothing(file: str, name: str) -> None:
    assert image_name(f"https://h/x/{file}", host_arch=Arch.X86_64) == name
    assert image_name(f"./x/{file}", host_arch=Arch.X86_64) == name


@pytest.mark.parametrize(
    ("locator", "guest_os", "arch"),
    [
        ("https://h/debian-arm64.qcow2", "Linux", "aarch64"),
        ("https://h/FreeBSD-15.0-amd64.qcow2", "FreeBSD", "x86_64"),
        ("https://h/UniversalMac_15.ipsw", "Darwin", "aarch64"),
        ("https://h/debian-s390x.img", "Linux", "s390x"),
    ],
)
def test_a_template_is_made_up_around_an_image(locator: str, guest_os: str, arch: str) -> None:
    text, warnings = image_template(locator, JANE)
    assert text == (f'os: "{guest_os}"\narch: "{arch}"\nimages:\n- location: "{locator}"\n  arch: "{arch}"\n')
    assert warnings == ()


def test_an_image_that_names_no_arch_is_taken_for_the_hosts() -> None:
    text, warnings = image_template("./amd64v3.img", JANE)
    assert '- location: "/home/jane/amd64v3.img"' in text
    assert warnings == ("cannot determine image arch from URL `./amd64v3.img`; assuming `x86_64`",)


def test_an_image_whose_name_is_not_utf_8_is_refused() -> None:
    with pytest.raises(LocatorError, match="not UTF-8"):
        image_template("./\udcff.img", JANE)


def test_an_image_that_is_built_here_is_of_the_hosts_arch() -> None:
    text, warnings = image_template("bootstrap:debian/trixie", JANE.but(arch=Arch.AARCH64))
    assert 'arch: "aarch64"' in text
    assert warnings == ()


@pytest.mark.parametrize(
    ("path", "absolute"),
    [
        ("/a/../b", "/b"),
        ("x", "/home/jane/x"),
        ("./x/../y", "/home/jane/y"),
        ("~", "/home/jane"),
        ("~/x", "/home/jane/x"),
        ("~bob", "/home/jane/~bob"),
    ],
)
def test_paths_become_absolute(path: str, absolute: str) -> None:
    assert absolute_path(path, JANE) == absolute


@pytest.mark.parametrize(
    ("locator", "lasting"),
    [
        ("template:default", "template:default"),
        ("https://a.test/x.yaml", "https://a.test/x.yaml"),
        ("bootstrap:debian/trixie", "bootstrap:debian/trixie"),
        ("./x.yaml", "/home/jane/x.yaml"),
        ("~/x.yaml", "/home/jane/x.yaml"),
        ("/x.yaml", "/x.yaml"),
        ("-", ""),
    ],
)
def test_a_locator_that_means_the_same_everywhere(locator: str, lasting: str) -> None:
    assert lasting_locator(locator, JANE) == lasting
