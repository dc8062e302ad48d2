"""The shape of the code, and that what guards it can fail."""

import ast
import os
import shutil
import subprocess
import sys

import msgspec
import pytest

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SOURCE = os.path.join(REPO, "src", "lima")
HEAVY = (
    "msgspec",
    "asyncio",
    "logging",
    "cyclopts",
    "dependency_injector",
    "grpc",
    "dnslib",
    "google",
    "yaml",
    "rich",
    "pathlib",
    "subprocess",
    "socket",
)


def modules() -> list[str]:
    found = []
    for folder, _, files in os.walk(SOURCE):
        found += [os.path.join(folder, file) for file in files if file.endswith(".py")]
    return sorted(found)


def lint_imports(root: str) -> "subprocess.CompletedProcess[str]":
    program = os.path.join(os.path.dirname(sys.executable), "lint-imports")
    return subprocess.run(
        [program, "--config", os.path.join(root, "pyproject.toml"), "--no-cache"],
        cwd=root, env={**os.environ, "PYTHONPATH": os.path.join(root, "src")}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_all_contracts_are_kept() -> None:
    done = lint_imports(REPO)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("domain/sizes.py", "import lima.ports.clock", "Dependencies point inwards"),
        ("application/stop_instance.py", "import os", "The inside performs no I/O"),
        ("application/attend_agent.py", "import grpc.aio", "The inside performs no I/O"),
        ("ports/guest_agent.py", "import google.protobuf.message", "The inside performs no I/O"),
        ("adapters/ssh/keys.py", "import lima.adapters.qemu.qmp", "No adapter knows another"),
        ("entrypoints/cli/globals.py", "import lima.adapters.system.ports", "Only the wiring names adapters"),
    ],
)
def test_each_contract_can_fail(tmp_path, file: str, line: str, contract: str) -> None:
    shutil.copytree(os.path.join(REPO, "src"), tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(os.path.join(REPO, "pyproject.toml"), tmp_path)
    with open(tmp_path / "src" / "lima" / file, "a", encoding="utf-8") as handle:
        handle.write(f"\n{line}\n")
    done = lint_imports(str(tmp_path))
    assert done.returncode != 0
    assert f"{contract} BROKEN" in done.stdout, done.stdout


PURE = {
    "__future__", "collections.abc", "csv", "dataclasses", "decimal", "difflib", "enum", "functools", "hashlib",
    "ipaddress", "itertools", "json", "math", "msgspec", "posixpath", "re", "struct", "typing", "urllib.parse",
}  # fmt: skip


@pytest.mark.parametrize("path", [path for path in modules() if "/domain/" in path], ids=os.path.basename)
def test_the_domain_reaches_for_nothing_of_the_world(path: str) -> None:
    """The contracts list what must not be imported; of the domain it is known what may."""
    for node in ast.walk(ast.parse(open_text(path))):
        imported = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        imported += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert [name for name in imported if name not in PURE and not name.startswith("lima.domain.")] == []
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("open", "print", "input", "exec", "eval", "compile", "__import__")


@pytest.mark.parametrize("path", modules(), ids=lambda path: os.path.relpath(path, SOURCE))
def test_modules_are_short_and_named_after_something(path: str) -> None:
    with open(path, encoding="utf-8") as file:
        lines = file.read().count("\n")
    assert lines <= 450, f"{lines} lines: is there a second idea inside?"
    assert os.path.basename(path) not in ("utils.py", "common.py", "helpers.py", "misc.py")


def test_every_error_is_on_the_map_of_errors() -> None:
    from lima.domain import errors

    classes = [
        name for name, value in vars(errors).items() if isinstance(value, type) and value.__module__ == errors.__name__
    ]
    assert errors.__doc__ is not None
    assert [name for name in classes if name not in errors.__doc__] == []


def test_values_restate_frozen_and_kw_only() -> None:
    """`kw_only` is not inherited at run time, `frozen` is not for the type checker."""
    import lima.domain.boot_facts
    import lima.domain.events
    import lima.domain.template

    def below(cls: type) -> list[type]:
        return [each for sub in cls.__subclasses__() for each in (sub, *below(sub))]

    from lima.domain.model import Model

    assert lima.domain.template.Template in below(Model)
    for model in below(Model):
        config = model.__struct_config__  # type: ignore[attr-defined]
        assert config.frozen, model
        source = ast.parse(open_text(sys.modules[model.__module__].__file__ or ""))
        for node in ast.walk(source):
            if isinstance(node, ast.ClassDef) and node.name == model.__name__:
                assert {keyword.arg for keyword in node.keywords} >= {"frozen", "kw_only"}, model
    assert issubclass(Model, msgspec.Struct)


def open_text(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


@pytest.mark.parametrize(
    "words",
    [
        ("list",),
        ("list", "--json"),
        ("ls", "-q"),
        ("--version",),
        ("list", "--format", "{{.Name}} {{.Status}}"),
        ("list", "--list-fields"),
    ],
    ids=" ".join,
)
def test_the_quick_path_stays_light(tmp_path, words: tuple[str, ...]) -> None:
    """A list of modules is steadier than a stopwatch."""
    program = (
        "import sys; from lima.entrypoints.cli.main import limactl; limactl(sys.argv[1:]);"
        f"sys.stderr.write('HEAVY=' + ','.join(m for m in {HEAVY!r} if m in sys.modules))"
    )
    home = tmp_path / "home"
    (home / "a").mkdir(parents=True)
    (home / "a" / "lima.yaml").write_text("images:\n- location: /x.raw\n  arch: x86_64\n")
    env = {**os.environ, "LIMA_HOME": str(home), "PYTHONPATH": os.path.join(REPO, "src")}
    for _ in range(2):  # the first writes the summary that the second finds
        done = subprocess.run(
            [sys.executable, "-c", program, *words], env=env, capture_output=True, text=True, check=True
        )
    assert done.stderr.rpartition("HEAVY=")[2] == ""


def test_resolving_for_a_list_without_summaries_defines_no_dataclass(tmp_path) -> None:
    """Fifty of them take a third of the time that such a list may take (docs/decisions/0008)."""
    program = (
        "import sys; from lima.entrypoints.cli.main import limactl; limactl(['list']);"
        "unwanted = ('dataclasses', 'shutil', 'subprocess', 'asyncio', 'logging', 'cyclopts', 'dependency_injector');"
        "sys.stderr.write('HEAVY=' + ','.join(m for m in unwanted if m in sys.modules))"
    )
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "lima.yaml").write_text("images:\n- location: /x.raw\n  arch: x86_64\n")
    env = {**os.environ, "LIMA_HOME": str(tmp_path), "PYTHONPATH": os.path.join(REPO, "src")}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
    assert (tmp_path / "_cache" / "summaries.json").exists()
    assert done.stderr.rpartition("HEAVY=")[2] == ""


def test_a_host_agent_loads_what_speaks_to_a_guest_when_there_is_one() -> None:
    program = (
        "import sys, lima.entrypoints.hostagent.main; from lima.wiring.container import Container;"
        "c = Container(); c.supervise(state=None, log=None); sys.exit('grpc' in sys.modules or 'dnslib' in sys.modules)"
    )
    env = {**os.environ, "PYTHONPATH": os.path.join(REPO, "src")}
    assert subprocess.run([sys.executable, "-c", program], env=env, check=False).returncode == 0


def test_a_start_loads_what_edits_and_asks_when_there_is_something_to_edit_or_to_ask() -> None:
    program = (
        "import sys; from lima.wiring.container import Container; c = Container(); c.start_instance(progress=None);"
        "sys.exit('yaqpy' in sys.modules or 'questionary' in sys.modules)"
    )
    env = {**os.environ, "PYTHONPATH": os.path.join(REPO, "src")}
    assert subprocess.run([sys.executable, "-c", program], env=env, check=False).returncode == 0


def test_requirements_in_files_say_what_pyproject_says() -> None:
    import tomllib

    with open(os.path.join(REPO, "pyproject.toml"), "rb") as file:
        project = tomllib.load(file)
    runtime = open_text(os.path.join(REPO, "requirements", "runtime.in")).split()
    development = open_text(os.path.join(REPO, "requirements", "dev.in")).split()
    assert set(project["project"]["dependencies"]) <= set(runtime)
    for group in ("test", "lint"):
        assert set(project["dependency-groups"][group]) <= set(development)


def test_the_probe_kernel_is_what_its_source_says() -> None:
    import base64

    from lima.adapters.qemu.probe_kernel import probe_kernel
    from lima.domain.machine import Arch

    if shutil.which("as") is None or shutil.which("objcopy") is None:
        pytest.skip("no assembler on this host")
    done = subprocess.run(["sh", "scripts/probe-kernel.sh"], cwd=REPO, capture_output=True, check=True)
    assert base64.b64decode(done.stdout) == probe_kernel(Arch.X86_64)


def test_shell_scripts_are_clean() -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed")
    scripts = []
    for folder in ("guest", "scripts", "wrappers"):
        for parent, _, files in os.walk(os.path.join(REPO, folder)):
            for file in set(files) - {"lima-guestagent"}:  # modules behind a few lines of shell
                path = os.path.join(parent, file)
                with open(path, "rb") as handle:
                    if handle.readline().startswith((b"#!/bin/sh", b"#!/bin/busybox sh")):
                        scripts.append(path)
    assert len(scripts) > 10
    done = subprocess.run(["shellcheck", "-s", "sh", *scripts], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
