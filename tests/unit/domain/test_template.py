"""The shape of lima.yaml, and the normal form that `decoding` brings a file into."""

import msgspec
import pytest
from hypothesis import given, settings
from msgspec import inspect

from lima.domain.decoding import decode, described, float_text, path_text
from lima.domain.template import Template
from tests.strategies import ANY_VALUE, templates


def _wire_names(kind: object, prefix: str = "") -> list[str]:
    shape = inspect.type_info(kind)
    assert isinstance(shape, inspect.StructType)
    return [field.encode_name for field in shape.fields]


def test_fields_have_upstreams_names_in_upstreams_order() -> None:
    assert _wire_names(Template) == [
        "base",
        "minimumLimaVersion",
        "vmType",
        "vmOpts",
        "os",
        "arch",
        "images",
        "cpuType",
        "cpus",
        "memory",
        "disk",
        "additionalDisks",
        "mounts",
        "mountTypesUnsupported",
        "mountType",
        "mountInotify",
        "ssh",
        "firmware",
        "audio",
        "video",
        "provision",
        "upgradePackages",
        "containerd",
        "guestInstallPrefix",
        "probes",
        "portForwards",
        "copyToHost",
        "message",
        "networks",
        "env",
        "param",
        "dns",
        "hostResolver",
        "propagateProxyEnv",
        "caCerts",
        "rosetta",
        "plain",
        "timezone",
        "nestedVirtualization",
        "user",
        "tpm",
        "osOpts",
        # ours
        "portForwardDefaults",
    ]


def test_acronyms_are_spelled_as_upstream_spells_them() -> None:
    text = {
        "ssh": {"loadDotSSHPubKeys": True, "forwardX11": True, "forwardX11Trusted": True, "overVsock": True},
        "firmware": {"legacyBIOS": True},
        "networks": [{"vzNAT": True, "macAddress": "x"}],
        "portForwards": [{"guestIP": "1.2.3.4", "hostIP": "::1", "guestIPMustBeZero": True}],
        "mounts": [{"9p": {"msize": "1"}, "virtiofs": {"queueSize": 1}, "sshfs": {"sftpDriver": "x"}}],
        "caCerts": {"removeDefaults": True},
        "additionalDisks": [{"fsType": "ext4", "fsArgs": ["-x"]}],
    }
    decoded = decode(text, Template)
    assert decoded.unknown == ()
    assert msgspec.to_builtins(decoded.value, builtin_types=()) == {
        **text,
        "networks": ({"vzNAT": True, "macAddress": "x"},),
        "portForwards": tuple(text["portForwards"]),
        "mounts": tuple(text["mounts"]),
        "additionalDisks": ({"fsType": "ext4", "fsArgs": ("-x",)},),
    }


@settings(deadline=None, max_examples=50)
@given(templates())
def test_a_template_written_out_decodes_to_itself(template: Template) -> None:
    assert decode(msgspec.json.decode(msgspec.json.encode(template)), Template).value == template


@settings(deadline=None, max_examples=200)
@given(ANY_VALUE)
def test_any_value_decodes_or_is_described(data: object) -> None:
    decoded = decode(data, Template)
    assert (decoded.value is None) == bool(decoded.misfits)


def _ok(data: object) -> Template:
    decoded = decode(data, Template)
    assert decoded.misfits == ()
    assert decoded.value is not None
    return decoded.value


def test_nothing_is_an_empty_template() -> None:
    assert _ok(None) == Template()


def test_null_means_not_set_except_as_a_value_of_a_free_map() -> None:
    template = _ok({"cpus": None, "ssh": None, "images": None, "env": {"A": None}, "mountTypesUnsupported": [None]})
    assert template.cpus is template.ssh is template.images is None
    assert template.env == {"A": ""}
    assert template.mount_types_unsupported == ("",)


def test_a_null_item_is_an_empty_object() -> None:
    steps = _ok({"provision": [None, {"script": "x"}]}).provision
    assert steps is not None
    assert [step.script for step in steps] == [None, "x"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(4, "4"), (True, "true"), (False, "false"), (1.5, "1.5"), (1e6, "1e+06"), (-0.0, "-0"), ("x", "x")],
)
def test_a_text_may_be_written_as_another_scalar(value: object, text: str) -> None:
    assert _ok({"memory": value}).memory == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2.0, "2"),
        (0.25, "0.25"),
        (1500.0, "1500"),
        (100000.0, "100000"),
        (123456.5, "123456.5"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (123456789.5, "1.234567895e+08"),
        (-1.1, "-1.1"),
        (-2.5e30, "-2.5e+30"),
        (float("inf"), "+Inf"),
        (float("-inf"), "-Inf"),
        (float("nan"), "NaN"),
    ],
)
def test_floats_become_text_as_upstream_prints_them(value: float, text: str) -> None:
    assert float_text(value) == text


@pytest.mark.parametrize(
    ("value", "number"), [(3, 3), ("3", 3), ("+3", 3), ("2.5", 2), ("1e3", 1000), (3.9, 3), (-3.9, -3)]
)
def test_a_number_may_be_written_as_text_or_float(value: object, number: int) -> None:
    assert _ok({"cpus": value}).cpus == number


@pytest.mark.parametrize("value", ["many", "", "+-3", "0x10", "٣", "9" * 401, True, float("inf"), [], {}])
def test_what_is_no_number_is_refused(value: object) -> None:
    (misfit,) = decode({"cpus": value}, Template).misfits
    assert misfit.path == ("cpus",)
    assert misfit.message.startswith("field `cpus` must be a number, got ")


@pytest.mark.parametrize("value", [-5, "-5", 2**32, 2**70])
def test_a_number_out_of_range_is_refused(value: object) -> None:
    (misfit,) = decode({"user": {"uid": value}}, Template).misfits
    assert misfit.message == f"field `user.uid` cannot hold {value} ( overflow )"


@pytest.mark.parametrize("value", [2**63, "1e30", "9" * 41])
def test_no_number_has_more_than_64_bits(value: object) -> None:
    (misfit,) = decode({"cpus": value}, Template).misfits
    assert misfit.message.startswith("field `cpus` cannot hold ")
    assert len(misfit.message) < 80


@pytest.mark.parametrize("value", ["yes", "true", 0, 1.0, None])
def test_only_true_and_false_are_booleans(value: object) -> None:
    decoded = decode({"plain": value}, Template)
    if value is None:
        assert decoded.value == Template()
    else:
        assert decoded.misfits[0].message == f"field `plain` must be true or false, got {described(value)}"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "sequence was used where mapping is expected"),
        ("words", "string was used where mapping is expected"),
        ({"ssh": [1]}, "sequence was used where mapping is expected"),
        ({"env": 5}, "int was used where mapping is expected"),
        ({"images": "x"}, "string was used where sequence is expected"),
        ({"images": {}}, "mapping was used where sequence is expected"),
        ({"base": {"url": "x"}}, "mapping was used where sequence is expected"),
        ({"portForwards": [{"guestPortRange": 8}]}, "int was used where sequence is expected"),
        (
            {"portForwards": [{"guestPortRange": [1, 2, 3]}]},
            "field `portForwards[0].guestPortRange` must have 2 items, got 3",
        ),
        ({"memory": {"size": 1}}, "field `memory` must be a text, got a mapping"),
        ({"env": {"A": []}}, "field `env.A` must be a text, got a sequence"),
        ({"dns": ["1.1.1"]}, "invalid IP address: 1.1.1"),
        ({"dns": ["010.0.0.1"]}, "invalid IP address: 010.0.0.1"),
        ({"dns": ["fe80::1%eth0"]}, "invalid IP address: fe80::1%eth0"),
    ],
)
def test_wrong_kinds_are_named(data: object, message: str) -> None:
    assert [misfit.message for misfit in decode(data, Template).misfits] == [message]


def test_all_misfits_are_found_at_once() -> None:
    decoded = decode({"cpus": "x", "ssh": {"localPort": "y"}, "plain": 1}, Template)
    assert [path_text(misfit.path) for misfit in decoded.misfits] == ["cpus", "ssh.localPort", "plain"]


def test_short_port_ranges_are_padded() -> None:
    (rule,) = (
        _ok({"portForwards": [{"guestPortRange": [80], "hostPortRange": [None, 2], "hostIP": ""}]}).port_forwards or ()
    )
    assert rule.guest_port_range == (80, 0)
    assert rule.host_port_range == (0, 2)
    assert rule.host_ip is None


def test_shorthands_stand_for_objects() -> None:
    template = _ok(
        {
            "base": "a.yaml",
            "additionalDisks": ["data", {"name": "swap", "fsType": "swap"}, 12],
            "provision": [{"file": "x.sh"}, {"file": {"url": "y.sh", "digest": "sha256:0"}}],
        }
    )
    assert [base.url for base in template.base or ()] == ["a.yaml"]
    assert [disk.name for disk in template.additional_disks or ()] == ["data", "swap", "12"]
    assert [step.file and step.file.url for step in template.provision or ()] == ["x.sh", "y.sh"]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"memmory": 1}, "unknown key `memmory` is ignored; did you mean `memory`?"),
        ({"CPUs": 1}, "unknown key `CPUs` is ignored; did you mean `cpus`?"),
        ({"ssh": {"forwardagent": True}}, "unknown key `ssh.forwardagent` is ignored; did you mean `forwardAgent`?"),
        ({"images": [{"lokation": "x"}]}, "unknown key `images[0].lokation` is ignored; did you mean `location`?"),
        ({"network": []}, "unknown key `network` is ignored; did you mean `networks`?"),
        ({"useHostResolver": 1}, "unknown key `useHostResolver` is ignored; did you mean `hostResolver.enabled`?"),
        ({"x-common": {}}, "unknown key `x-common` is ignored"),
    ],
)
def test_unknown_keys_are_warned_about_with_the_nearest(data: object, sentence: str) -> None:
    assert [str(key) for key in decode(data, Template).unknown] == [sentence]


def test_free_maps_have_no_unknown_keys() -> None:
    assert decode({"env": {"x": 1}, "vmOpts": {"any": {"thing": [1]}}, "osOpts": {"x": None}}, Template).unknown == ()


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("a" * 100, 'the text "' + "a" * 79 + '…"'),
        ("\x1b[0m", 'the text "\\u001b[0m"'),
        ("\udcff", 'the text "?"'),
        (1.5, "the number 1.5"),
        (False, "the boolean false"),
    ],
)
def test_values_in_messages_are_short_and_harmless(data: object, text: str) -> None:
    assert described(data) == text
