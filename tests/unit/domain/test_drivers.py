"""A driver's own pass over a filled template. Source: reference, config §4.8."""

from typing import Any

import pytest

from lima.domain.drivers import driver_pass
from lima.domain.host_paths import PathKind, PathState
from lima.domain.machine import Arch, HostOS
from tests.resolving import circumstances, template
from tests.strategies import JANE

FILLED = {"os": "Linux", "arch": "x86_64", "vmType": "qemu"}
MAC = JANE.but(os=HostOS.DARWIN, arch=Arch.AARCH64)
WINDOWS = JANE.but(os=HostOS.WINDOWS)


def _pass(data: dict[str, Any], facts: Any = JANE, **changes: Any) -> Any:
    return driver_pass(template(FILLED | data), circumstances(facts, **changes))


def _sentences(result: Any) -> list[str]:
    return [str(problem) for problem in result.problems]


# --- any driver ------------------------------------------------------------------------------------------------------


def test_a_driver_that_only_a_plugin_knows_changes_nothing() -> None:
    result = _pass({"vmType": "krunkit"})
    assert (result.template, result.problems) == (template(FILLED | {"vmType": "krunkit"}), [])


@pytest.mark.parametrize(("vm_type", "name"), [("vz", "VZ driver"), ("wsl2", "WSL2 driver")])
def test_only_qemu_has_a_tpm_and_windows(vm_type: str, name: str) -> None:
    facts = JANE.but(arch=Arch.X86_64)
    assert _sentences(_pass({"vmType": vm_type, "tpm": True, "os": "Windows"}, facts)) == [
        f"field `tpm` is not supported on {name}",
        "os: currently Windows guest OS is only supported on QEMU",
    ]
    assert _sentences(_pass({"tpm": True, "os": "Windows"})) == []


@pytest.mark.parametrize(
    ("data", "warning"),
    [
        ({"os": "Windows"}, "`os: Windows` is experimental"),
        ({"mountType": "virtiofs"}, "`mountType: virtiofs` on Linux is experimental"),
        ({"arch": "riscv64"}, "`arch: riscv64 ` is experimental"),
        ({"video": {"display": "vnc"}}, "`video.display: vnc` is experimental"),
        ({"audio": {"device": "default"}}, "`audio.device` is experimental"),
        ({"audio": {"interface": "hda"}}, "`audio.interface` is experimental"),
        ({"mountInotify": True}, "`mountInotify` is experimental"),
        ({"user": {"passwordlessSudo": False}}, "`user.passwordlessSudo: false` is experimental"),
    ],
)
def test_what_is_experimental_is_said(data: dict[str, Any], warning: str) -> None:
    assert _pass(data).warnings == [warning]


def test_parameters_still_need_sudo() -> None:
    warnings = _pass({"user": {"passwordlessSudo": False}, "param": {"A": "b"}}).warnings
    assert len(warnings) == 2
    assert "`param` still relies on sudo internally" in warnings[1]
    assert _pass({"os": "Darwin", "user": {"passwordlessSudo": False}}).warnings == []


# --- QEMU ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "version", "unsupported", "mount_type"),
    [
        (JANE, "2.2.0", [], "9p"),
        (JANE, "0.23.2", [], "reverse-sshfs"),
        (JANE, None, [], "reverse-sshfs"),
        (JANE, "2.2.0", ["9p"], "reverse-sshfs"),
        (WINDOWS, "2.2.0", [], "reverse-sshfs"),
    ],
)
def test_the_mount_type_follows_from_host_and_age(
    facts: Any, version: str | None, unsupported: list[str], mount_type: str
) -> None:
    assert _pass({"mountTypesUnsupported": unsupported}, facts, version=version).template.mount_type == mount_type


@pytest.mark.parametrize(
    ("facts", "mount_type", "sentences"),
    [
        (JANE, "virtiofs", []),
        (MAC, "9p", []),
        (MAC, "virtiofs", ["must be `reverse-sshfs` or `9p` for QEMU driver on macOS, got `virtiofs`"]),
        (WINDOWS, "9p", ["must be `reverse-sshfs` for QEMU driver on Windows, got `9p`"]),
        (JANE, "x", ["must be one of [reverse-sshfs 9p virtiofs] for QEMU driver on Linux, got `x`"]),
    ],
)
def test_hosts_differ_in_what_qemu_can_mount(facts: Any, mount_type: str, sentences: list[str]) -> None:
    found = _sentences(_pass({"mountType": mount_type}, facts))
    assert found == [f"field `mountType` {sentence}" for sentence in sentences]


def test_a_mount_type_that_the_template_excludes_is_refused() -> None:
    found = _sentences(_pass({"mountType": "virtiofs", "mountTypesUnsupported": ["virtiofs"]}))
    assert found == ["mountType: mount type `virtiofs` is explicitly unsupported"]


def test_virtiofs_queues_have_a_default() -> None:
    mounts = [{"location": "/a"}, {"location": "/b", "virtiofs": {"queueSize": 5}}]
    filled = _pass({"mountType": "virtiofs", "mounts": mounts}).template
    assert [mount.virtiofs.queue_size for mount in filled.mounts] == [1024, 5]


def test_what_is_mounted_and_missing_is_said() -> None:
    whole = template(FILLED | {"mounts": [{"location": "/gone"}, {"location": "/here"}]})
    paths = {"/here": PathState(PathKind.DIRECTORY)}
    warnings = driver_pass(whole, circumstances(), paths=paths).warnings
    assert len(warnings) == 1
    assert "non-existent directory: `/gone`" in warnings[0]


def test_queue_sizes_mean_something_on_linux_alone() -> None:
    whole = template(FILLED | {"mounts": [{"location": "/a", "virtiofs": {"queueSize": 5}}]})
    paths = {"/a": PathState(PathKind.DIRECTORY)}
    warnings = driver_pass(whole, circumstances(MAC), paths=paths).warnings
    assert warnings == ["field mounts[0].virtiofs.queueSize is only supported on Linux"]
    assert driver_pass(whole, circumstances(), paths=paths).warnings == []


def test_networks_of_vz_are_ignored_aloud() -> None:
    warnings = _pass({"networks": [{"lima": "shared"}, {"vzNAT": True}]}).warnings
    assert warnings == ["vmType qemu: ignoring networks[1]: [VZNAT]"]


def test_the_older_place_of_cpu_types_moves_and_the_newer_wins() -> None:
    older = {"x86_64": "max", "aarch64": "", "riscv64": "rv64"}
    result = _pass({"cpuType": older, "vmOpts": {"qemu": {"cpuType": {"x86_64": "host"}}}})
    assert result.template.cpu_type is None
    assert result.template.vm_opts == {"qemu": {"cpuType": {"x86_64": "host", "riscv64": "rv64"}}}
    assert [warning.partition(" ")[0] for warning in result.warnings] == ["The", "Conflicting"]
    assert _pass({"cpuType": {"x86_64": ""}}).warnings == []


def test_the_drivers_own_section_is_checked_key_by_key() -> None:
    result = _pass({"vmOpts": {"qemu": {"minimumVersion": "eight", "acelerator": "kvm"}}})
    assert len(result.problems) == 1
    assert "must be a semvar value, got `eight`" in result.problems[0].message
    assert result.warnings == [
        "vmOpts.qemu: unknown key `acelerator` is ignored; did you mean `accelerator`?",
    ]
    misfit = _pass({"vmOpts": {"qemu": {"cpuType": []}}})
    assert _sentences(misfit) == [
        "failed to unmarshal YAML (vmOpts.qemu): sequence was used where mapping is expected",
    ]
    assert [problem.path for problem in misfit.problems] == ["vmOpts.qemu.cpuType"]


# --- VZ and WSL2 -----------------------------------------------------------------------------------------------------


def test_vz_fills_its_own_section_and_drops_what_nobody_knows() -> None:
    result = _pass({"vmType": "vz", "arch": "aarch64", "vmOpts": {"vz": {"future": 1}}}, MAC)
    assert result.problems == []
    assert result.template.mount_type == "virtiofs"
    assert result.template.ssh.over_vsock is True
    assert result.template.vm_opts == {"vz": {"rosetta": {"enabled": False, "binfmt": False}, "diskImageFormat": "raw"}}


def test_vz_takes_rosetta_from_its_older_place_where_the_newer_says_nothing() -> None:
    older = {"vmType": "vz", "arch": "aarch64", "rosetta": {"enabled": True}}
    assert _pass(older, MAC).template.vm_opts["vz"]["rosetta"] == {"enabled": True, "binfmt": False}
    newer = older | {"vmOpts": {"vz": {"rosetta": {"binfmt": True}}}}
    assert _pass(newer, MAC).template.vm_opts["vz"]["rosetta"] == {"enabled": False, "binfmt": True}


def test_what_vz_cannot_do_is_refused_all_at_once() -> None:
    firmware = {"images": [{"location": "/f", "arch": "x86_64"}]}
    result = _pass(
        {"vmType": "vz", "mountType": "9p", "firmware": firmware, "vmOpts": {"vz": {"diskImageFormat": "qcow2"}}}, MAC
    )
    assert _sentences(result) == [
        "unsupported arch: `x86_64`",
        "field `mountType` must be `reverse-sshfs` or `virtiofs` for VZ driver , got `9p`",
        "`firmware.images` configuration is not supported for VZ driver",
        "field `vmOpts.vz.diskImageFormat` must be `raw` or `asif`, got `qcow2`",
    ]


def test_a_section_that_is_none_is_a_problem_not_an_accident() -> None:
    result = _pass({"vmType": "vz", "arch": "aarch64", "vmOpts": {"vz": "x"}}, MAC)
    assert _sentences(result) == ["failed to unmarshal YAML (vmOpts.vz): string was used where mapping is expected"]


def test_wsl2_wants_root_file_systems_of_the_hosts_arch() -> None:
    images = [{"location": "/r.tar.gz", "arch": "x86_64"}, {"location": "/other.img", "arch": "aarch64"}]
    good = _pass({"vmType": "wsl2", "images": images}, WINDOWS)
    assert (good.problems, good.template.mount_type) == ([], "wsl2")
    bad = [{"location": "/d.qcow2", "arch": "aarch64"}, {"location": "/notes.txt", "arch": "aarch64"}]
    result = _pass({"vmType": "wsl2", "arch": "aarch64", "mountType": "9p", "images": bad}, WINDOWS)
    assert [problem.path for problem in result.problems] == [
        "arch", "mountType", "images[0].location", "images[1].location",
    ]  # fmt: skip
    assert "It is a VM disk image" in result.problems[2].message
    assert "It is not a tar archive" in result.problems[3].message
