"""`limactl disk` as scripts see it: stdout, stderr and exit codes. Source: reference, cli §11.1."""

import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable

import pytest

SRC = str(pathlib.Path(__file__).parents[2] / "src")
Run = Callable[..., "subprocess.CompletedProcess[str]"]

pytestmark = pytest.mark.needs_qemu


@pytest.fixture
def home(tmp_path: pathlib.Path) -> str:
    return str(tmp_path / "home")


@pytest.fixture
def disk(home: str) -> Run:
    def run(*words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "lima", "disk", *words],
            env={**os.environ, "PYTHONPATH": SRC, "LIMA_HOME": home},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def messages(done: "subprocess.CompletedProcess[str]") -> list[str]:
    lines = [line for line in done.stderr.splitlines() if "Running as root" not in line]
    return [line.partition(" ")[2] for line in lines]


def test_create_list_resize_delete(disk: Run, home: str) -> None:
    created = disk("create", "data", "--size", "10GiB")
    assert (created.returncode, created.stdout) == (0, "")
    assert messages(created) == ['level=info msg="Creating qcow2 disk `data` with size 10GiB"']
    assert disk("create", "r", "--size=1000", "--format=raw").returncode == 0

    folder = f"{home}/_disks"
    rows = (
        ("NAME", "SIZE", "FORMAT", "DIR", "IN-USE-BY"),
        ("data", "10GiB", "qcow2", f"{folder}/data", ""),
        ("r", "1KiB", "raw", f"{folder}/r", ""),
    )
    widths = (8, 9, 10, len(f"{folder}/data") + 4, 0)
    expected = ("".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    assert disk("ls").stdout == "".join(f"{line}\n" for line in expected)
    (line,) = disk("list", "--json", "data").stdout.splitlines()
    assert json.loads(line) == {
        "name": "data", "size": 10 << 30, "format": "qcow2", "dir": f"{folder}/data", "instance": "",
        "instanceDir": "", "mountPoint": "/mnt/lima-data",
    }  # fmt: skip

    assert messages(disk("resize", "data", "--size=20GiB")) == [
        f'level=info msg="Resized disk `data` (`{folder}/data`)"'
    ]
    assert json.loads(disk("list", "--json", "data").stdout)["size"] == 20 << 30
    for command in ("rm", "remove", "delete"):
        done = disk(command, "data" if command == "rm" else "r" if command == "remove" else "none")
        assert done.returncode == 0
    assert os.listdir(folder) == []


def test_import_is_a_copy_and_a_failed_one_is_an_error(disk: Run, home: str, tmp_path: pathlib.Path) -> None:
    image, overlay = str(tmp_path / "image.qcow2"), str(tmp_path / "overlay.qcow2")
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", image, "1G"], check=True)
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", image, overlay], check=True)
    done = disk("import", "data", image)
    assert (done.returncode, done.stdout) == (0, "")
    assert messages(done)[-1] == 'level=info msg="Imported data with size 1GiB"'
    assert pathlib.Path(home, "_disks", "data", "datadisk").read_bytes() == pathlib.Path(image).read_bytes()

    for file, why in (
        (overlay, "the image has a backing file"),
        (str(tmp_path), "Is a directory"),
        ("/nosuch", "No such file"),
    ):
        failed = disk("import", "other", file)
        assert failed.returncode == 1
        assert why in failed.stderr
    assert os.listdir(f"{home}/_disks") == ["data"]


def test_nothing_to_show(disk: Run) -> None:
    empty = disk("list")
    assert (empty.returncode, empty.stdout) == (0, "NAME    SIZE    FORMAT    DIR    IN-USE-BY\n")
    assert "No disk found. Run `limactl disk create DISK --size SIZE` to create a disk." in empty.stderr
    assert disk("list", "--json").stdout == ""
    unknown = disk("list", "x")
    assert unknown.returncode == 0
    assert 'level=warning msg="No disk matching x found."' in unknown.stderr


def test_a_damaged_disk_is_an_error_record_among_the_others(disk: Run, home: str) -> None:
    os.makedirs(f"{home}/_disks/broken")
    disk("create", "data", "--size=1MiB")
    done = disk("list")
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["NAME", "data"]
    assert 'level=error msg="disk `broken` does not exist?"' in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("create",), "`limactl disk create` accepts 1 arg(s), received 0."),
        (("create", "a"), 'required flag(s) \\"size\\" not set'),
        (("create", "a", "--size"), "flag needs an argument: --size"),
        (
            ("create", "a", "--size=1GiB", "--format=vdi"),
            "disk format `vdi` not supported, use `qcow2` or `raw` instead",
        ),
        (("create", "a", "--size=x"), "invalid size `x`"),
        (("create", "../a", "--size=1GiB"), "disk name `../a` is not a valid identifier"),
        (("import", "a"), "`limactl disk import` accepts 2 arg(s), received 1."),
        (("resize", "a", "--size=1GiB"), "disk `a` does not exist"),
        (("delete",), "`limactl disk delete` requires at least 1 arg(s), only received 0."),
        (("delete", "--all"), "unknown flag: --all"),
    ],
)
def test_what_cannot_be_done_is_said_and_makes_nothing(
    disk: Run, home: str, words: tuple[str, ...], message: str
) -> None:
    done = disk(*words)
    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr
    assert not os.path.exists(f"{home}/_disks")


@pytest.mark.parametrize("words", [(), ("nonsense",), ("--help",)])
def test_the_group_shows_its_help(disk: Run, words: tuple[str, ...]) -> None:
    done = disk(*words)
    assert done.returncode == 0
    assert "limactl disk create data --size=10GiB" in done.stdout


@pytest.mark.parametrize("command", ["create", "list", "delete", "resize", "import", "unlock"])
def test_every_command_has_help_with_an_example(disk: Run, command: str) -> None:
    done = disk(command, "--help")
    assert done.returncode == 0
    assert f"limactl disk {command}" in done.stdout.partition("Examples:")[2]
