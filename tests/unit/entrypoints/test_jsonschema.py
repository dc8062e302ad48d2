"""`limactl generate-jsonschema`."""

import json
from pathlib import Path

import pytest

from lima.domain.json_schema import template_schema
from lima.entrypoints.cli.app import run


def test_it_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["generate-jsonschema"]) == 0
    assert json.loads(capsys.readouterr().out) == template_schema()


def test_files_are_validated_against_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.yaml").write_text("base: template:default\ncpus: 1\n")
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    (tmp_path / "bad.yaml").write_text("cpus: x\n")
    assert run(["generate-jsonschema", "good.yaml"]) == 1
    assert "need --schemafile to validate" in capsys.readouterr().err
    assert run(["generate-jsonschema", "--schemafile", "s.json", "good.yaml", "empty.yaml"]) == 0
    told = capsys.readouterr()
    assert ("`good.yaml`: OK" in told.err, "`empty.yaml`: OK" in told.err, told.out) == (True, True, "")
    assert json.loads((tmp_path / "s.json").read_text()) == template_schema()
    assert run(["generate-jsonschema", "--schemafile=s.json", "bad.yaml"]) == 1
    assert "cpus: must be of type integer or null" in capsys.readouterr().err
    for words in (["--schemafile=s.json", "none.yaml"], ["--schemafile=none/s.json", "good.yaml"]):
        assert run(["generate-jsonschema", *words]) == 1
        assert "no such file or directory" in capsys.readouterr().err
