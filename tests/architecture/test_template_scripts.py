"""The shell texts inside templates are clean, by the shell that their first line names."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import builtin

from lima.wiring.factories_templates import read_plain

SHELLS = ("#!/bin/sh", "#!/bin/bash")


def scripts() -> Iterator[tuple[str, str]]:
    """(name of a file, text) of each provisioning script and probe."""
    for name in builtin.PARTS:
        template = read_plain(builtin.text(name))
        for section in ("provision", "probes"):
            for index, step in enumerate(template.get(section, ())):
                if "script" in step:
                    yield f"{name.replace('/', '.')}.{section}.{index}", step["script"]


def test_scripts_of_templates_are_clean(tmp_path: Path) -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed")
    files = []
    for name, script in scripts():
        assert script.partition("\n")[0] in SHELLS, name
        files.append(tmp_path / name)
        files[-1].write_text(script)
    assert len(files) > 30
    # parameters come by the environment: nothing assigns them
    argv = ["shellcheck", "--exclude=SC2154", *files]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
