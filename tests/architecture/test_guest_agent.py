"""The guest agent runs on Python 3.6 and later, and needs nothing but what it carries."""

import ast
import glob
import os
import subprocess
import sys
import zipfile

import pytest

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SOURCES = sorted(glob.glob(os.path.join(REPO, "guest", "agent", "**", "*.py"), recursive=True))
AGENT = os.path.join(REPO, "guest", "lima-guestagent")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: os.path.relpath(path, REPO))
def test_it_parses_under_the_grammar_of_3_6(path: str) -> None:
    with open(path, encoding="utf-8") as file:
        ast.parse(file.read(), path, feature_version=(3, 6))


def test_the_grammar_check_can_fail() -> None:
    with pytest.raises(SyntaxError):
        ast.parse("if (a := 1): pass", feature_version=(3, 6))


def test_it_uses_nothing_that_3_6_lacks() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import vermin; vermin.main()", "--target=3.6-", "--violations", "--no-tips", "--eval-annotations", *SOURCES],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_it_imports_the_standard_library_itself_and_what_it_carries() -> None:
    allowed = set(sys.stdlib_module_names) | {"h2", "hyperframe", "lima_guestagent"}
    for path in SOURCES:
        with open(path, encoding="utf-8") as file:
            for node in ast.walk(ast.parse(file.read())):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom) and not node.level:
                    names = [node.module or ""]
                assert {name.partition(".")[0] for name in names} <= allowed, path


def test_the_built_file_is_of_these_sources_and_holds_both_generations_and_their_licences() -> None:
    with zipfile.ZipFile(AGENT) as archive:
        names = set(archive.namelist())
        for path in SOURCES:
            with open(path, "rb") as file:
                name = os.path.relpath(path, os.path.join(REPO, "guest", "agent"))
                assert archive.read(name) == file.read(), "make guest/lima-guestagent"
    for generation in ("py36", "py39"):
        for package in ("h2", "hpack", "hyperframe"):
            assert f"vendor/{generation}/{package}/__init__.py" in names
            assert any(n.startswith(f"vendor/{generation}/{package}-") and "LICENSE" in n for n in names)
    assert not [name for name in names if name.endswith(".pyc")]
