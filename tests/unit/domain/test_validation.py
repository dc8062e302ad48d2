"""Rules beyond the recorded cases of upstream (tests/unit/adapters/codec/test_upstream_cases.py)."""

from typing import Any

import pytest

from lima.domain.file_rules import digest_problem, local_path_problem
from lima.domain.host_paths import PathKind, PathState
from lima.domain.parameters import unused_parameters
from lima.domain.problem import Problem
from lima.domain.support import unsupported
from lima.domain.template import Template
from lima.domain.validation import validate
from tests.resolving import completed, surroundings, template

GOOD = {"images": [{"location": "/img/t.qcow2"}]}
PLAYBOOK = {"/p": PathState(PathKind.FILE)}


def _filled(data: dict[str, Any]) -> Template:
    return completed(GOOD | data).template


def _messages(data: dict[str, Any]) -> list[str]:
    return [problem.message for problem in validate(_filled(data), surroundings(paths=PLAYBOOK))]


def _refused(data: dict[str, Any]) -> list[str]:
    return [str(problem) for problem in unsupported(_filled(data))]


def test_an_empty_template_breaks_every_rule_that_needs_something() -> None:
    assert [problem.path for problem in validate(Template(), surroundings())] == [
        "vmType",
        "os",
        "arch",
        "user.shell",
        "images",
        "memory",
        "disk",
    ]


def test_a_problem_names_its_field_once() -> None:
    assert str(Problem(path="memory", message="field `memory` is bad")) == "field `memory` is bad"
    assert str(Problem(path="mounts", message="not supported")) == "mounts: not supported"


def test_problems_come_in_the_order_of_the_reference() -> None:
    assert _messages({"memory": "x", "images": [], "audio": {"interface": "foo"}, "ssh": {"localPort": 70000}}) == [
        "field `images` must be set",
        "field `memory` has an invalid value: invalid size: 'x'",
        "field `ssh.localPort` must be < 65536",
        'invalid audio.interface "foo", must be "hda" or "virtio"',
    ]


@pytest.mark.parametrize(
    "location", ["bootstrap:tiny", "bootstrap:debian/trixie", "bootstrap:debian/sid?init=cloud-init"]
)
def test_images_may_be_built(location: str) -> None:
    assert _messages({"images": [{"location": location}]}) == []


@pytest.mark.parametrize(
    "location", ["bootstrap:", "bootstrap:ubuntu/noble", "bootstrap:debian", "bootstrap:debian/../x"]
)
def test_only_known_images_can_be_built(location: str) -> None:
    assert _messages({"images": [{"location": location}]}) == [
        f"field `images[0].location` must be `bootstrap:tiny` or `bootstrap:debian/SUITE`, got `{location}`"
    ]


def test_a_built_image_has_no_digest() -> None:
    assert _messages({"images": [{"location": "bootstrap:tiny", "digest": "sha256:" + "0" * 64}]}) == [
        "field `images[0].digest` must be empty: an image that is built here has none"
    ]


@pytest.mark.parametrize(
    ("digest", "problem"),
    [
        ("sha256:" + "a" * 64, ""),
        ("sha384:" + "a" * 96, ""),
        ("sha512:" + "0" * 128, ""),
        ("sha256:abc", "invalid checksum digest length"),
        ("md5:" + "0" * 32, "unsupported digest algorithm"),
        ("nonsense", "invalid checksum digest format"),
        ("sha256:" + "A" * 64, "invalid checksum digest format"),
        ("sha256:", "invalid checksum digest format"),
        ("sha256:ab!", "invalid checksum digest length"),
        ("md5:a b", "invalid checksum digest format"),
    ],
)
def test_digests(digest: str, problem: str) -> None:
    assert digest_problem(digest) == problem


@pytest.mark.parametrize(
    ("location", "problem"),
    [
        ("/x", ""),
        ("x", ""),
        ("~", ""),
        ("~/x", ""),
        ("https://h/~x", ""),
        ("~://x", ""),
        ("", "empty path"),
        ("~bob/x", "unexpandable path `~bob/x`"),
    ],
)
def test_local_paths(location: str, problem: str) -> None:
    assert local_path_problem(location) == problem


@pytest.mark.parametrize(
    ("step", "messages"),
    [
        ({"script": "x"}, []),
        ({"mode": "ansible", "playbook": "/p"}, []),
        ({"mode": "dependency", "script": "x", "skipDefaultDependencyResolution": True}, []),
        ({"mode": "data", "path": "/x"}, []),
        ({"mode": "data", "path": "x", "permissions": "9"}, ["path", "permissions"]),
        ({"mode": "data"}, ["path"]),
        ({"mode": "data", "path": "/x", "format": "json"}, []),
        ({"mode": "yq", "path": "/x"}, ["expression"]),
        ({"mode": "yq", "path": "/x", "expression": ".a", "format": "json"}, []),
        ({"script": "x", "playbook": "/p"}, ["playbook", "script"]),
        ({"mode": "ansible", "playbook": "/gone"}, ["playbook"]),
        ({"script": "x", "file": {"url": "y", "digest": "z"}}, ["file", "file"]),
        ({"script": "x", "file": {}}, []),
        ({}, ["script"]),
    ],
)
def test_provision_steps(step: dict[str, Any], messages: list[str]) -> None:
    problems = validate(_filled({"provision": [step]}), surroundings(paths=PLAYBOOK))
    assert [problem.path.removeprefix("provision[0].") for problem in problems] == messages


def test_the_windows_rules() -> None:
    windows = {"os": "Windows", "arch": "riscv64", "vmType": "vz", "provision": [{"mode": "boot", "script": "x"}]}
    assert _messages(windows | {"user": {"shell": r"C:\Windows\bash.exe"}}) == [
        "currently Windows guest is only supported on `qemu`; got `vz`",
        "currently Windows guest is only supported on [`x86_64`, `aarch64`]; got `riscv64`",
        (
            "field `user.shell` must be one of [cmd.exe powershell.exe pwsh.exe] for Windows guest,"
            r" got `C:\Windows\bash.exe`"
        ),
        "provision mode `boot` is not supported on Windows VM",
    ]
    assert _messages({"os": "Windows", "user": {"shell": r"C:\x\PWSH.exe"}}) == []


def test_the_sudo_rules() -> None:
    assert _messages({"os": "Darwin", "user": {"passwordlessSudo": True}}) == [
        "`user.passwordlessSudo: true` is not supported on macOS guests"
    ]
    assert _messages({"os": "Darwin"}) == []
    assert _messages({"vmType": "wsl2", "user": {"passwordlessSudo": False}}) == [
        "`user.passwordlessSudo: false` is not supported on WSL2 guest",
        "`user.passwordlessSudo: false` requires `plain: true`",
    ]
    assert _messages({"plain": True, "user": {"passwordlessSudo": False}}) == []


def test_parameters_are_printable_and_well_named() -> None:
    assert _messages({"param": {"1X": "a", "ok": "line\nbreak\ttab", "nl\n": ""}}) == [
        "param `1X` name does not match regex `^[a-zA-Z][a-zA-Z0-9_]*$`",
        "param `ok` value contains unprintable character '\\n'",
        'param "nl\\n" name does not match regex `^[a-zA-Z][a-zA-Z0-9_]*$`',
    ]


def test_parameters_must_be_used_somewhere() -> None:
    whole = template(
        {
            "param": {
                "A": "",
                "B": "",
                "C": "",
                "D": "",
                "E": "",
                "F": "",
                "G": "",
                "internal_netplanOptional": "true",
            },
            "provision": [{"script": "echo $PARAM_A", "content": "{{ .Param.B }}"}],
            "probes": [{"script": "${PARAM_C}"}],
            "copyToHost": [{"guest": "{{.Param.D}}"}],
            "portForwards": [{"hostSocket": "{{.Param.E}}"}],
            "mounts": [{"location": "{{.Param.F}}"}],
            "message": "{{.Param.G}} $PARAM_AB",
        }
    )
    assert [problem.message for problem in unused_parameters(whole)] == [
        "field `param` key `G` is not used in any provision, probe, copyToHost, or portForward"
    ]


def test_a_key_is_no_pattern() -> None:
    whole = template({"param": {"a(": ""}, "provision": [{"script": "x"}]})
    assert len(unused_parameters(whole)) == 1


# --- what this version cannot do -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "path"),
    [
        ({"base": "x.yaml"}, "base"),
        ({"os": "FreeBSD"}, "os"),
        ({"networks": [{"lima": "shared"}]}, "networks"),
        ({"rosetta": {"enabled": True}}, "rosetta.enabled"),
        ({"nestedVirtualization": True}, "nestedVirtualization"),
        ({"tpm": True}, "tpm"),
    ],
)
def test_what_would_make_another_guest_is_refused_never_ignored(data: dict[str, Any], path: str) -> None:
    assert _refused(data) == [f"{path}: not supported by this version yet"]


def test_a_driver_that_is_not_there_yet_is_named_with_the_one_that_is() -> None:
    assert _refused({"vmType": "vz"}) == ["vmType: `vz` is not supported by this version yet; `qemu` is, on every host"]


def test_yq_formats_that_the_engine_lacks_are_refused() -> None:
    step = {"mode": "yq", "path": "/x", "expression": ".", "format": "ini"}
    (refused,) = _refused({"provision": [step]})
    assert refused.startswith("provision[0].format: `ini` is not supported by this version yet")
    assert refused.endswith(" (auto, csv, json, props, toml, tsv, xml, yaml are)")
    for known in ("auto", "json"):
        assert _refused({"provision": [{**step, "format": known}]}) == []


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (
            {"guest": "/x", "host": "/home/jane/../root/y"},
            "`host` must not contain `..`, but is `/home/jane/../root/y`",
        ),
        ({"guest": "/x"}, "needs both `guest` and `host`"),
        ({"host": "/y"}, "needs both `guest` and `host`"),
    ],
)
def test_a_copy_to_the_host_says_where_and_stays_there(item: dict[str, str], message: str) -> None:
    assert _refused({"copyToHost": [item]}) == [f"copyToHost[0]: {message}"]


# --- policies of provision steps -------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["always", "once", "on-change"])
@pytest.mark.parametrize("mode", ["system", "user", "dependency"])
def test_a_step_says_when_it_runs_again(mode: str, policy: str) -> None:
    assert _messages({"provision": [{"mode": mode, "script": "x", "runPolicy": policy}]}) == []


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"script": "x", "runPolicy": "never"}, "must be one of `always`, `once`, or `on-change`; got `never`"),
        ({"mode": "boot", "script": "x", "runPolicy": "once"}, "can only be `always` when mode is `boot`"),
        ({"mode": "ansible", "runPolicy": "on-change"}, "can only be `always` when mode is `ansible`"),
    ],
)
def test_a_policy_that_cannot_be_kept_is_a_problem(step: dict[str, str], message: str) -> None:
    assert _messages({"provision": [step]}) == [f"field `provision[0].runPolicy` {message}"]


@pytest.mark.parametrize(
    "data",
    [
        {},
        {
            "mounts": [],
            "networks": [],
            "portForwards": [{"guestPort": 80}],
            "containerd": {"user": False},
            "tpm": False,
        },
        {"plain": True, "mounts": [{"location": "~"}], "containerd": {"user": True}},
        {"hostResolver": {"enabled": True, "hosts": {}}, "rosetta": {"enabled": False}},
    ],
)
def test_what_is_off_or_empty_is_no_reason_to_refuse(data: dict[str, Any]) -> None:
    assert _refused(data) == []


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (
            {"memory": 4},
            (
                "field `memory` is too little for a guest: 4 bytes; a number without a unit is in bytes,"
                " did you mean `4GiB`?"
            ),
        ),
        ({"disk": "1KiB"}, "field `disk` is too little for a guest: 1024 bytes"),
        ({"cpus": -1}, "field `cpus` must be > 0, got -1"),
        ({"images": [{"location": "/x", "arch": "s390x"}]}, "field `images` has no image for arch `x86_64`"),
        ({"memory": "4Ki"}, None),
    ],
)
def test_what_no_guest_can_boot_with_is_refused_at_creation(data: dict[str, Any], sentence: str | None) -> None:
    assert _refused(data) == ([sentence] if sentence else [])


def test_an_unfilled_template_asks_for_nothing() -> None:
    assert [problem.path for problem in unsupported(Template(memory="1GiB", disk="1GiB"))] == []
