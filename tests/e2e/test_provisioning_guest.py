"""A Debian guest that uses all there is to provision with, started twice; and one that OpenRC starts."""

import json
import os
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import COLD_S, REPO, Home, fresh_home

# CI looks at the same things in test_whole_guest.py; here each step is looked at by itself
pytestmark = [pytest.mark.guest, pytest.mark.needs_qemu, pytest.mark.e2e_all]

with open(os.path.join(REPO, "tests", "data", "certificates", "authority.pem"), encoding="ascii") as file:
    AUTHORITY = file.read()
SUBJECT = "Lima tests, a certificate authority of nobody"
TEMPLATE = {
    "images": [{"location": "bootstrap:debian/trixie"}],
    "disk": "10GiB",
    "timezone": "Asia/Tokyo",
    "env": {"GREETING": "hello there", "QUOTED": '"in quotes"'},
    "param": {"WORD": "one"},
    "caCerts": {"certs": [AUTHORITY]},
    "containerd": {"system": True, "user": False},
    "provision": [
        {"mode": "boot", "script": "mkdir -p /run/lima-test; echo boot >/run/lima-test/boot"},
        {
            "mode": "dependency",
            "script": "#!/bin/sh\nset -eu\ncommand -v bc || { apt-get -q update && apt-get -q -y install bc; }\n",
        },
        {
            "mode": "data",
            "path": "/etc/lima-test/file",
            "content": "{{.Param.WORD}}\n",
            "owner": "{{.User}}:{{.User}}",
            "permissions": "640",
        },
        {"mode": "data", "path": "/srv/kept", "content": "{{.Param.WORD}}\n", "overwrite": False},
        {"mode": "yq", "path": "/etc/lima-test/daemon.json", "expression": '.word = "{{.Param.WORD}}"'},
        {
            "mode": "system",
            "script": '#!/bin/sh\nset -eu\necho "2 + 3" | bc >/root/sum\necho "$PARAM_WORD $GREETING $QUOTED" >>/root/always\n',
        },
        {"mode": "system", "runPolicy": "once", "script": '#!/bin/sh\necho "$PARAM_WORD" >>/root/once\n'},
        {"mode": "system", "runPolicy": "on-change", "script": '#!/bin/sh\necho "$PARAM_WORD" >>/root/on-change\n'},
        {
            "mode": "user",
            "script": '#!/bin/sh\nset -eu\necho "$(id -un) $PARAM_WORD $GREETING $XDG_RUNTIME_DIR" >>~/user\n'
            "systemctl --user show -p Version --value >>~/user\n",
        },
    ],
}


def guest(home: Home, name: str, script: str) -> str:
    return home.ok("shell", name, "sudo", "sh", "-c", script).out.strip()


FIRST = ("/root/always", "/root/once", "/root/on-change", "/srv/kept", "/etc/lima-test/daemon.json")


@pytest.fixture(scope="module")
def boots() -> Iterator[tuple[Home, dict[str, str]]]:
    """A guest after its second boot, which had another parameter, and what some files held after the first."""
    with fresh_home() as home:
        home.ok("create", "--name=box", "-", stdin=json.dumps(TEMPLATE).encode(), timeout=COLD_S)
        home.ok("start", "--tty=false", "box", timeout=COLD_S)
        first = {path: guest(home, "box", f"cat {path}") for path in FIRST}
        home.ok("stop", "box")
        changed = home.read("box", "lima.yaml").replace('"WORD": "one"', '"WORD": "two"')
        assert '"two"' in changed
        with open(home.file("box", "lima.yaml"), "w", encoding="utf-8") as template:
            template.write(changed)
        home.ok("start", "--tty=false", "box", timeout=COLD_S)
        yield home, first


@pytest.fixture
def box(boots: tuple[Home, dict[str, str]]) -> Home:
    return boots[0]


def test_first_boot_ran_every_step(boots: tuple[Home, dict[str, str]]) -> None:
    _, first = boots
    assert first["/root/always"] == "one hello there in quotes"
    assert (first["/root/once"], first["/root/on-change"], first["/srv/kept"]) == ("one", "one", "one")
    assert json.loads(first["/etc/lima-test/daemon.json"]) == {"word": "one"}


def test_second_boot_ran_what_its_policy_says(box: Home) -> None:
    assert guest(box, "box", "cat /root/always").splitlines() == [
        "one hello there in quotes",
        "two hello there in quotes",
    ]
    assert guest(box, "box", "cat /root/once") == "one"
    assert guest(box, "box", "cat /root/on-change").split() == ["one", "two"]
    shown = json.loads(box.ok("provision-report", "--json", "box").out)
    states = {step["name"]: step["state"] for step in shown["steps"]}
    assert (states["system/00000006"], states["system/00000007"]) == ("skipped", "ok")
    # nobody reports what runs before the seed is mounted
    assert {state for name, state in states.items() if not name.startswith("boot/")} == {"ok", "skipped"}


def test_data_and_yq(box: Home) -> None:
    assert guest(box, "box", "cat /etc/lima-test/file; stat -c '%U:%G %a' /etc/lima-test/file").splitlines() == [
        "two",
        "lima:lima 640",
    ]
    assert guest(box, "box", "cat /srv/kept") == "one"
    assert json.loads(guest(box, "box", "cat /etc/lima-test/daemon.json")) == {"word": "two"}


def test_boot_and_dependency_steps_come_before(box: Home) -> None:
    assert guest(box, "box", "cat /run/lima-test/boot /root/sum").split() == ["boot", "5"]


def test_user_steps_have_a_session_of_their_own(box: Home) -> None:
    lines = guest(box, "box", "cat /home/lima.guest/user").splitlines()
    assert lines[0] == "lima one hello there /run/user/1000"
    assert lines[2] == "lima two hello there /run/user/1000"
    assert lines[1].startswith("25")
    assert guest(box, "box", "ls /var/lib/lima-provision/user") == ""


def test_time_zone_and_certificate_authority(box: Home) -> None:
    assert guest(box, "box", "date +%Z; cat /etc/timezone").split() == ["JST", "Asia/Tokyo"]
    script = (
        "import ssl; print([dict(x[0] for x in c['subject']).get('commonName')"
        " for c in ssl.create_default_context().get_ca_certs()])"
    )
    assert SUBJECT in guest(box, "box", f'python3 -c "{script}"')


def test_environment_of_logins_has_the_variables(box: Home) -> None:
    assert box.ok("shell", "box", "sh", "-c", 'echo "$GREETING"').out == "hello there\n"
    assert "GREETING=hello there" in guest(box, "box", "sed -n '/LIMA-START/,/LIMA-END/p' /etc/environment")


def test_containerd_runs_and_what_is_absent_is_said(box: Home) -> None:
    assert guest(box, "box", "systemctl is-active containerd; ctr version >/dev/null && echo answers").split() == [
        "active",
        "answers",
    ]
    has_nerdctl = guest(box, "box", "command -v nerdctl || :")
    log = guest(box, "box", "cat /var/log/lima/boot/40-install-containerd.sh.log")
    assert has_nerdctl or "nerdctl is absent, because the seed holds no nerdctl archive" in log


def test_every_step_has_its_log_for_root_alone(box: Home) -> None:
    listed = guest(box, "box", "stat -c '%U %a %n' /var/log/lima/boot/* /var/log/lima/provision/*").splitlines()
    assert {line.split()[0] + line.split()[1] for line in listed} == {"root600"}
    assert any(line.endswith("/provision/user-00000008.log") for line in listed)


def test_users_of_containers_have_what_they_need(box: Home) -> None:
    assert guest(box, "box", "cat /etc/subuid | wc -l") == "1"
    assert guest(box, "box", "systemctl show user@1000 -p DelegateControllers --value").split() == [
        "cpu", "cpuset", "io", "memory", "pids",
    ]  # fmt: skip
    assert guest(box, "box", "cat /proc/sys/net/ipv4/ip_unprivileged_port_start") == "0"


OPENRC = {
    "base": "template:debian-openrc",
    "disk": "10GiB",
    "timezone": "Asia/Tokyo",
    "env": {"GREETING": "hello there"},
    "param": {"WORD": "one"},
    "caCerts": {"certs": [AUTHORITY]},
    "provision": [
        {"mode": "data", "path": "/etc/lima-test/file", "content": "{{.Param.WORD}}\n"},
        {"mode": "system", "script": '#!/bin/sh\necho "$PARAM_WORD $GREETING" >>/root/system\n'},
        {"mode": "system", "runPolicy": "once", "script": "#!/bin/sh\necho once >>/root/once\n"},
        {"mode": "user", "script": '#!/bin/sh\necho "$(id -un) $PARAM_WORD $GREETING $XDG_RUNTIME_DIR" >>~/user\n'},
    ],
}


def test_a_guest_that_openrc_starts_is_provisioned(home: Home) -> None:
    home.ok("create", "--name=rc", "-", stdin=json.dumps(OPENRC).encode(), timeout=COLD_S)
    home.ok("start", "--tty=false", "rc", timeout=COLD_S)
    assert guest(home, "rc", "test -d /run/openrc && ! test -e /run/systemd/system && echo openrc") == "openrc"
    assert guest(home, "rc", "cat /etc/lima-test/file /root/system /home/lima.guest/user").splitlines() == [
        "one", "one hello there", "lima one hello there /run/user/1000",
    ]  # fmt: skip
    assert guest(home, "rc", "date +%Z; hostname").split() == ["JST", "lima-rc"]
    assert int(guest(home, "rc", "df -B1 --output=size / | tail -1")) > 9 * 10**9
    assert guest(home, "rc", "ls /usr/local/share/ca-certificates") == "lima-0.crt"
    assert guest(home, "rc", "rc-status --crashed; rc-service lima-boot status | grep -c started") == "1"
    # the power button works: no need to force it
    stopped = home.ok("stop", "rc")
    assert "forc" not in stopped.err.lower()
    home.ok("start", "--tty=false", "rc", timeout=COLD_S)
    assert guest(home, "rc", "wc -l </root/system; wc -l </root/once").split() == ["2", "1"]
