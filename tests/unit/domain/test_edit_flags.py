"""Each flag that edits a template, as the yq expression that upstream makes of it (reference, cli §4.2)."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lima.domain.edit_flags import EXPERIMENTAL, NEW_ONLY, NO_EDITS, EditFlags, Edits, Surroundings, edits_of
from lima.domain.errors import CommandError
from tests.strategies import JANE

NEW = Surroundings(facts=JANE, params={"K": "v", 'q"': ""}, is_new=True)
OLD = dataclasses.replace(NEW, is_new=False)
HOME_MOUNT = '{"location": "/home/jane", "mountPoint": "/home/jane", "writable": false}'
SRV_MOUNT = '{"location": "/srv", "mountPoint": "/srv", "writable": true}'

CASES: list[tuple[dict[str, Any], str]] = [
    ({"cpus": 4}, ".cpus = 4"),
    ({"cpus": 0}, ".cpus = 0"),
    ({"dns": ("1.1.1.1,8.8.8.8", "::1")},
     '.dns += ["1.1.1.1", "8.8.8.8", "::1"] | .dns |= unique | .hostResolver.enabled=false'),
    ({"memory": 2.0}, '.memory = "2GiB"'),
    ({"memory": 0.5}, '.memory = "0.5GiB"'),
    ({"memory": 0.1}, '.memory = "0.1GiB"'),
    ({"mount": ("~", "/srv:w")}, f".mounts = [{SRV_MOUNT}, {HOME_MOUNT}] + .mounts"),
    ({"mount": ("~,/srv:w",)}, f".mounts = [{SRV_MOUNT}, {HOME_MOUNT}] + .mounts"),
    ({"mount_only": ("~", "/srv:w")}, f".mounts = [{HOME_MOUNT}, {SRV_MOUNT}]"),
    ({"mount_none": True}, ".mounts = null"),
    ({"mount_none": False}, ".mounts = null"),
    ({"mount_type": "9p"}, '.mountType = "9p"'),
    ({"vm_type": "qemu"}, '.vmType = "qemu"'),
    ({"mount_inotify": True}, ".mountInotify = true"),
    ({"mount_writable": False}, ".mounts[].writable = false"),
    ({"network": ("lima:shared", "vzNAT")},
     '.networks += [{"lima": "shared"}, {"vzNAT": true}] | .networks |= unique_by(.lima)'),
    ({"nested_virt": True}, ".nestedVirtualization = true"),
    ({"rosetta": False}, ".vmOpts.vz.rosetta.enabled = false | .vmOpts.vz.rosetta.binfmt = false"),
    ({"set": (".a = 1", '.b = "x,y"')}, '.a = 1 | .b = "x,y"'),
    ({"param": ("K=a=b", 'q"=')}, '.param["K"] = "a=b" | .param["q\\""] = ""'),
    ({"video": True}, '.video.display = "default"'),
    ({"video": False}, '.video.display = "none"'),
    ({"audio_device": "alsa"}, '.audio.device = "alsa"'),
    ({"audio_interface": "hda"}, '.audio.interface = "hda"'),
    ({"ssh_port": 0}, ".ssh.localPort = 0"),
    ({"image_variant": "minimal"}, '.images = [.images[] | select(.variant == "minimal")]'),
    ({"arch_variant": "v3"}, '.images = [.images[] | select(.archVariant == "v3")]'),
    ({"arch": "aarch64"}, '.arch = "aarch64"'),
    ({"containerd": "user"}, ".containerd.user = true | .containerd.system = false"),
    ({"containerd": "system"}, ".containerd.user = false | .containerd.system = true"),
    ({"containerd": "user+system"}, ".containerd.user = true | .containerd.system = true"),
    ({"containerd": "system+user"}, ".containerd.user = true | .containerd.system = true"),
    ({"containerd": "none"}, ".containerd.user = false | .containerd.system = false"),
    ({"disk": 30.0}, '.disk= "30GiB"'),
    ({"plain": False}, ".plain = false"),
    ({"port_forward": ("8080:80", "1:2,static=T")},
     ('.portForwards += [{"guestPort": "80", "hostPort": "8080", "static": false},'
     ' {"guestPort": "2", "hostPort": "1", "static": true}]')),
    ({"shell": "/bin/zsh"}, '.user.shell = "/bin/zsh"'),
]  # fmt: skip


@pytest.mark.parametrize(("given_flags", "program"), CASES)
def test_the_program_of_a_flag(given_flags: dict[str, Any], program: str) -> None:
    assert " | ".join(edits_of(EditFlags(**given_flags), NEW).expressions) == program


def test_every_flag_has_a_case() -> None:
    assert {name for flags, _ in CASES for name in flags} == {field.name for field in dataclasses.fields(EditFlags)}


def test_they_are_evaluated_in_the_order_of_the_table() -> None:
    flags = EditFlags(shell="/bin/sh", set=(".z = 1",), cpus=1, disk=2.0)
    assert edits_of(flags, NEW).expressions == (".cpus = 1", ".z = 1", '.disk= "2GiB"', '.user.shell = "/bin/sh"')


def test_none_given_is_none_to_do() -> None:
    assert not NO_EDITS
    assert edits_of(NO_EDITS, NEW) == Edits()


@pytest.mark.parametrize("name", sorted(NEW_ONLY))
def test_what_makes_an_instance_is_not_for_one_that_is_there(name: str) -> None:
    value = True if name == "plain" else "none"
    edits = edits_of(EditFlags(**{name: value}), OLD)  # type: ignore[arg-type]
    flag, shown = name.replace("_", "-"), "true" if name == "plain" else "none"
    assert edits.expressions == ()
    assert edits.warnings == (
        (
            f"`--{flag}` is not applicable to an existing instance"
            f" (Hint: create a new instance with `limactl create --{flag}={shown} --name=NAME`)"
        ),
    )


@pytest.mark.parametrize("name", sorted(EXPERIMENTAL))
def test_experimental_ones_say_so(name: str) -> None:
    value = True if name == "mount_inotify" else "x"
    edits = edits_of(EditFlags(**{name: value}), OLD)  # type: ignore[arg-type]
    assert edits.warnings == (f"`--{name.replace('_', '-')}` is experimental",)


def test_name_servers_of_ones_own_switch_the_resolver_off_with_a_word() -> None:
    edits = edits_of(EditFlags(dns=("1.1.1.1", "8.8.8.8")), OLD)
    assert edits.warnings == ("Disabling HostResolver, as custom DNS addresses ([1.1.1.1 8.8.8.8]) are specified",)


@pytest.mark.parametrize(
    ("given_flags", "message"),
    [
        ({"cpus": -1}, "error while processing flag `cpus`: invalid value for number of cpus, must be >= 0"),
        ({"mount": ("~bob",)}, "error while processing flag `mount`: unexpandable path `~bob`"),
        ({"mount": (":w",)}, "error while processing flag `mount`: empty path"),
        ({"mount": ("/a",), "mount_only": ("/b",)}, "flag `--mount` conflicts with `--mount-only`"),
        ({"mount_none": True, "mount": ("/b",)}, "flag `--mount-none` conflicts with `mount`"),
        ({"mount_none": True, "mount_only": ("/b",)}, "flag `--mount-none` conflicts with `mount-only`"),
        ({"network": ("bridge",)}, "network name must be `vzNAT` or `lima:\\*`, got `bridge`"),
        ({"param": ("K",)}, "invalid parameter `K`, expected NAME=VALUE"),
        ({"param": ("N=1",)}, "template does not define param `N`"),
        ({"image_variant": ""}, "`--image-variant` must not be empty"),
        ({"arch_variant": ""}, "`--arch-variant` must not be empty"),
        ({"containerd": "docker"}, r"expected one of \[`user`, `system`, `user\+system`, `none`\], got `docker`"),
        ({"port_forward": ("80",)}, "invalid port forward format `80`, expected HOST:GUEST"),
    ],
)
def test_what_no_flag_takes(given_flags: dict[str, Any], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        edits_of(EditFlags(**given_flags), NEW)


@given(st.floats(min_value=2**-10, max_value=1e6, width=32))
def test_sizes_are_told_apart_as_upstream_tells_them(gibibytes: float) -> None:
    (expression,) = edits_of(EditFlags(memory=gibibytes), NEW).expressions
    text = expression.removeprefix('.memory = "').removesuffix('GiB"')
    assert "e" not in text
    assert abs(float(text) - gibibytes) <= gibibytes * 2**-23
