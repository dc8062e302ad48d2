"""Template, default and override files combined."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from lima.domain.merge import merge
from lima.domain.template import (
    CaCertsSection,
    ContainerdSection,
    File,
    FirmwareFile,
    FirmwareSection,
    HostResolver,
    Image,
    SshSection,
    Template,
    UserSection,
    VideoSection,
    VncSection,
)
from tests.strategies import templates

JOINED = [
    "images",
    "additional_disks",
    "mounts",
    "mount_types_unsupported",
    "provision",
    "probes",
    "port_forwards",
    "copy_to_host",
    "networks",
]


@settings(deadline=None, max_examples=50)
@given(templates())
def test_merging_with_nothing_changes_nothing(template: Template) -> None:
    assert merge(template) == template
    assert merge(template, default=Template(), override=Template()) == template


@settings(deadline=None, max_examples=50)
@given(templates(), templates())
def test_a_scalar_of_the_override_wins_and_of_the_default_loses(template: Template, other: Template) -> None:
    over = merge(template, override=other)
    under = merge(template, default=other)
    for name in ("cpus", "memory", "os", "arch", "vm_type", "plain", "timezone", "tpm"):
        mine, theirs = getattr(template, name), getattr(other, name)
        assert getattr(over, name) == (mine if theirs is None else theirs)
        assert getattr(under, name) == (theirs if mine is None else mine)


_WITHOUT_LISTS = templates(**{name: st.none() for name in JOINED}, firmware=st.none(), containerd=st.none())


@settings(deadline=None, max_examples=50)
@given(_WITHOUT_LISTS, _WITHOUT_LISTS, _WITHOUT_LISTS)
def test_merging_twice_is_merging_once(template: Template, default: Template, override: Template) -> None:
    once = merge(template, default=default, override=override)
    assert merge(once, default=default, override=override) == once


def test_lists_in_which_the_first_match_wins_are_joined_override_first() -> None:
    def layer(name: str) -> Template:
        return Template(
            images=(Image(location=name),),
            firmware=FirmwareSection(images=(FirmwareFile(location=name),)),
            containerd=ContainerdSection(archives=(File(location=name),)),
        )

    merged = merge(layer("t"), default=layer("d"), override=layer("o"))
    assert [image.location for image in merged.images or ()] == ["o", "t", "d"]
    assert merged.firmware is not None
    assert [image.location for image in merged.firmware.images or ()] == ["o", "t", "d"]
    assert merged.containerd is not None
    assert [file.location for file in merged.containerd.archives or ()] == ["o", "t", "d"]


def test_maps_are_united_and_the_override_wins_whole_drivers_of_vm_opts() -> None:
    merged = merge(
        Template(env={"A": "t", "B": "t"}, vm_opts={"qemu": {"minimumVersion": "8.0.0", "cpuType": {}}}),
        default=Template(env={"A": "d", "C": "d"}, vm_opts={"vz": {}}),
        override=Template(env={"B": "o"}, vm_opts={"qemu": {"accelerator": "tcg"}}),
    )
    assert merged.env == {"A": "t", "C": "d", "B": "o"}
    assert merged.vm_opts == {"vz": {}, "qemu": {"accelerator": "tcg"}}


def test_sections_are_merged_leaf_by_leaf() -> None:
    merged = merge(
        Template(user=UserSection(name="t"), ssh=SshSection(local_port=1), video=VideoSection(display="t")),
        default=Template(user=UserSection(name="d", uid=5), video=VideoSection(vnc=VncSection(display=":5"))),
        override=Template(ssh=SshSection(local_port=0)),
    )
    assert merged.user == UserSection(name="t", uid=5)
    assert merged.ssh == SshSection(local_port=0)
    assert merged.video == VideoSection(display="t", vnc=VncSection(display=":5"))


def test_certificates_are_joined_default_first_without_repetition() -> None:
    merged = merge(
        Template(ca_certs=CaCertsSection(files=("a", "t"), certs=("t",))),
        default=Template(ca_certs=CaCertsSection(files=("d", "a"))),
        override=Template(ca_certs=CaCertsSection(files=("t", "o"), remove_defaults=True)),
    )
    assert merged.ca_certs == CaCertsSection(files=("d", "a", "t", "o"), certs=("t",), remove_defaults=True)


def test_host_names_are_united() -> None:
    merged = merge(
        Template(host_resolver=HostResolver(hosts={"a": "t"})),
        default=Template(host_resolver=HostResolver(hosts={"a": "d", "b": "d"}, ipv6=True)),
    )
    assert merged.host_resolver == HostResolver(hosts={"a": "t", "b": "d"}, ipv6=True)


def test_dns_is_taken_whole_from_the_first_that_has_any() -> None:
    assert merge(Template(dns=("1.1.1.1",)), override=Template(dns=())).dns == ("1.1.1.1",)
    assert merge(Template(dns=("1.1.1.1",)), override=Template(dns=("2.2.2.2",))).dns == ("2.2.2.2",)


def test_some_fields_come_from_the_template_alone() -> None:
    other = Template(message="m", minimum_lima_version="9.9.9", cpu_type={"x86_64": "max"})
    merged = merge(Template(cpus=1), default=other, override=other)
    assert merged == msgspec.structs.replace(Template(), cpus=1)
