"""The command line itself: help, mistakes, global flags, durations."""

import importlib
import json

import pytest

from lima.domain.errors import CommandError, LaunchFailedError
from lima.entrypoints.cli.app import run
from lima.entrypoints.cli.commands import COMMANDS
from lima.entrypoints.cli.durations import parse_duration
from lima.entrypoints.cli.globals import GlobalOptions, take_globals
from lima.entrypoints.cli.output import Log, go_quote
from lima.entrypoints.cli.shell import parse


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there_and_helps_with_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for command in COMMANDS[name].commands.values() or (COMMANDS[name],):
        module, _, function = command.target.partition(":")
        assert callable(getattr(importlib.import_module(module), function))
    assert run([name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"Usage: limactl {name}" in shown
    assert ("Examples:" in shown) is bool(COMMANDS[name].examples)


def test_the_overview_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    shown = capsys.readouterr().out
    commands = shown.partition("Commands:\n")[2].partition("\n\n")[0]
    named = {line.split()[0] for line in commands.splitlines() if line[2] != " "} - {"--help,"}
    assert named == {name for name, command in COMMANDS.items() if command.is_shown}
    assert "Examples:" in shown


PAGE = """\
Usage: limactl provision-report [INSTANCE] [flags]

Show how the last boot of an instance went, script by script

Arguments:
  INSTANCE  Name of the instance. [default: default]

Parameters:
  --json  As one JSON object, the content of `provision-report.json` in the
          instance's directory.


Examples:
  limactl provision-report                    of the instance "default"
  limactl provision-report box                also when it is stopped
  limactl provision-report --json box | jq .steps
"""


def test_a_page_of_help(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run(["provision-report", "--help"]) == 0
    assert capsys.readouterr().out == PAGE


@pytest.mark.parametrize("width", [60, 80, 200])
@pytest.mark.parametrize("name", ["", *(name for name in COMMANDS if name != "yq")])  # whose help is its own
def test_no_line_of_help_is_wider_than_the_screen_but_examples(
    name: str, width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    for command in COMMANDS[name].commands if name else ():
        assert run([name, command, "--help"]) == 0
    assert run([word for word in (name, "--help") if word]) == 0
    pages = capsys.readouterr().out.split("Usage: ")[1:]
    for page in pages:
        lines = page.partition("\nExamples:\n")[0].splitlines()
        assert [line for line in lines[1:] if len(line) > width] == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["start", "--nope"], "unknown flag: --nope"),
        (["stop", "-z"], "unknown shorthand flag: 'z' in -z"),
        (["start", "--timeout"], "flag needs an argument: --timeout"),
        (["start", "--timeout", "5"], 'time: missing unit in duration \\"5\\"'),
        (["nonsense"], 'unknown command \\"nonsense\\" for \\"limactl\\"'),
        (["ssh"], "Did you mean this?\\n\\tshell"),
        (["delete"], "requires at least 1 arg(s), only received 0"),
        (["start", "--cpus", "four"], 'invalid argument \\"four\\" for \\"--cpus\\" flag: strconv.ParseInt: parsing'),
        (["stop", "--cpus", "4"], "unknown flag: --cpus"),
        (["list", "--json", "--format", "{{.Name}}"], "option --json conflicts with option --format"),
        (["--log-format", "xml", "list"], "unsupported log-format: `xml`"),
        (["--log-level", "loud", "list"], 'not a valid logrus Level: \\"loud\\"'),
        (["--tty", "create", "--name=x", "-"], "cannot use --tty=true when reading template from stdin"),
        (["--tty", "-y", "list"], "cannot use both --tty and --yes flags at the same time"),
    ],
)
def test_mistakes_are_one_fatal_record_and_exit_one(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words) == 1
    captured = capsys.readouterr()
    fatal = [line for line in captured.err.splitlines() if "level=fatal" in line]
    assert len(fatal) == 1
    assert message in fatal[0]
    assert captured.out == ""


def test_global_flags_may_stand_anywhere_before_a_double_dash() -> None:
    options, rest = take_globals(["start", "--debug", "--log-level=error", "x", "--", "--tty"])
    assert (options.debug, options.level, options.tty) == (True, 4, None)
    assert rest == ["start", "x", "--", "--tty"]
    assert take_globals(["-y"])[0].tty is False
    with pytest.raises(CommandError, match="ParseBool"):
        take_globals(["--tty=maybe"])


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10m", 600), ("1h30m", 5400), ("90s", 90), ("500ms", 0.5), ("-1s", -1), ("0", 0), (".5m", 30)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text, flag="--timeout") == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "m", "10", "10x", "1m2", "ten"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(CommandError, match='for "--timeout" flag: time:'):
        parse_duration(text, flag="--timeout")


def test_shell_flags_stop_at_the_instance() -> None:
    parsed = parse(["--workdir", "/tmp", "--start", "box", "--", "-x", "--shell", "y"])
    assert (parsed.instance, parsed.workdir, parsed.start) == ("box", "/tmp", True)
    assert parsed.command == ("-x", "--shell", "y")
    assert parse(["--instance", "box", "ls", "--help"]).command == ("ls", "--help")
    assert parse(["box", "ls", "--", "a"]).command == ("ls", "--", "a")
    with pytest.raises(CommandError, match="requires instance name"):
        parse(["--shell", "/bin/sh"])
    with pytest.raises(CommandError, match="unknown flag: --nope"):
        parse(["--nope", "box"])


def test_records_in_json_and_text(capsys: pytest.CaptureFixture[str]) -> None:
    Log(GlobalOptions(log_format="json")).record("warning", "a <b> & c", key="v")
    record = json.loads(capsys.readouterr().err)
    assert (record["level"], record["msg"], record["key"]) == ("warning", "a <b> & c", "v")
    Log(GlobalOptions()).record("info", 'say "hi"\n', b="two words", a="one")
    line = capsys.readouterr().err
    assert line.startswith('time="')
    assert 'level=info msg="say \\"hi\\"\\n" a=one b="two words"' in line
    Log(GlobalOptions(level=4)).record("info", "not shown")
    assert capsys.readouterr().err == ""
    assert go_quote("\x1b") == '"\\x1b"'


def test_an_error_shows_the_last_lines_of_what_failed(capsys: pytest.CaptureFixture[str]) -> None:
    error = LaunchFailedError("it ended", log_tail=("one", "two"), hint="look there")
    assert Log(GlobalOptions()).fatal(error) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == ["  | one", "  | two"]
    assert 'msg="it ended" hint="look there"' in lines[2]
