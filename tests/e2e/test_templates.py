"""An instance of each way to name a template, with default.yaml and override.yaml in place: it boots with what
`template copy --fill` says."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lima.wiring import factories_templates as factories
from tests.e2e.conftest import COLD_S, REPO, Home
from tests.e2e.webs import file_server, github

pytestmark = [pytest.mark.guest, pytest.mark.needs_qemu]

TOP = """\
# the template of these tests
base: parts/common.yaml
param:
  greeting: hello   # replaced by nobody
env:
  WHERE: template
user:
  home: "/home/{{.Name}}.{{.Param.greeting}}"
provision:
- mode: system
  file: scripts/mark.sh
"""
COMMON = """\
base: template:tiny
memory: 192MiB
env:
  WHERE: base
  PART: common
"""
MARK = "#!/bin/sh\necho marked ${PARAM_greeting:-} >/run/mark\n"
DEFAULT = "memory: 900MiB\nenv:\n  WHERE: default\n  DEFAULTED: by default.yaml\n"
OVERRIDE = "cpus: 2\nenv:\n  OVERRIDDEN: by override.yaml\n"
URL_PLUGIN = '#!/bin/sh\n[ "$1" = way ] || exit 1\nprintf \'%s\\n\' "$TESTS_FOLDER/way.yaml"\n'


@dataclass(frozen=True)
class World:
    """Where everything is that templates can be named by."""

    home: Home
    folder: str
    environment: dict[str, str]
    web: str


@dataclass(frozen=True)
class Way:
    locator: str
    environment: dict[str, str] = field(default_factory=dict)
    stdin: str = ""


WAYS = {
    "own-template": Way("template:way"),
    "old-scheme": Way("template://way"),
    "search-path": Way("template:deep/way", {"LIMA_TEMPLATES_PATH": "{folder}/elsewhere:{templates}"}),
    "relative-path": Way("./way.yaml"),
    "absolute-path": Way("{folder}/way.yaml"),
    "file-url": Way("file://{folder}/way.yaml"),
    "standard-input": Way("-", stdin=TOP.replace("parts/", "{folder}/parts/").replace("scripts/", "{folder}/scripts/")),
    "web": Way("{web}/way.yaml"),
    "github-file": Way("github:jane/box/templates/way"),
    "github-branch": Way("github:jane/box/templates/way.yaml@trunk"),
    "github-redirect": Way("github:jane"),
    "plugin": Way("demo:way"),
}


@pytest.fixture(scope="module")
def world(shared_home: Home) -> Iterator[World]:
    home = shared_home
    folder = os.path.join(home.path, "_files")
    _write(folder, "way.yaml", TOP)
    _write(folder, "parts/common.yaml", COMMON)
    _write(folder, "scripts/mark.sh", MARK)
    _write(folder, "bin/limactl-url-demo", URL_PLUGIN, mode=0o755)
    for copy in ("elsewhere/deep", "box/templates"):
        for file in ("way.yaml", "parts/common.yaml", "scripts/mark.sh"):
            _write(folder, f"{copy}/{file}", Path(folder, file).read_text())
    _write(folder, "box/.lima.yaml", "templates/way.yaml")  # what a symbolic link looks like there
    _write(folder, "jane/.lima.yaml", "github:jane/box\n")
    shutil.copytree(os.path.join(folder, "elsewhere/deep"), os.path.join(home.path, "_templates"))
    _write(home.path, "_config/default.yaml", DEFAULT)
    _write(home.path, "_config/override.yaml", OVERRIDE)
    repositories = {"jane/box": ("trunk", f"{folder}/box"), "jane/jane": ("main", f"{folder}/jane")}
    with contextlib.ExitStack() as stack:
        web = stack.enter_context(file_server(folder))
        hub = stack.enter_context(github(repositories, folder))
        plugins = {"PATH": f"{folder}/bin:{os.environ['PATH']}", "TESTS_FOLDER": folder}
        yield World(home, folder, hub | plugins, web)


def _write(folder: str, name: str, text: str, mode: int = 0o644) -> None:
    path = os.path.join(folder, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, mode)


@pytest.mark.parametrize("name", WAYS)
def test_it_boots_with_what_the_filled_copy_says(world: World, name: str) -> None:
    home, way = world.home, WAYS[name]
    places = {"folder": world.folder, "web": world.web, "templates": os.path.join(REPO, "templates")}
    environment = world.environment | {key: value.format(**places) for key, value in way.environment.items()}
    stdin = way.stdin.replace("{folder}", world.folder).encode()
    locator = way.locator.format(**places)
    call: dict[str, Any] = {"env": environment, "stdin": stdin, "cwd": world.folder, "timeout": COLD_S}
    filled = factories.read_plain(home.ok("template", "copy", "--fill", locator, "-", **call).out)
    home.ok("create", "--tty=false", f"--name={name}", locator, **call)
    assert not {"base", "file"} & set(factories.read_plain(home.read(name, "lima.yaml"))), "bases are embedded"
    try:
        home.ok("start", name, timeout=COLD_S)
        _the_guest_has(home, name, filled)
    finally:
        home.ok("delete", "-f", name)


def _the_guest_has(home: Home, name: str, filled: dict[str, Any]) -> None:
    assert filled["env"] == {
        "WHERE": "template",
        "PART": "common",
        "DEFAULTED": "by default.yaml",
        "OVERRIDDEN": "by override.yaml",
    }
    assert (filled["cpus"], filled["memory"]) == (2, "192MiB")
    assert filled["images"] == [{"location": "bootstrap:tiny", "arch": filled["arch"]}]
    assert filled["user"]["home"].endswith(".hello")
    # a template has no instance's name yet; all else must be the same
    expected = filled | {"user": filled["user"] | {"home": f"/home/{name}.hello"}}
    assert _without_empty(home.record(name)["config"]) == _without_empty(expected)

    def guest(command: str) -> str:
        return home.ok("shell", name, "sudo", "sh", "-c", command).out.strip()

    assert guest("nproc") == str(filled["cpus"])
    assert 100_000 < int(guest("awk '/MemTotal/ {print $2}' /proc/meminfo")) <= 192 * 1024
    assert guest("hostname") == f"lima-{name}"
    assert guest("cat /run/mark").startswith("marked")
    assert guest("cat /mnt/lima-cidata/provision.system/00000000") + "\n" == filled["provision"][0]["script"]
    assert guest("cat /mnt/lima-cidata/param.env") == "PARAM_greeting=hello"
    assert home.ok("shell", name, "sh", "-c", "echo $HOME").out.strip() == expected["user"]["home"]
    environment = guest("cat /mnt/lima-cidata/etc_environment").splitlines()[1:-1]
    assert set(environment) >= {f"{key}={value}" for key, value in filled["env"].items()}


def _without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: item for key, inner in value.items() if (item := _without_empty(inner)) not in ({}, [], None, "")}
    return [_without_empty(item) for item in value] if isinstance(value, list) else value
