"""`limactl edit`, and the flags of `create`, `start` and `restart`: records, statuses, and what is then in the files."""

import os
import sys
from pathlib import Path

import pytest

from lima.entrypoints.cli.app import run

CONFIG = """\
# a box
images:
- location: /x.raw   # local
  arch: x86_64

cpus:  2   # two
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LIMA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "home/box").mkdir(parents=True)
    (tmp_path / "home/box/lima.yaml").write_text(CONFIG)
    (tmp_path / "home/box/lima-version").write_text("2.2.0")
    return tmp_path


def said(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    assert captured.out == ""
    return "\n".join(line.partition("level=")[2] for line in captured.err.splitlines() if "as root" not in line)


def config(here: Path) -> str:
    return (here / "home/box/lima.yaml").read_bytes().decode()


@pytest.mark.parametrize(
    ("words", "old", "new"),
    [
        (["--cpus", "4"], "2   #", "4   #"),
        (["--cpus=0x4"], "2   #", "4   #"),
        (["--cpus=7", "--cpus", "5", "--cpus=4"], "2   #", "4   #"),
        (["--cpus", "7", "--video", "--cpus", "4", "--video=false"], "2   # two\n", "4   # two\nvideo:\n  display: none\n"),
        (["--set", ".cpus = 4 | .cpus |= . + 1", "--set=.cpus *= 2"], "2   #", "10   #"),
        (["--memory=2"], "# two\n", "# two\nmemory: 2GiB\n"),
        (["--disk", "100.5"], "# two\n", "# two\ndisk: 100.5GiB\n"),
        (["--ssh-port=60022"], "# two\n", "# two\nssh:\n  localPort: 60022\n"),
        (["--video"], "# two\n", "# two\nvideo:\n  display: default\n"),
        (["--video=false"], "# two\n", "# two\nvideo:\n  display: none\n"),
        (["--mount-none=false"], "# two\n", "# two\nmounts: null\n"),
        (["--shell", "/bin/zsh"], "# two\n", "# two\nuser:\n  shell: /bin/zsh\n"),
        (["--dns", "1.1.1.1,8.8.8.8"], "# two\n",
         "# two\ndns:\n- 1.1.1.1\n- 8.8.8.8\nhostResolver:\n  enabled: false\n"),
        (["--set", '.images[0].location = "/y.raw"'], "/x.raw", "/y.raw"),
    ],
)  # fmt: skip
def test_a_flag_changes_its_lines(
    words: list[str], old: str, new: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["edit", *words, "box"]) == 0
    assert config(here) == CONFIG.replace(old, new)
    assert 'info msg="Instance `box` configuration edited"' in said(capsys)
    assert (here / "home/box/lima.yaml").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--cpus=2"], "Aborting, no changes made to the instance"),
        ([], "Aborting, as requested by saving the file with empty content"),
        (["-y"], "Aborting, as requested by saving the file with empty content"),
    ],
)
def test_nothing_to_do_is_no_failure(
    words: list[str], message: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = os.stat(here / "home/box/lima.yaml").st_mtime_ns
    assert run(["edit", *words, "box"]) == 0
    told = said(capsys)
    assert message in told
    assert ("--yes flag is deprecated" in told) is ("-y" in words)
    assert os.stat(here / "home/box/lima.yaml").st_mtime_ns == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--cpus=four", "box"], 'invalid argument \\"four\\" for \\"--cpus\\" flag: strconv.ParseInt: parsing \\"four\\": inv'),
        (["--cpus=99999999999999999999", "box"], 'strconv.ParseInt: parsing \\"99999999999999999999\\": value out of range'),
        (["--cpus=-1", "box"], "invalid value for number of cpus, must be >= 0"),
        (["--memory", "much", "box"], 'for \\"--memory\\" flag: strconv.ParseFloat: parsing \\"much\\": invalid syntax'),
        (["--disk=1e39", "box"], 'for \\"--disk\\" flag: strconv.ParseFloat: parsing \\"1e39\\": value out of range'),
        (["--disk=nan", "box"], "invalid syntax"),
        (["--ssh-port=70000", "box"], 'strconv.ParseUint: parsing \\"70000\\": value out of range'),
        (["--ssh-port=-1", "box"], 'strconv.ParseUint: parsing \\"-1\\": invalid syntax'),
        (["--dns=none", "box"], 'for \\"--dns\\" flag: invalid string being converted to IP address: none'),
        (["--video=maybe", "box"], 'for \\"--video\\" flag: strconv.ParseBool: parsing \\"maybe\\": invalid syntax'),
        (["--cpus"], "flag needs an argument: --cpus"),
        (["--plain", "box"], "unknown flag: --plain"),
        (["--arch=x86_64", "box"], "unknown flag: --arch"),
        (["--param=A=b", "box"], "error while processing flag `param`: template does not define param `A`"),
        (["--set=.cpus =", "box"], "yq expression `.cpus =`"),
        (["--set=.cpus = env(HOME)", "box"], "env operations have been disabled"),
        (['--set=load("/etc/passwd")', "box"], "file operations have been disabled"),
        (['--set=system("id")', "box"], "disabled"),
        (["--cpus=1", "none"], "instance `none` not found"),
        (["--cpus=1", "./none.yaml"], "none.yaml: no such file or directory"),
        (["box", "more"], "accepts at most 1 arg(s), received 2"),
    ],
)  # fmt: skip
def test_mistakes_change_nothing(
    words: list[str], message: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["edit", *words]) == 1
    told = said(capsys)
    assert message in told
    assert told.count("fatal") == 1
    assert config(here) == CONFIG
    assert not (here / "lima.REJECTED.yaml").exists()


@pytest.mark.parametrize(
    ("command", "words", "message"),
    [
        ("edit", ["--disk=50"], "field `disk`: shrinking the disk (100GiB --> 50GiB) is not supported"),
        ("edit", ["--nested-virt"], "nestedVirtualization: not supported by this version yet"),
        ("edit", ["--network=lima:user-v2"], "networks: not supported by this version yet"),
        ("restart", ["--disk=50"], "field `disk`: shrinking the disk (100GiB --> 50GiB) is not supported"),
        ("start", ["--disk=50"], "field `disk`: shrinking the disk (100GiB --> 50GiB) is not supported"),
        ("start", ["--nested-virt"], "nestedVirtualization: not supported by this version yet"),
    ],
)
def test_a_rejected_result_is_kept_aside(
    command: str, words: list[str], message: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([command, *words, "box"]) == 1
    told = said(capsys)
    assert "the YAML is invalid, saved the buffer as `lima.REJECTED.yaml`: " in told
    assert message in told
    assert config(here) == CONFIG
    assert (here / "lima.REJECTED.yaml").read_text().startswith(CONFIG)


def test_a_rejected_result_that_cannot_be_kept(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "lima.REJECTED.yaml").mkdir()
    assert run(["edit", "--disk=50", "box"]) == 1
    told = said(capsys)
    assert "attempting to save the buffer failed" in told
    assert "shrinking the disk" in told


def test_the_start_of_an_instance_takes_no_flags_that_make_one(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["start", "--arch=aarch64", "--disk=50", "box"]) == 1
    assert "`--arch` is not applicable to an existing instance (Hint: create a new instance with" in said(capsys)
    assert "aarch64" not in (here / "lima.REJECTED.yaml").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--nested-virt"], "nestedVirtualization: not supported by this version yet"),
        (["--network=vzNAT"], "networks: not supported by this version yet"),
        (["--cpus=four"], "ParseInt"),
        (["--containerd=docker"], "expected one of [`user`, `system`, `user+system`, `none`], got `docker`"),
        (["--port-forward=80"], "invalid port forward format `80`, expected HOST:GUEST"),
        (["--image-variant="], "`--image-variant` must not be empty"),
        (["--arch=none"], "arch"),
    ],
)
def test_create_refuses_before_anything_is_made(
    words: list[str], message: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "x.yaml").write_text(CONFIG)
    assert run(["create", "--tty=false", "--name=new", *words, "./x.yaml"]) == 1
    assert message in said(capsys)
    assert not (here / "home/new").exists()
    assert not (here / "lima.REJECTED.yaml").exists()


def test_a_file_is_edited_where_it_is(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = here / "x.yaml"
    file.write_bytes(CONFIG.replace("\n", "\r\n").encode())
    file.chmod(0o600)
    (here / "link.yaml").symlink_to(file)
    assert run(["edit", "--cpus=4", "link.yaml"]) == 0
    assert file.read_bytes().decode() == CONFIG.replace("\n", "\r\n").replace("2   #", "4   #")
    assert (file.stat().st_mode & 0o777, (here / "link.yaml").is_symlink()) == (0o600, True)
    assert run(["edit", "--cpus=4", "link.yaml"]) == 0
    assert "Aborting, no changes made to the instance" in said(capsys)
    assert run(["edit", "--disk=50", "link.yaml"]) == 1
    assert file.read_bytes().decode() == CONFIG.replace("\n", "\r\n").replace("2   #", "4   #")
    assert sorted(os.listdir(here)) == ["home", "lima.REJECTED.yaml", "link.yaml", "x.yaml"]


def test_start_is_not_asked_for_where_nobody_is(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False)
    assert run(["edit", "--cpus=4", "box"]) == 0
    assert config(here) == CONFIG.replace("2   #", "4   #")
