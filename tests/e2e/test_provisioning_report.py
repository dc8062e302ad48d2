"""Provisioning that reports, on the tiny guest: what went well, what failed, what hangs, and what people are told."""

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import COLD_S, WARM_S, Home, is_alive, wait_for

pytestmark = [pytest.mark.guest, pytest.mark.needs_qemu]

TINY = """\
images:
- location: "bootstrap:tiny"
cpus: 1
memory: "256MiB"
disk: "64MiB"
user:
  shell: "/bin/sh"
"""
WELL = """\
param:
  GREETING: "hello there"
provision:
- mode: yq
  path: /etc/box/daemon.json
  expression: '.greeting = "{{.Param.GREETING}}"'
  permissions: "600"
- mode: system
  script: |
    #!/bin/sh
    echo "param is $PARAM_GREETING"
- mode: yq
  path: /etc/box/daemon.json
  expression: '.more.name = "{{.Name}}"'
probes:
- description: "the greeting has come through"
  script: |
    #!/bin/sh
    test "$PARAM_GREETING" = "hello there" && sudo grep -q more /etc/box/daemon.json
copyToHost:
- guest: /etc/box/daemon.json
  host: "{{.Dir}}/from-guest.json"
  deleteOnStop: true
- guest: /etc/nosuch
  host: "{{.Dir}}/nosuch"
  skipIfMissing: true
message: |
  {{.Name}} is at port {{.SSHLocalPort}}, {{if eq .Param.GREETING "hello there"}}greeted{{end}}.
"""
FAILING = """\
provision:
- mode: system
  script: |
    #!/bin/sh
    echo "looking for the thing"
    printf 'no "thing" here: \\303\\244\\n' >&2
    exit 3
- mode: system
  script: |
    #!/bin/sh
    touch /run/second-ran
probes:
- description: "the thing answers"
  script: |
    #!/bin/sh
    echo "no answer from the thing"
    exit 7
  hint: |
    See /var/log/thing.log
"""
HANGING = """\
provision:
- mode: system
  script: |
    #!/bin/sh
    until [ -e /tmp/go ]; do sleep 0.1; done
"""


def create(home: Home, name: str, more: str) -> None:
    home.ok("create", f"--name={name}", "-", stdin=(TINY + more).encode(), timeout=COLD_S)


def report(home: Home, name: str) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(home.ok("provision-report", "--json", name).out)
    return shown


def test_all_that_goes_well_is_reported_copied_and_told(home: Home) -> None:
    create(home, "well", WELL)
    started = home.ok("start", "--progress", "well", timeout=WARM_S)
    port = home.record("well")["sshLocalPort"]
    assert f"\nwell is at port {port}, greeted.\n" in started.err
    for line in (
        "Waiting for the optional requirement 1 of 1: `the greeting has come through`",
        "The final requirement 1 of 1 is satisfied",
        "Provisioning system/00000001",
        "Cloud-init provisioning started...",
        "Cloud-init progress monitoring done.",
    ):
        assert line in started.err, line
    shown = report(home, "well")
    assert (shown["outcome"], shown["errors"]) == ("ok", [])
    assert [(one["name"], one["state"]) for one in shown["steps"]] == [
        ("yq/00000000", "ok"), ("system/00000001", "ok"), ("yq/00000002", "ok"),
    ]  # fmt: skip
    assert {check["state"] for check in shown["checks"]} == {"ok"}
    written = {"greeting": "hello there", "more": {"name": "well"}}
    assert json.loads(home.ok("shell", "well", "sudo", "cat", "/etc/box/daemon.json").out) == written
    assert home.ok("shell", "well", "stat", "-c", "%U:%G %a", "/etc/box/daemon.json").out == "root:root 644\n"
    copied = home.file("well", "from-guest.json")
    assert json.loads(home.read("well", "from-guest.json")) == written
    assert stat.S_IMODE(os.stat(copied).st_mode) == 0o600
    home.ok("stop", "well")
    assert not os.path.exists(copied)
    assert "everything went well" in home.ok("provision-report", "well").out


def test_a_failing_script_and_a_failing_probe_are_named_and_the_machine_stays_up(home: Home) -> None:
    create(home, "bad", FAILING)
    started = home.limactl("start", "bad", timeout=WARM_S)
    assert started.code == 1
    for words in (
        'provision script `system/00000000` failed with exit code 3: no \\"thing\\" here: ä',
        "probe `the thing answers` failed with exit code 7",
        "|   looking for the thing\n",
        '|   no "thing" here: ä\n',
        "|   no answer from the thing\n",
        "hint: See /var/log/thing.log",
        "/var/log/lima/provision/system-00000000.log of the guest",
        "limactl provision-report bad",
    ):
        assert words in started.err, f"{words}: {started}"
    assert home.ok("shell", "bad", "ls", "/run/second-ran").out == "/run/second-ran\n"
    log = home.ok("shell", "bad", "sudo", "cat", "/var/log/lima/provision/system-00000000.log").out
    assert log == 'looking for the thing\nno "thing" here: ä\n'
    shown = home.ok("provision-report", "bad").out
    assert "limactl shell bad sudo cat /var/log/lima/provision/system-00000000.log" in shown
    record = home.record("bad")
    assert record["status"] == "Running"
    assert "exit code 3" in " ".join(record["errors"])
    agent = home.pid("bad", "ha.pid")
    os.kill(agent, 9)
    wait_for(lambda: not is_alive(agent), seconds=10, what="the host agent is dead")
    again = home.limactl("start", "bad", timeout=WARM_S)
    assert (again.code, "exit code 3" in again.err) == (1, True), f"whoever takes over the guest knows: {again}"
    home.ok("stop", "bad")
    assert "something failed" in home.ok("provision-report", "bad").out


def test_a_deadline_names_what_hangs_and_leaves_a_usable_machine(home: Home) -> None:
    create(home, "slow", HANGING)
    started = home.limactl("start", "--timeout=45s", "slow", timeout=WARM_S)
    assert started.code == 1
    assert "did not receive an event with the `running` status" in started.err
    assert "provision script `system/00000000` is still running" in started.err
    (step,) = report(home, "slow")["steps"]
    assert (step["state"], bool(step["started"])) == ("running", True)
    assert "`system/00000000` is still running" in home.ok("provision-report", "slow").out
    assert home.ok("shell", "slow", "touch", "/tmp/go").code == 0
    home.ok("start", "slow", timeout=WARM_S)
    assert report(home, "slow")["outcome"] == "ok"


@pytest.mark.e2e_all
@pytest.mark.parametrize("ends", ["well", "badly"])
def test_a_playbook_of_the_host_is_played_in_the_guest(home: Home, tmp_path: Path, ends: str) -> None:
    task = "echo $((6 * 7)) >/tmp/played" if ends == "well" else "exit 3"
    (tmp_path / "play.yaml").write_text(
        f"- hosts: all\n  gather_facts: false\n  tasks:\n  - name: the only task\n    ansible.builtin.raw: {task}\n"
    )
    template = tmp_path / "box.yaml"
    template.write_text(f"base: template:tiny\nprovision:\n- mode: ansible\n  playbook: {tmp_path}/play.yaml\n")
    result = home.limactl("start", "--tty=false", str(template), timeout=COLD_S)
    if ends == "well":
        assert result.code == 0, result
        assert home.ok("shell", "box", "cat", "/tmp/played").out.strip() == "42"
    else:
        assert result.code == 1, result
        assert "play.yaml" in result.err
        assert home.ok("shell", "box", "true").code == 0
