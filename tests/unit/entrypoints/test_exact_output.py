"""What scripts parse, to the byte, written from reference, cli §9, §10.1 and §12.1 (for disks see
tests/integration/test_disk_commands.py)."""

import json
import os
from pathlib import Path

import pytest

from lima.entrypoints.cli.main import limactl

TEMPLATE = (
    "images:\n- location: /x.raw\n  arch: x86_64\narch: x86_64\ncpus: 3\nmemory: 1.5GiB\ndisk: 20GiB\n"
    "user:\n  name: jane\n  uid: 1000\nadditionalDisks:\n- data\nmessage: |\n  for <{{.Name}}> & co\n"
)
NO_FILE = "no such file or directory"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LIMA_HOME", str(tmp_path / "lima"))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("box", "half-made", "wrong"):
        (tmp_path / "lima" / name).mkdir(parents=True)
    (tmp_path / "lima/box/lima.yaml").write_text(TEMPLATE)
    (tmp_path / "lima/box/lima-version").write_text("2.2.0")
    (tmp_path / "lima/box/ssh.config").write_text("Host lima-box\n  Port 60022\n")
    (tmp_path / "lima/wrong/lima.yaml").write_text("cpus: many\n")
    return tmp_path / "lima"


def _ran(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> tuple[str, list[str]]:
    assert limactl(["list", *words]) == code
    shown = capsys.readouterr()
    records = [line.partition("level=")[2] for line in shown.err.splitlines()]
    return shown.out, [record for record in records if "Running as root" not in record]


def _deprecated(home: Path) -> str:
    arch = os.uname().machine
    return f'"HostOS":"linux","HostArch":"{arch}","LimaHome":"{home}","IdentityFile":"{home}/_config/user"'


def test_the_table(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = _ran(capsys)
    assert out == (
        "NAME         STATUS     SSH                VMTYPE    ARCH      CPUS    MEMORY    DISK     DIR\n"
        "box          Stopped    127.0.0.1:60022    qemu      x86_64    3       1.5GiB    20GiB    ~/lima/box\n"
        "half-made    Broken     :0                                     0       0B        0B       ~/lima/half-made\n"
        "wrong        Stopped    :0                                     0       0B        0B       ~/lima/wrong\n"
    )


def test_json_of_a_whole_instance(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, err = _ran(capsys, "--json", "box")
    config = json.loads(out)["config"]
    assert (config["cpus"], config["memory"], config["user"]["name"]) == (3, "1.5GiB", "jane")
    text = json.dumps(config, separators=(",", ":"), ensure_ascii=False)
    assert out == (
        f'{{"name":"box","hostname":"lima-box","status":"Stopped","dir":"{home}/box","vmType":"qemu","arch":"x86_64",'
        '"cpus":3,"memory":1610612736,"disk":21474836480,"message":"for <box> & co","additionalDisks":[{"name":"data"}],'
        f'"sshLocalPort":60022,"sshConfigFile":"{home}/box/ssh.config","config":{text},"sshAddress":"127.0.0.1",'
        f'"protected":false,"limaVersion":"2.2.0",{_deprecated(home)}}}\n'
    )
    assert err == []


def test_json_of_a_directory_without_a_configuration(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "half-made/protected").touch()
    out, err = _ran(capsys, "--json", "half-made")
    assert out == (
        f'{{"name":"half-made","hostname":"","status":"Broken","dir":"{home}/half-made","vmType":"","arch":"",'
        f'"errors":["`lima.yaml` is missing"],"protected":true,"limaVersion":"",{_deprecated(home)}}}\n'
    )
    missing = f"stat {home}/half-made/lima.yaml: {NO_FILE}"
    assert err == [
        f'warning msg="The directory `{home}` does not look like a valid Lima directory: {missing}"',
        'warning msg="instance `half-made` has errors" errors="`lima.yaml` is missing"',
    ]


def test_json_of_an_invalid_configuration(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, err = _ran(capsys, "--format", "json", "wrong")
    (reason,) = json.loads(out)["errors"]
    assert "cpus" in reason
    assert out == (
        f'{{"name":"wrong","hostname":"lima-wrong","status":"Stopped","dir":"{home}/wrong","vmType":"","arch":"",'
        f'"errors":[{json.dumps(reason)}],"protected":false,"limaVersion":"",{_deprecated(home)}}}\n'
    )
    assert len(err) == 1


def test_yaml(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = "- name: data\n"
    out, _ = _ran(capsys, "--format", "yaml", "box", "half-made")
    head, _, rest = out.partition("config:\n")
    assert head == (
        f"name: box\nhostname: lima-box\nstatus: Stopped\ndir: {home}/box\nvmType: qemu\narch: x86_64\ncpus: 3\n"
        'memory: 1610612736\ndisk: 21474836480\nmessage: "for <box> & co"\n'
        f"additionalDisks:\n{keys}sshLocalPort: 60022\nsshConfigFile: {home}/box/ssh.config\n"
    )
    first, _, second = rest.partition("\n---\n")
    deprecated = f"HostOS: linux\nHostArch: {os.uname().machine}\nLimaHome: {home}\nIdentityFile: {home}/_config/user"
    assert first.endswith(f"\nsshAddress: 127.0.0.1\nprotected: false\nlimaVersion: 2.2.0\n{deprecated}")
    assert second == (
        f'name: half-made\nhostname: ""\nstatus: Broken\ndir: {home}/half-made\nvmType: ""\narch: ""\n'
        f'errors:\n- "`lima.yaml` is missing"\nprotected: false\nlimaVersion: ""\n{deprecated}\n'
    )


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--format", "{{.Name}}:{{.Hostname}}:{{.Status}}"],
         "box:lima-box:Stopped\nhalf-made::Broken\nwrong:lima-wrong:Stopped\n"),
        (["--format", "{{json .AdditionalDisks}}", "box"], '[{"name":"data"}]\n'),
        (["--format", "{{.SSHAddress}}:{{.SSHLocalPort}}", "box", "half-made"], "127.0.0.1:60022\n:0\n"),
        (["--quiet"], "box\nhalf-made\nwrong\n"),
        (["-q", "wrong", "box"], "wrong\nbox\n"),
        (["--yq", "[.name, .status]"], '["box","Stopped"]\n["half-made","Broken"]\n["wrong","Stopped"]\n'),
        (["--filter", '.status == "Broken"', "--quiet"], "half-made\n"),
        (["--yq", ".errors | length", "wrong", "box"], "1\n0\n"),
    ],
)  # fmt: skip
def test_short_forms(home: Path, capsys: pytest.CaptureFixture[str], words: list[str], expected: str) -> None:
    assert _ran(capsys, *words)[0] == expected


def test_an_unknown_name_costs_the_status_and_not_the_rest(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, err = _ran(capsys, "-q", "nope", "box", code=1)
    assert out == "box\n"
    assert err == ['warning msg="No instance matching nope found."', 'fatal msg="unmatched instances"']


def test_info_to_the_byte(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert limactl(["info"]) == 0
    out = capsys.readouterr().out
    assert out == json.dumps(json.loads(out), indent=4, ensure_ascii=False) + "\n"
    for expression, expected in (
        (".limaHome", f"{home}\n"),
        (".identityFile", f"{home}/_config/user\n"),
        (".vmTypes", '[\n    "qemu"\n]\n'),
        (".hostArch", f"{os.uname().machine}\n"),
        (".defaultTemplate.ssh.forwardAgent", "false\n"),
        (".nosuch.deeper", "null\n"),
    ):
        assert limactl(["info", "--yq", expression]) == 0
        assert capsys.readouterr().out == expected
