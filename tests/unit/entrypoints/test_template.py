"""`template copy|validate|yq|url`, `validate`, `info`, `yq-restrictions`: what goes to stdout, what to stderr, statuses."""

import io
import json
import sys
from pathlib import Path

import pytest
import yaml

from lima.entrypoints.cli.main import limactl

IMAGES = "images:\n- location: /x.raw\n  arch: x86_64\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LIMA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "home/_config").mkdir(parents=True)
    (tmp_path / "home/_config/base.yaml").write_text("disk: 7GiB\n")
    (tmp_path / "home/_templates").mkdir()
    (tmp_path / "home/_templates/small.yaml").write_text("memory: 1GiB\n")
    (tmp_path / "x.yaml").write_text(
        f"# mine\ncpus: 1  # one\nbase:\n- more.yaml\n- template:small\nprovision:\n- file: run.sh\n{IMAGES}"
    )
    (tmp_path / "more.yaml").write_text("cpus: 3\nplain: true\n")
    (tmp_path / "run.sh").write_text("#!/bin/sh\necho hi\n")
    return tmp_path


def _ran(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> tuple[str, str]:
    assert limactl(list(words)) == code
    shown = capsys.readouterr()
    lines = [line for line in shown.err.splitlines() if "Running as root" not in line]
    return shown.out, "\n".join(lines)


def test_a_verbatim_copy_is_the_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (here / "x.yaml").read_text()
    assert _ran(capsys, "template", "copy", "--verbatim", "x.yaml") == (text, "")
    assert _ran(capsys, "tmpl", "copy", "--verbatim", "./x.yaml", "-") == (text, "")


def test_a_copy_names_its_neighbours_in_full(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, err = _ran(capsys, "template", "copy", "x.yaml")
    assert out == (
        f"# mine\ncpus: 1  # one\nbase:\n- {here}/more.yaml\n- template:small\n"
        f"provision:\n- file: {here}/run.sh\n{IMAGES}"
    )
    assert err == ""


def test_a_copy_to_a_file_prints_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "y.yaml").write_text("a much longer text than what replaces it\n" * 9)
    assert _ran(capsys, "template", "copy", "more.yaml", "y.yaml") == ("", "")
    assert (here / "y.yaml").read_text() == "cpus: 3\nplain: true\n"
    _, err = _ran(capsys, "template", "copy", "more.yaml", "none/y.yaml", code=1)
    assert "cannot write `none/y.yaml`: no such file or directory" in err


def test_embedding_leaves_what_every_installation_has(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = _ran(capsys, "template", "copy", "--embed", "x.yaml")
    value = yaml.safe_load(out)
    assert value["base"] in ("template:small", ["template:small"])
    assert (value["cpus"], value["plain"], value["provision"][0]["script"]) == (1, True, "#!/bin/sh\necho hi\n")
    assert "memory" not in value
    assert "cpus: 1  # one" in out


def test_embedding_all_leaves_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    value = yaml.safe_load(_ran(capsys, "template", "copy", "--embed-all", "x.yaml")[0])
    assert (value["memory"], value["plain"], "base" in value, "disk" in value) == ("1GiB", True, False, False)


def test_filling_takes_the_users_base_and_all_defaults(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = _ran(capsys, "template", "copy", "--fill", "x.yaml")
    value = yaml.safe_load(out)
    assert (value["cpus"], value["memory"], value["disk"], value["vmType"]) == (1, "1GiB", "7GiB", "qemu")
    (here / "filled.yaml").write_text(out)
    (here / "home/_config/base.yaml").unlink()
    assert _ran(capsys, "template", "copy", "--fill", "filled.yaml")[0] == out


def test_only_a_base_is_that_file_comments_and_all(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "only.yaml").write_text("base: b.yaml\n")
    (here / "b.yaml").write_text("# top\n\ncpus: 2  # two\n# end\n")
    assert _ran(capsys, "template", "copy", "--embed-all", "only.yaml")[0] == "# top\n\ncpus: 2  # two\n# end\n"


def test_standard_input(here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"cpus: 4\n")))
    assert _ran(capsys, "template", "copy", "-")[0] == "cpus: 4\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(IMAGES.encode())))
    _, err = _ran(capsys, "validate", "-", code=1)
    assert "can't determine instance name from template locator `-`" in err
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    _, err = _ran(capsys, "template", "copy", "-", code=1)
    assert "don't know how to interpret `-` as a template locator" in err


def test_good_templates_are_told_on_stderr(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (("validate",), ("template", "validate")):
        out, err = _ran(capsys, *words, "x.yaml", "template:default")
        assert out == ""
        assert [line.partition("msg=")[2] for line in err.splitlines()] == [
            '"`x.yaml`: OK"',
            '"`template:default`: OK"',
        ]


def test_the_first_bad_one_ends_it_with_all_its_problems(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "bad.yaml").write_text(f"{IMAGES}memory: x\ndisk: y\ncpu: 1\n")
    out, err = _ran(capsys, "validate", "x.yaml", "bad.yaml", "template:none", code=1)
    assert out == ""
    assert "`x.yaml`: OK" in err
    assert "unknown key `cpu` is ignored; did you mean `cpus`?" in err
    assert "failed to validate YAML file `bad.yaml`: field `memory`" in err
    assert "field `disk`" in err
    assert "template:none" not in err


def test_filled_templates_are_framed_where_there_are_several(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, _ = _ran(capsys, "validate", "--fill", "x.yaml")
    assert yaml.safe_load(one)["disk"] == "7GiB"
    two, _ = _ran(capsys, "validate", "--fill", "x.yaml", "x.yaml")
    assert two == f"---\n{one}...\n" * 2


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (".cpus", "1\n"),
        (".memory, .disk", "1GiB\n7GiB\n"),
        (".images[].location", "/x.raw\n"),
        (".provision[0].script", "#!/bin/sh\necho hi\n\n"),
        (".images", "- location: /x.raw\n  arch: x86_64\n"),
        (".nosuch", "null\n"),
    ],
)
def test_yq_on_a_filled_template(
    here: Path, capsys: pytest.CaptureFixture[str], expression: str, expected: str
) -> None:
    assert _ran(capsys, "template", "yq", "x.yaml", expression) == (expected, "")


def test_yq_may_not_read_files_and_says_where_that_is_written(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, err = _ran(capsys, "template", "yq", "x.yaml", 'load("run.sh")', code=1)
    assert out == ""
    assert "file operations have been disabled" in err
    assert "limactl yq-restrictions" in err
    out, _ = _ran(capsys, "yq-restrictions")
    assert all(word in out for word in ("version 4", "env", "load", "load_str", "system"))


def test_url_prints_what_a_locator_stands_for(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _ran(capsys, "template", "url", "x.yaml") == ("x.yaml\n", "")
    out, err = _ran(capsys, "template", "url", "template://default")
    assert out == "template:default\n"
    assert "should be written `template:default` since Lima v2.0" in err
    out, err = _ran(capsys, "template", "url", "github:", code=1)
    assert "must contain at least an ORG" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["template", "copy", "--verbatim", "--fill", "x.yaml"], "--verbatim cannot be used with any of --embed, "),
        (["template", "copy"], "`limactl template copy` accepts between 1 and 2 arg(s), received 0."),
        (["template", "copy", "a", "b", "c"], "accepts between 1 and 2 arg(s), received 3."),
        (["template", "yq", "x.yaml"], "`limactl template yq` accepts 2 arg(s), received 1."),
        (["template", "url"], "`limactl template url` accepts 1 arg(s), received 0."),
        (["tmpl", "validate"], "`limactl template validate` requires at least 1 arg(s), only received 0."),
        (["validate"], "`limactl validate` requires at least 1 arg(s), only received 0."),
        (["info", "x"], '`limactl info` unknown command \\"x\\" for \\"limactl info\\".'),
        (["template", "copy", "none.yaml"], "/none.yaml: no such file or directory"),
        (["template", "copy", "--nope", "x.yaml"], "unknown flag: --nope"),
    ],
)
def test_mistakes(here: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str) -> None:
    out, err = _ran(capsys, *words, code=1)
    assert out == ""
    assert message in err


@pytest.mark.parametrize("words", [["template"], ["template", "nonsense"], ["tmpl", "--help"]])
def test_a_group_alone_is_its_help(here: Path, capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    out, err = _ran(capsys, *words)
    assert out.startswith("Usage: limactl template COMMAND")
    assert err == ""


def test_info_has_every_key_in_order(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = _ran(capsys, "info")
    assert out.startswith('{\n    "version": "v2.2.0-py')
    value = json.loads(out)
    assert " ".join(list(value)[:14]) == (
        "version templates defaultTemplate limaHome vmTypes vmTypesEx guestAgents shellEnvBlock hostOS hostArch "
        "identityFile plugins libexecPaths sharePaths"
    )
    assert {"name": "small", "location": f"{here}/home/_templates/small.yaml"} in value["templates"]
    assert value["vmTypesEx"]["qemu"] == {"location": "internal"}
    assert value["defaultTemplate"]["vmType"] == "qemu"
    assert "disk" in value["defaultTemplate"]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (".hostOS", "linux\n"),
        (".vmTypesEx", '{\n    "qemu": {\n        "location": "internal"\n    }\n}\n'),
        ('.templates[] | select(.name == "small") | .name', "small\n"),
        (".nosuch", "null\n"),
    ],
)
def test_info_through_yq(here: Path, capsys: pytest.CaptureFixture[str], expression: str, expected: str) -> None:
    assert _ran(capsys, "info", "--yq", expression)[0] == expected
