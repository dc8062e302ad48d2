"""`limactl list`: every output form, on real instance directories."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lima.application.start_instance import StartOutcome
from lima.domain.errors import CommandError
from lima.entrypoints.cli import lifecycle, listing
from lima.entrypoints.cli.app import run as run_app
from lima.entrypoints.cli.context import CONTEXT
from lima.entrypoints.cli.globals import GlobalOptions
from lima.entrypoints.cli.list_request import ListRequest, parse
from lima.entrypoints.cli.main import limactl
from lima.entrypoints.cli.output import Log

IMAGE = "images:\n- location: /x.raw\n  arch: x86_64\n"
FIELDS = (
    "AdditionalDisks Arch AutoStartedIdentifier CPUs Config Dir Disk DriverPID Errors HostAgentPID Hostname LimaVersion "
    "Memory Message Name Networks Param Protected SSHAddress SSHConfigFile SSHLocalPort Status VMType"
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LIMA_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path.parent))
    web = (
        f"{IMAGE}arch: x86_64\ncpus: 3\nmemory: 1GiB\nparam:\n  K: v\nssh:\n  localPort: 2222\nnetworks:\n- lima: user-v2\n"
        "provision:\n- mode: system\n  script: echo {{.Param.K}}\nmessage: |\n  Log in to {{.Name}} ({{.CPUs}})\n"
    )
    for name, text in (("web", web), ("db", f"{IMAGE}arch: x86_64\ncpus: 1\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "lima.yaml").write_text(text)
    (tmp_path / "web" / "protected").touch()
    (tmp_path / "web" / "lima-version").write_text("2.2.0\n")
    return tmp_path


def _out(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    assert limactl(["list", *words]) == code
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{.Name}}", "db\nweb\n"),
        ("{{.Name}} {{.CPUs}} {{.Memory}}", "db 1 4294967296\nweb 3 1073741824\n"),
        ("{{.Status}}/{{.VMType}}/{{.Arch}}", "Stopped/qemu/x86_64\nStopped/qemu/x86_64\n"),
        ("{{.SSHAddress}}:{{.SSHLocalPort}}", "127.0.0.1:0\n127.0.0.1:2222\n"),
        ("{{.Protected}} {{.LimaVersion}}|", "false |\ntrue 2.2.0|\n"),
        ("{{.Param.K}} {{.Param.Nope}}", "<no value> <no value>\nv <no value>\n"),
        ("[{{- .Name -}}]{{/* c */}}", "[db]\n[web]\n"),
        ("{{.Message}}", "\nLog in to web (3)\n"),
        ("{{.HostAgentPID}}{{.DriverPID}}", "00\n00\n"),
        ("{{.Config.CPUs}} {{.Config.Memory}}", "1 4GiB\n3 1GiB\n"),
        ("{{range .Networks}}{{.Lima}}{{end}}", "\nuser-v2\n"),
        ("{{len .Networks}} {{len .Errors}}", "0 0\n1 0\n"),
        ('{{json .Param}}{{missing "-" .LimaVersion}}', 'null-\n{"K":"v"}2.2.0\n'),
        ('{{if eq .CPUs 3}}three{{end}}{{printf "%-5s|" .Name}}', "db   |\nthreeweb  |\n"),
        ("{{.Instance.Name}}", "db\nweb\n"),
        ("{{yaml .Param}}", "---\n{}\n---\nK: v\n"),
    ],
)
def test_go_templates(home: Path, capsys: pytest.CaptureFixture[str], template: str, expected: str) -> None:
    assert _out(capsys, "--format", template) == expected
    assert _out(capsys, f"--format={template}") == expected


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{.Nope}}", "can't evaluate field Nope"),
        ("{{.name}}", "can't evaluate field name"),
        ("{{.Name", "invalid go template: "),
        ("{{nope .Name}}", "invalid go template: "),
    ],
)
def test_wrong_templates_are_explained(
    home: Path, capsys: pytest.CaptureFixture[str], template: str, words: str
) -> None:
    assert limactl(["list", "-f", template]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert words in shown.err
    assert "--list-fields" in shown.err


def test_json_lines(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [json.loads(line) for line in _out(capsys, "--json").splitlines()]
    assert [line["name"] for line in lines] == ["db", "web"]
    web = lines[1]
    assert list(web)[:10] == [
        "name",
        "hostname",
        "status",
        "dir",
        "vmType",
        "arch",
        "cpus",
        "memory",
        "disk",
        "message",
    ]
    assert list(web)[-4:] == ["HostOS", "HostArch", "LimaHome", "IdentityFile"]
    assert web["message"] == "Log in to web (3)"
    assert web["network"][0]["lima"] == "user-v2"
    assert web["param"] == {"K": "v"}
    assert "message" not in lines[0]
    assert _out(capsys, "--format", "json") == _out(capsys, "--json")


def test_json_is_indented_for_a_person(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = _out(capsys, "--json", "db")
    monkeypatch.setenv("_LIMA_OUTPUT_IS_TTY", "1")
    shown = _out(capsys, "--json", "db")
    assert shown.startswith('{\n    "name": "db",\n    "hostname": "lima-db",\n')
    assert json.loads(shown) == json.loads(plain)


def test_yaml_documents(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = _out(capsys, "--format", "yaml")
    assert shown.startswith("name: db\nhostname: lima-db\nstatus: Stopped\n")
    assert shown.count("\n---\nname: web\n") == 1
    assert re.search(r"^network:\n- lima: user-v2\n  macAddress: ", shown, re.MULTILINE)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--yq", ".name"], "db\nweb\n"),
        (["--yq", ".nosuch"], "null\nnull\n"),
        (["--yq", ".config", "--yq", ".cpus"], "1\n3\n"),
        (["--yq", 'select(.name == "web") | .cpus'], "3\n"),
        (["--yq", "[.name, .cpus]"], '["db",1]\n["web",3]\n'),
        (["--yq", ".", "--quiet"], "db\nweb\n"),
        (["--format", "yaml", "--yq", ".name"], "db\n---\nweb\n"),
        (["--format", "json", "--yq", ".param.K", "web"], "v\n"),
        (["--filter", ".cpus > 1", "-q"], "web\n"),
        (["-l", ".cpus > 0", "-l", '.param.K == "v"', "--format", "{{.Name}}"], "web\n"),
        (["--filter", '.message == "Log in to web (3)\\n"', "--yq", ".name"], "web\n"),
        (["--filter", ".cpus > 9", "--format", "{{.Name}}"], ""),
        (["--filter", ".cpus > 9"], "NAME    STATUS    SSH    VMTYPE    ARCH    CPUS    MEMORY    DISK    DIR\n"),
        (["--list-fields"], FIELDS.replace(" ", "\n") + "\n"),
    ],
)
def test_yq_and_filters(home: Path, capsys: pytest.CaptureFixture[str], words: list[str], expected: str) -> None:
    assert _out(capsys, *words) == expected


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--json", "--format", "json"], "option --json conflicts with option --format"),
        (["--list-fields", "--format", "table"], "option --list-fields conflicts with option --format"),
        (["--list-fields", "--yq", "."], "option --list-fields conflicts with option --yq"),
        (["--list-fields", "-l", "."], "option --list-fields conflicts with option --filter"),
        (["--yq", ".", "--format", "table"], "option --yq only works with --format json or yaml"),
        (["--yq", ".", "--format", "{{.Name}}"], "option --yq only works with --format json or yaml"),
        (["-q", "--json"], "option --quiet can only be used with '--format table'"),
        (["-q", "-f", "yaml"], "option --quiet can only be used with '--format table'"),
        (["--yq", ".["], "yq expression `.[`: "),
        (["--yq", "env(HOME)"], "env operations have been disabled"),
        (["--format"], "flag needs an argument: --format"),
    ],
)
def test_conflicts_and_mistakes(home: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str) -> None:
    assert limactl(["list", *words]) == 1
    shown = capsys.readouterr()
    assert message in shown.err
    assert shown.out == ""


def test_unmatched_names_come_after_the_matches(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert limactl(["list", "nope", "web", "--format", "{{.Name}}"]) == 1
    shown = capsys.readouterr()
    assert shown.out == "web\n"
    assert "No instance matching nope found." in shown.err
    assert "unmatched instances" in shown.err


@pytest.mark.parametrize(("message", "reason"), [("{{.Nope}}", "cannot execute template"), ("{{", "is not a valid")])
def test_a_message_that_cannot_be_rendered_breaks_the_instance(
    home: Path, capsys: pytest.CaptureFixture[str], message: str, reason: str
) -> None:
    (home / "db" / "lima.yaml").write_text(f"{IMAGE}message: '{message}'\n")
    assert limactl(["list", "db", "--json"]) == 0
    shown = capsys.readouterr()
    record = json.loads(shown.out)
    assert record["status"] == "Broken"
    assert reason in record["errors"][0]
    assert "has errors" in shown.err


def test_start_shows_the_rendered_message(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    CONTEXT.set((GlobalOptions(), Log(GlobalOptions())))
    outcome = StartOutcome(name="web", already_running=False, ssh_port=1, message="Log in to {{.Name}}\n", plain=False)
    assert lifecycle.ready(outcome) == 0
    assert capsys.readouterr().err.endswith("\nLog in to web (3)\n")


WORDS = st.lists(
    st.sampled_from((
        "--json", "--quiet", "--all-fields", "--list-fields", "--format=json", "--format={{.Name}}", "web", "db", "nope",
        "--yq=.name", "--yq=.cpus", "--filter=.cpus", "-l=.name", "--debug",
    )),
    max_size=5,
    unique_by=lambda word: word.partition("=")[0] if "format" in word else word,
)  # fmt: skip


@given(WORDS)
def test_the_quick_path_and_the_full_program_read_the_same(words: list[str]) -> None:
    seen: list[tuple[ListRequest, GlobalOptions]] = []

    def remember(request: ListRequest, options: GlobalOptions) -> int:
        seen.append((request, options))
        return 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listing, "run", remember)
        assert limactl(["list", *words]) == run_app(["list", *words]) == 0
    assert seen[0] == seen[1]


def test_what_the_quick_path_does_not_know_is_left_to_the_full_program() -> None:
    assert parse(["--help"]) is None
    assert parse(["--nope"]) is None
    assert parse(["--yq"]) is None
    with pytest.raises(CommandError):
        ListRequest(json=True, given_format="json").check()
