"""The scripts of every boot, one by one, and all of them twice."""

import hashlib
import os
import re

import pytest
from tests.integration.guest.conftest import BOOT, SEED, Sandbox

SCRIPTS = sorted(
    f"{folder}/{name}" for folder in ("boot.essential.Linux", "boot.Linux") for name in os.listdir(f"{BOOT}/{folder}")
)


def systemd(box: Sandbox) -> None:
    """A guest that systemd runs, whose commands only note that they were called."""
    os.makedirs(box.path("run/systemd/system"))
    for name in ("systemctl", "loginctl", "sysctl", "modprobe", "usermod", "resolvectl", "iptables"):
        box.stand_in(name)
    box.stand_in("nft", "cat >>/rules")
    box.stand_in("sudo", 'while :; do case "$1" in -u | -iu) shift 2 ;; *) break ;; esac; done; exec "$@"')
    os.makedirs(box.path("home/lima.guest"))


def tree(box: Sandbox) -> dict[str, str]:
    """Every file that scripts may have written, with its content."""
    found = {}
    for top in ("etc", "home", "root", "var", "bin", "mnt", "run"):
        for folder, folders, files in os.walk(box.path(top)):
            for name in [*folders, *files]:
                path = os.path.join(folder, name)
                content = b""
                if os.path.isfile(path) and not os.path.islink(path):
                    with open(path, "rb") as file:
                        content = file.read()
                digest = hashlib.sha256(content).hexdigest()[:8]
                found[os.path.relpath(path, box.root)] = f"{os.lstat(path).st_mode:o} {digest}"
    return found


EVERYTHING = {
    "SLIRP_DNS": "192.168.5.3", "SLIRP_GATEWAY": "192.168.5.2", "UDP_DNS_LOCAL_PORT": "5300", "TCP_DNS_LOCAL_PORT": "5301",
    "MOUNTTYPE": "reverse-sshfs", "MOUNTS": "1", "VMTYPE": "qemu", "CONTAINERD_USER": "1", "UPGRADE_PACKAGES": "1",
}  # fmt: skip


@pytest.mark.parametrize("kind", ["systemd", "alpine", "bare"])
def test_a_second_boot_changes_nothing(sandbox: Sandbox, kind: str) -> None:
    if kind == "systemd":
        systemd(sandbox)
    elif kind == "alpine":
        alpine(sandbox)
    for name in ("sshfs", "tar", "newuidmap", "fusermount3", "iptables", "containerd"):
        sandbox.stand_in(name)
    sandbox.stand_in("hostname", "echo lima-box")
    sandbox.seed(EVERYTHING if kind != "bare" else {})
    first = sandbox.boot()
    assert first.code == 0, first.out
    before = tree(sandbox)
    second = sandbox.boot()
    assert second.code == 0, second.out
    assert tree(sandbox) == before
    assert "etc/environment" in before


def test_scripts_of_other_guests_cost_no_process(sandbox: Sandbox) -> None:
    """What does not apply leaves no log, and was never started."""
    sandbox.seed({"DISKS": "0", "UDP_DNS_LOCAL_PORT": "0"})
    assert sandbox.boot().code == 0
    assert sorted(os.listdir(sandbox.path("var/log/lima/boot"))) == [
        "00-modprobe.sh.log", "05-guest-home.sh.log", "06-etc-hosts.sh.log", "07-etc-environment.sh.log",
        "26-host-services.sh.log",
    ]  # fmt: skip


@pytest.mark.parametrize("script", SCRIPTS)
def test_conditions_are_of_the_known_form(script: str) -> None:
    with open(f"{BOOT}/{script}", encoding="utf-8") as file:
        shebang, second = file.readline(), file.readline()
    assert shebang == "#!/bin/sh\n"
    assert second.startswith("# ")
    assert not second.startswith("# Only") or re.fullmatch(r"# Only (where:( /\S+)+|with:( [A-Z_]+)+)\n", second)


# --- names, environment, homes ------------------------------------------------------------------------------------------


def test_hosts(sandbox: Sandbox) -> None:
    sandbox.stand_in("hostname", "echo lima-box")
    sandbox.seed({"SLIRP_GATEWAY": "192.168.5.2"})
    sandbox.write("etc/hosts", "127.0.0.1\tlocalhost\n10.0.0.1\thost.lima.internal\n")
    sandbox.script("boot.Linux/06-etc-hosts.sh")
    assert sandbox.read("etc/hosts").splitlines() == [
        "127.0.0.1\tlocalhost", "127.0.1.1\tlima-box", "192.168.5.2\thost.lima.internal",
    ]  # fmt: skip


def test_environment_block_is_replaced_and_sessions_may_begin(sandbox: Sandbox) -> None:
    sandbox.write("etc/environment", "OWN=1\n#LIMA-START\nOLD=1\n#LIMA-END\n")
    sandbox.write(f"{SEED}/etc_environment", "#LIMA-START\nhttp_proxy=http://p:1\n#LIMA-END\n")
    sandbox.script("boot.Linux/07-etc-environment.sh")
    assert sandbox.read("etc/environment") == "OWN=1\n#LIMA-START\nhttp_proxy=http://p:1\n#LIMA-END\n"
    assert sandbox.read("run/lima-ssh-ready") == "iid-test\n"


@pytest.mark.parametrize(("there", "made"), [("lima.guest", "lima.linux"), ("lima.linux", "lima.guest")])
def test_guest_home_has_both_names(sandbox: Sandbox, there: str, made: str) -> None:
    os.makedirs(sandbox.path(f"home/{there}"))
    sandbox.script("boot.Linux/05-guest-home.sh")
    assert os.readlink(sandbox.path(f"home/{made}")) == f"/home/{there}"


def test_host_services_belong_to_the_user(sandbox: Sandbox) -> None:
    sandbox.script("boot.Linux/26-host-services.sh")
    assert os.stat(sandbox.path("run/host-services")).st_mode & 0o777 == 0o700


# --- rootless -----------------------------------------------------------------------------------------------------------


def test_rootless_prerequisites(sandbox: Sandbox) -> None:
    systemd(sandbox)
    sandbox.write("home/lima.guest/.bashrc", "own\n")
    assert sandbox.script("boot.Linux/20-rootless-base.sh").code == 0
    assert sandbox.read("etc/subuid") == "lima:524288:1073741824\n"
    assert sandbox.read("etc/subgid") == "lima:524288:1073741824\n"
    assert "Delegate=cpu cpuset io memory pids" in sandbox.read("etc/systemd/system/user@.service.d/lima.conf")
    assert "net.ipv4.ip_unprivileged_port_start=0" in sandbox.read("etc/sysctl.d/99-lima.conf")
    assert sandbox.read("home/lima.guest/.bashrc").startswith("own\n# Lima BEGIN\n")
    assert not sandbox.exists("home/lima.guest/.zshrc")
    assert sandbox.calls(of="systemctl") == ["systemctl daemon-reload", "systemctl try-restart user@1000.service"]
    sandbox.forget_calls()
    sandbox.script("boot.Linux/20-rootless-base.sh")
    assert sandbox.calls(of="systemctl") == []


def test_sub_ids_begin_above_a_large_uid(sandbox: Sandbox) -> None:
    systemd(sandbox)
    sandbox.seed({"UID": "600000"})
    sandbox.script("boot.Linux/20-rootless-base.sh")
    first = int(sandbox.read("etc/subuid").split(":")[1])
    assert first > 600000
    assert first + 1073741824 <= 2**32


# --- name resolution ----------------------------------------------------------------------------------------------------

DNS = {
    "SLIRP_DNS": "192.168.5.3", "SLIRP_GATEWAY": "192.168.5.2", "UDP_DNS_LOCAL_PORT": "5300", "TCP_DNS_LOCAL_PORT": "5301",
}  # fmt: skip


def test_dns_rules_replace_what_was_there(sandbox: Sandbox) -> None:
    systemd(sandbox)
    sandbox.seed(DNS)
    sandbox.script("boot.Linux/09-host-dns-setup.sh")
    rules = sandbox.read("rules").splitlines()
    assert rules[:2] == ["table ip lima-dns", "delete table ip lima-dns"]
    assert rules.count("ip daddr 192.168.5.3 udp dport 53 dnat to 192.168.5.2:5300") == 2
    assert rules.count("ip daddr 192.168.5.3 tcp dport 53 dnat to 192.168.5.2:5301") == 2


def test_dns_rules_by_iptables_where_nft_does_not_work(sandbox: Sandbox) -> None:
    systemd(sandbox)
    sandbox.stand_in("nft", "exit 1")
    sandbox.stand_in("iptables", '[ "$4" != -N ] && [ "$4" != -C ]')
    sandbox.seed(DNS)
    assert sandbox.script("boot.Linux/09-host-dns-setup.sh").code == 0
    calls = [call.removeprefix("iptables -w -t nat ") for call in sandbox.calls(of="iptables")]
    assert calls[:2] == ["-N LIMADNS", "-F LIMADNS"]
    assert "-I PREROUTING 1 -j LIMADNS" in calls
    assert "-I OUTPUT 1 -j LIMADNS" in calls
    assert calls[-1] == "-A LIMADNS -d 192.168.5.3 -p tcp --dport 53 -j DNAT --to-destination 192.168.5.2:5301"


@pytest.mark.parametrize("ports", [("0", "0"), ("", "")])
def test_without_ports_no_firewall_is_touched(sandbox: Sandbox, ports: tuple[str, str]) -> None:
    systemd(sandbox)
    sandbox.seed(DNS | {"UDP_DNS_LOCAL_PORT": ports[0], "TCP_DNS_LOCAL_PORT": ports[1]})
    assert sandbox.boot().code == 0
    assert sandbox.calls(of="nft") + sandbox.calls(of="iptables") == []


# --- Alpine -------------------------------------------------------------------------------------------------------------


def alpine(box: Sandbox) -> None:
    box.write("etc/alpine-release", "3.22.1\n")
    box.write("etc/shadow", "root:*::0:::::\nlima:!:20000:0:99999:7:::\n")
    box.write("etc/ssh/sshd_config", "#AllowTcpForwarding yes\nAllowTcpForwarding no\n")
    box.write("etc/apk/repositories", "#/media/cdrom/apks\n")
    for name in ("apk", "rc-service", "rc-update", "deluser", "reboot", "cloud-init"):
        box.stand_in(name)
    box.stand_in("chpasswd", "cat >>/chpasswd-input")
    os.makedirs(box.path("run/openrc"), exist_ok=True)


def test_alpine_preparations(sandbox: Sandbox) -> None:
    alpine(sandbox)
    for _ in range(2):
        done = sandbox.script("boot.essential.Linux/10-alpine-prep.sh")
        assert done.code == 0, done.out
    assert sandbox.read("etc/apk/repositories").splitlines() == [
        "https://dl-cdn.alpinelinux.org/alpine/v3.22/main", "https://dl-cdn.alpinelinux.org/alpine/v3.22/community",
    ]  # fmt: skip
    assert sandbox.read("etc/ssh/sshd_config").splitlines() == ["AllowTcpForwarding yes"]
    assert sandbox.read("chpasswd-input").splitlines()[0] == "lima:*"


def test_alpines_own_user_goes_where_it_has_our_uid(sandbox: Sandbox) -> None:
    alpine(sandbox)
    sandbox.stand_in("id", "echo 1000")
    done = sandbox.script(
        "boot.essential.Linux/00-alpine-user-group.sh", LIMA_REBOOT_REQUIRED="/run/lima-reboot-required"
    )
    assert done.code == 0, done.out
    assert sandbox.calls(of="deluser") == ["deluser --remove-home alpine"]
    assert sandbox.calls(of="reboot")
    assert sandbox.exists("run/lima-reboot-required")


def test_alpine_has_a_bash_of_sorts(sandbox: Sandbox) -> None:
    alpine(sandbox)
    sandbox.script("boot.essential.Linux/01-alpine-ash-as-bash.sh")
    assert sandbox.mode("bin/bash") == 0o755
    sandbox.write("bin/bash", "the real one")
    sandbox.script("boot.essential.Linux/01-alpine-ash-as-bash.sh")
    assert sandbox.read("bin/bash") == "the real one"
