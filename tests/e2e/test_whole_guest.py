"""One Debian guest whose template uses everything that provisioning knows; each effect is looked at inside it, then it
is booted once more."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import COLD_S, Home

pytestmark = [pytest.mark.guest, pytest.mark.needs_qemu]

NAME = "whole"
PLAYBOOK = """\
- hosts: all
  gather_facts: false
  tasks:
  - ansible.builtin.raw: echo played >/tmp/played
"""
TEMPLATE = """\
base: template:default
cpus: 2
timezone: Asia/Tokyo
param:
  greeting: "hello there"
env:
  FRUIT: apple
caCerts:
  certs:
  - |
{certificate}
mountTypesUnsupported: null
mounts:
- location: {mounted}
  mountPoint: /mnt/my files
  writable: true
additionalDisks:
- name: store
  fsType: ext4
provision:
- mode: boot
  script: echo "$PARAM_greeting" >/var/lib/from-boot
- mode: dependency
  script: |
    #!/bin/sh
    set -eu
    command -v jq >/dev/null || (apt-get update -q && apt-get install -y -q --no-install-recommends jq)
- mode: data
  path: /etc/whole/data.conf
  owner: "{{{{.User}}}}:{{{{.User}}}}"
  permissions: "640"
  content: |
    greeting={{{{.Param.greeting}}}}
- mode: system
  script: |
    #!/bin/sh
    set -eu
    mkdir -p /etc/whole
    [ -e /etc/whole/settings.yaml ] || printf '# kept\\nname: old\\nlist:\\n- a\\n' >/etc/whole/settings.yaml
    echo "$PARAM_greeting $FRUIT $(id -u)" >>/var/lib/from-system
- mode: yq
  path: /etc/whole/made.yaml
  expression: .made = true | .by = "{{{{.User}}}}"
- mode: yq
  path: /etc/whole/settings.json
  expression: .list += ["b"]
- mode: user
  script: |
    #!/bin/sh
    set -eu
    echo "$PARAM_greeting $(id -un) $XDG_RUNTIME_DIR" >>"$HOME/from-user"
    systemctl --user is-active default.target >>"$HOME/from-user"
- mode: system
  runPolicy: once
  script: |
    #!/bin/sh
    echo once >>/var/lib/from-once
- mode: system
  runPolicy: on-change
  script: |
    #!/bin/sh
    echo "{{{{.Param.greeting}}}}" >>/var/lib/from-change
{ansible}
probes:
- description: "the data is there"
  script: |
    #!/bin/sh
    test -s /etc/whole/data.conf
  hint: look at /etc/whole
copyToHost:
- guest: /etc/whole/made.yaml
  host: "{{{{.Dir}}}}/copied.yaml"
message: |
  {{{{.Name}}}} says {{{{.Param.greeting}}}}
"""


@pytest.fixture(scope="module")
def whole(shared_home: Home) -> Home:
    home = shared_home
    Path(home.path, "play.yaml").write_text(PLAYBOOK)
    certificate = _certificate(home.path)
    ansible = f"- mode: ansible\n  playbook: {home.path}/play.yaml" if shutil.which("ansible-playbook") else ""
    Path(home.path, "_mounted").mkdir()
    Path(home.path, "_mounted", "greeting").write_text("from the host\n")
    text = TEMPLATE.format(certificate=_indented(certificate), ansible=ansible, mounted=f"{home.path}/_mounted")
    template = Path(home.path, "whole.yaml")
    template.write_text(text)
    home.ok("disk", "create", "store", "--size=64MiB")
    result = home.ok("start", "--tty=false", f"--name={NAME}", str(template), timeout=COLD_S)
    Path(home.path, "said").write_text(result.err + result.out)
    return home


def _certificate(folder: str) -> str:
    path = os.path.join(folder, "ca.pem")
    command = f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=whole-ca -keyout {path}.key -out {path}"
    subprocess.run(command.split(), check=True, capture_output=True)
    return Path(path).read_text()


def _indented(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.splitlines()).rstrip("\n")


def guest(home: Home, script: str) -> str:
    return home.ok("shell", NAME, "sudo", "sh", "-c", script).out.strip()


def report(home: Home) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(home.ok("provision-report", NAME, "--json").out)
    return found


def test_every_mode_left_its_mark(whole: Home) -> None:
    assert guest(whole, "cat /var/lib/from-boot") == "hello there"
    assert guest(whole, "jq -n 1") == "1"
    assert guest(whole, "stat -c '%U:%G %a' /etc/whole/data.conf; cat /etc/whole/data.conf").splitlines() == [
        "lima:lima 640",
        "greeting=hello there",
    ]
    assert guest(whole, "cat /var/lib/from-system") == "hello there apple 0"
    assert guest(whole, "cat /etc/whole/made.yaml").splitlines() == ["made: true", "by: lima"]
    assert json.loads(guest(whole, "cat /etc/whole/settings.json")) == {"list": ["b"]}
    user = guest(whole, "cat /home/lima.guest/from-user").splitlines()
    assert user == ["hello there lima /run/user/1000", "active"]
    assert guest(whole, "cat /var/lib/from-once /var/lib/from-change").splitlines() == ["once", "hello there"]


def test_a_playbook_of_the_host_was_played(whole: Home) -> None:
    if shutil.which("ansible-playbook") is None:
        pytest.skip("ansible-playbook is not installed")
    assert guest(whole, "cat /tmp/played") == "played"


def test_environment_time_zone_and_certificate_are_the_templates(whole: Home) -> None:
    assert whole.ok("shell", NAME, "printenv", "FRUIT").out.strip() == "apple"
    assert guest(whole, "date +%Z") == "JST"
    subjects = guest(
        whole,
        'awk \'/BEGIN/ {c=""} {c=c $0 "\\n"} /END/ {print c | "openssl x509 -noout -subject 2>/dev/null";'
        ' close("openssl x509 -noout -subject 2>/dev/null")}\' /etc/ssl/certs/ca-certificates.crt | grep -c whole-ca',
    )
    assert subjects == "1"


def test_the_disk_is_there_with_a_file_system_and_locked_by_its_instance(whole: Home) -> None:
    assert guest(whole, "findmnt -no FSTYPE /mnt/lima-store") == "ext4"
    guest(whole, "test -e /mnt/lima-store/kept || echo kept >/mnt/lima-store/kept")
    refused = whole.limactl("disk", "delete", "store")
    assert refused.code == 1
    assert NAME in refused.err


def test_a_directory_of_the_host_is_mounted_by_9p_and_written_to(whole: Home) -> None:
    assert "Mount type: 9p (the default under QEMU)" in Path(whole.path, "said").read_text()
    assert guest(whole, "findmnt -no FSTYPE '/mnt/my files'") == "9p"
    assert (
        guest(whole, "cat '/mnt/my files/greeting' && echo from the guest >'/mnt/my files/answer'") == "from the host"
    )
    assert Path(whole.path, "_mounted", "answer").read_text() == "from the guest\n"


def test_what_was_asked_for_came_to_the_host_and_the_message_was_printed(whole: Home) -> None:
    assert whole.read(NAME, "copied.yaml").splitlines() == ["made: true", "by: lima"]
    assert f"{NAME} says hello there" in Path(whole.path, "said").read_text()


def test_the_report_has_every_step_with_its_seconds(whole: Home) -> None:
    steps = {step["name"]: step for step in report(whole)["steps"]}
    modes = {name.partition("/")[0] for name in steps}
    assert modes >= {"dependency", "data", "system", "yq", "user"}
    assert {step["state"] for step in steps.values()} == {"ok"}
    assert all(step["seconds"] >= 0 and step["code"] == 0 for step in steps.values())


def test_the_second_boot_runs_what_its_policies_say_and_formats_nothing(whole: Home) -> None:
    guest(whole, "echo kept >/mnt/lima-store/kept")
    whole.ok("stop", NAME)
    whole.ok("start", NAME, timeout=COLD_S)
    assert guest(whole, "cat /var/lib/from-once /var/lib/from-change").splitlines() == ["once", "hello there"]
    assert len(guest(whole, "cat /var/lib/from-system").splitlines()) == 2
    assert guest(whole, "cat /mnt/lima-store/kept '/mnt/my files/greeting'").splitlines() == ["kept", "from the host"]
    assert json.loads(guest(whole, "cat /etc/whole/settings.json"))["list"][0] == "b"
    states = [step["state"] for step in report(whole)["steps"] if step["policy"] in ("once", "on-change")]
    assert states == ["skipped", "skipped"]


def test_a_changed_parameter_runs_the_step_that_asks_for_it(whole: Home) -> None:
    whole.ok("stop", NAME)
    whole.ok("start", "--param", "greeting=good bye", NAME, timeout=COLD_S)
    assert guest(whole, "cat /var/lib/from-once /var/lib/from-change").splitlines() == [
        "once",
        "hello there",
        "good bye",
    ]


PLAIN = """\
base: template:default
plain: true
env:
  FRUIT: apple
param:
  greeting: "hello there"
provision:
- mode: boot
  script: echo "$PARAM_greeting" >/var/lib/from-boot
- mode: dependency
  script: echo never >/var/lib/from-dependency
- mode: data
  path: /etc/plain.conf
  content: data
- mode: system
  script: echo "$PARAM_greeting" >/var/lib/from-system
- mode: user
  script: echo "$PARAM_greeting" >"$HOME/from-user"
"""


@pytest.mark.e2e_all
def test_a_plain_guest_has_the_users_steps_and_nothing_of_ours(home: Home) -> None:
    home.ok("start", "--tty=false", f"--name={NAME}", "-", stdin=PLAIN.encode(), timeout=COLD_S)
    marks = "cat /var/lib/from-boot /etc/plain.conf /var/lib/from-system /home/lima.guest/from-user"
    assert guest(home, marks).splitlines() == ["hello there", "data" + "hello there", "hello there"]
    assert guest(home, "ls /var/lib/from-dependency /run/lima-ssh-ready 2>/dev/null || :") == ""
    assert guest(home, "ls /var/log/lima/boot") == ""
    assert guest(home, "test -e /usr/local/bin/lima-guestagent && echo there || echo none") == "none"
    assert guest(home, "grep -c LIMA-START /etc/environment || :") == "0"
    assert "host.lima.internal" not in guest(home, "cat /etc/hosts")
    assert "No guest agent answers" not in home.read(NAME, "ha.stderr.log")
