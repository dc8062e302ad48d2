"""The templates that come with the program: all of upstream's names, for each architecture that they name, and what
docs/templates.md says of them."""

import json
import re
from pathlib import Path

import pytest

from lima.domain.machine import Arch
from lima.entrypoints.cli.main import limactl
from tests import builtin

CASES = [(name, arch) for name in builtin.NAMES for arch in builtin.architectures(name)]
OF_DEBIAN = [
    name
    for name in builtin.NAMES
    if any("debian" in image["location"].lower() for image in builtin.content(name)["images"])
]
REPO = Path(__file__).parents[2]
ROW = re.compile(r"\| (`[^|]+) \| [^|]+ \| (guest|part|no|refused) \| ([^|]*) ?\|")
ROWS = {
    name: (row[2], row[3])
    for row in map(ROW.fullmatch, (REPO / "docs/templates.md").read_text(encoding="utf-8").splitlines())
    if row
    for name in re.findall(r"`([^`]+)`", row[1])
}
"""What the documentation says of each: how far it was run, and where."""
EXPECTED_WARNINGS = re.compile(r"is experimental$|^`param` still relies on sudo")


def test_every_name_of_upstream_is_there() -> None:
    assert set(builtin.UPSTREAM) <= set(builtin.NAMES)


@pytest.mark.parametrize(("name", "arch"), CASES)
def test_it_is_right_for_each_architecture_that_it_names(name: str, arch: str) -> None:
    examined = builtin.examined(name, arch)
    assert examined.problems == ()
    assert [warning for warning in examined.warnings if not EXPECTED_WARNINGS.search(warning)] == []
    assert examined.resolution.config is not None
    images = examined.resolution.config.images
    assert images, "an image for this architecture"
    assert {str(image.arch) for image in images} == {arch}


@pytest.mark.parametrize("name", builtin.PARTS)
def test_its_first_lines_say_what_it_is_for_and_how_it_is_used(name: str) -> None:
    lines = builtin.text(name).splitlines()
    head = lines[: next(index for index, line in enumerate(lines) if not line.startswith("#"))]
    assert re.fullmatch(r"# [A-Za-z].*[.:,a-z]", head[0])
    use = f"`base: template:{name}`" if name.startswith("_") else f"#     limactl start template:{name}"
    assert any(use in line for line in head) or name == "default"
    assert all(len(line) <= 130 for line in lines if "location:" not in line and "digest:" not in line)


@pytest.mark.parametrize("name", builtin.NAMES)
def test_host_directories_are_those_of_one_part(name: str) -> None:
    shared = builtin.content("_default/mounts")["mounts"]
    assert builtin.content(name).get("mounts", []) in ([], shared)


def test_the_sandbox_shares_nothing_whatever_is_usual() -> None:
    usual = "mounts: [{location: /srv}]\nportForwards: [{guestPort: 80, hostPort: 8080}]\nssh: {forwardAgent: true}\n"
    resolution = builtin.examined("sandbox", default=usual).resolution
    assert resolution.config is not None
    template, config = resolution.template, resolution.config
    assert not template.mounts
    assert not config.port_forwards
    assert (config.plain, config.port_forward_defaults, config.propagate_proxy_env) == (True, False, False)
    assert (config.user.name, config.user.passwordless_sudo) == ("sandbox", False)
    assert template.ssh is not None
    assert (template.ssh.forward_agent, template.ssh.forward_x11, template.ssh.load_dot_ssh_pub_keys) == (False,) * 3


def test_the_default_template_has_an_image_for_every_architecture() -> None:
    assert set(builtin.architectures("default")) == set(Arch)


@pytest.mark.parametrize(("name", "arch"), [(name, arch) for name, arch in CASES if name in OF_DEBIAN])
def test_a_guest_of_debian_needs_nothing_but_a_package_mirror(name: str, arch: str) -> None:
    config = builtin.examined(name, arch).resolution.for_creation()
    assert config.images[-1].disk.location.startswith("bootstrap:debian/")


@pytest.mark.parametrize("name", [name for name in builtin.PARTS if name.startswith("_images/")])
def test_the_pinned_image_comes_first_and_what_is_newest_has_no_digest(name: str) -> None:
    seen: set[tuple[str, ...]] = set()
    for image in builtin.content(name)["images"]:
        kind = tuple(image.get(key, "") for key in ("arch", "variant", "archVariant"))
        if "digest" in image:
            assert kind not in seen, f"{image['location']} is behind one without a digest"
            assert re.fullmatch(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}", image["digest"])
        seen.add(kind)


def test_the_documentation_has_a_row_for_each() -> None:
    assert set(ROWS) == set(builtin.NAMES)


@pytest.mark.parametrize("name", builtin.NAMES)
def test_the_documentation_says_which_are_refused(name: str) -> None:
    refused = builtin.examined(name, builtin.architectures(name)[0]).resolution.unsupported
    assert bool(refused) == (ROWS[name][0] == "refused")


@pytest.mark.parametrize("name", [name for name, (_, where) in ROWS.items() if "test_" in where])
def test_the_test_that_the_documentation_names_starts_it(name: str) -> None:
    files = re.findall(r"test_\w+\.py", ROWS[name][1])
    assert any(re.search(rf"\b{name}\b", (REPO / "tests/e2e" / file).read_text(encoding="utf-8")) for file in files)


@pytest.fixture
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMA_HOME", str(tmp_path))
    monkeypatch.delenv("LIMA_TEMPLATES_PATH", raising=False)


@pytest.mark.parametrize("command", ["create", "start"])
@pytest.mark.usefixtures("at_home")
def test_the_list_of_templates_has_all_but_the_parts(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert limactl([command, "--list-templates"]) == 0
    assert capsys.readouterr().out.splitlines() == sorted(builtin.NAMES)


@pytest.mark.usefixtures("at_home")
def test_info_has_the_parts_too_and_the_default_with_its_bases(capsys: pytest.CaptureFixture[str]) -> None:
    assert limactl(["info"]) == 0
    info = json.loads(capsys.readouterr().out)
    assert [template["name"] for template in info["templates"]] == sorted(builtin.PARTS)
    assert [image["location"] for image in info["defaultTemplate"]["images"]] == [
        image["location"] for image in builtin.content("default")["images"]
    ]


@pytest.mark.usefixtures("at_home")
def test_the_program_finds_all_of_them_right(capsys: pytest.CaptureFixture[str]) -> None:
    # that one asks a program that is not here
    names = [name for name in builtin.NAMES if name != "experimental/fedora-rawhide"]
    assert limactl(["validate", *(f"template:{name}" for name in names)]) == 0
    assert capsys.readouterr().err.count(": OK") == len(names)
