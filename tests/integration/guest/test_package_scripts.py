"""Packages: what is needed and not there, with the package manager that is; and containerd."""

import io
import os
import tarfile

import pytest
from tests.integration.guest.conftest import SEED, Sandbox

MANAGERS = ("apt-get", "dnf", "yum", "pacman", "zypper", "apk")
INSTALLS = {
    "apt-get": "apt-get -q -o DPkg::Lock::Timeout=300 install -y --no-install-recommends uidmap sshfs fuse3",
    "dnf": "dnf install -y shadow-utils fuse-sshfs fuse3",
    "yum": "yum install -y shadow-utils fuse-sshfs fuse3",
    "pacman": "pacman -Sy --noconfirm --needed shadow sshfs fuse3",
    "zypper": "zypper --non-interactive install -y --no-recommends shadow sshfs fuse3",
    "apk": "apk add --no-progress shadow-uidmap sshfs fuse3",
}
MAKE = 'for name in newuidmap sshfs fusermount3 iptables tar containerd; do printf "#!/bin/sh\\n" >/stand-ins/$name; chmod +x /stand-ins/$name; done'


@pytest.fixture
def box(sandbox: Sandbox) -> Sandbox:
    """Tools of the machine by name, so that nothing else of it is found: no package manager, no mount helpers."""
    sandbox.env["PATH"] = f"/{SEED}/util:/stand-ins:/tools"
    names = ["sh", "cat", "cut", "sed", "sort", "tail", "head", "stat", "sha256sum", "mkdir", "touch", "rm", "mktemp", "sync",
             "echo", "printf", "true", "mv", "gzip", "chmod"]  # fmt: skip
    os.makedirs(sandbox.path("tools"))
    for name in names:
        source = f"/busybox/{name}" if sandbox.shell == "busybox" and name != "sort" else f"/usr/bin/{name}"
        os.symlink("/bin/sh" if name == "sh" else source, sandbox.path(f"tools/{name}"))
    for name in ("ip", "pidof", "dpkg"):
        sandbox.stand_in(name, "echo default")
    return sandbox


@pytest.mark.parametrize("manager", MANAGERS)
def test_packages_of_commands_that_are_missing(box: Sandbox, manager: str) -> None:
    box.stand_in(manager, MAKE)
    done = box.script("util/lima-need")
    assert (done.code, box.calls()) == (0, [])
    done = box.run("lima-need", "newuidmap", "sshfs", "fusermount3")
    assert done.code == 0, done.out
    assert INSTALLS[manager] in box.calls(of=manager)
    box.forget_calls()
    assert box.run("lima-need", "newuidmap", "sshfs", "fusermount3").code == 0
    assert box.calls() == []


def test_what_cannot_be_had_is_named(box: Sandbox) -> None:
    done = box.run("lima-need", "sshfs")
    assert done.code == 1
    assert "no package manager" in done.out
    box.stand_in("apt-get")
    done = box.run("lima-need", "sshfs")
    assert done.code == 1
    assert done.out.splitlines()[-1].endswith("sshfs ")


def test_a_failing_package_manager_fails_the_step(box: Sandbox) -> None:
    box.stand_in("apt-get", 'echo "E: no such mirror" >&2; exit 100')
    done = box.run("lima-need", "sshfs")
    assert done.code != 0
    assert "E: no such mirror" in done.out


def test_half_installed_packages_are_finished_first(box: Sandbox) -> None:
    box.stand_in("apt-get", MAKE)
    box.run("lima-need", "sshfs")
    assert [call.split()[0] for call in box.calls()] == ["ip", "dpkg", "apt-get", "apt-get"]
    assert "dpkg --configure -a" in box.calls()


def test_enterprise_releases_look_in_their_other_repositories(box: Sandbox) -> None:
    box.write("etc/os-release", "ID=ol\nVERSION_ID=9.4\n")
    box.stand_in("dnf", f'case "$*" in "install -y fuse-sshfs") exit 1 ;; esac; {MAKE}')
    assert box.run("lima-need", "sshfs").code == 0
    assert box.calls(of="dnf")[1] == "dnf install -y oracle-epel-release-el9"
    assert "powertools" in box.calls(of="dnf")[2]


# --- 30-install-packages ------------------------------------------------------------------------------------------------

INSTALL = "boot.Linux/30-install-packages.sh"


@pytest.mark.parametrize(
    ("seed", "wanted"),
    [
        ({}, ""),
        ({"MOUNTTYPE": "reverse-sshfs", "MOUNTS": "0"}, ""),
        ({"MOUNTTYPE": "reverse-sshfs", "MOUNTS": "2"}, "sshfs"),
        ({"MOUNTTYPE": "9p", "MOUNTS": "2"}, ""),
        ({"CONTAINERD_SYSTEM": "1"}, "iptables tar"),
        ({"CONTAINERD_USER": "1"}, "iptables tar newuidmap fusermount3"),
        ({"CONTAINERD_USER": "1", "SKIP_DEFAULT_DEPENDENCY_RESOLUTION": "1"}, ""),
        ({"UDP_DNS_LOCAL_PORT": "5300"}, "iptables"),
    ],
)
def test_what_an_instance_needs(box: Sandbox, seed: dict[str, str], wanted: str) -> None:
    box.seed(seed)
    box.write(f"{SEED}/util/lima-need", '#!/bin/sh\necho "need $*" >>/calls\n', mode=0o755)
    assert box.script(INSTALL, PATH=box.env["PATH"]).code == 0
    assert box.calls() == ([f"need {wanted}"] if wanted else box.calls())
    assert all(call.strip() in ("need", f"need {wanted}".strip()) for call in box.calls())


def test_a_guest_that_cannot_lead_questions_to_the_host_boots_all_the_same(box: Sandbox) -> None:
    box.seed({"UDP_DNS_LOCAL_PORT": "5300"})
    box.write(f"{SEED}/util/lima-need", '#!/bin/sh\necho "need $*" >>/calls\nexit 1\n', mode=0o755)
    assert box.script(INSTALL, PATH=box.env["PATH"]).code == 0
    assert box.calls() == ["need iptables"]
    box.seed({"UDP_DNS_LOCAL_PORT": "5300", "CONTAINERD_SYSTEM": "1"})
    assert box.script(INSTALL, PATH=box.env["PATH"]).code == 1


def test_after_a_failed_dependency_nothing_is_installed(box: Sandbox) -> None:
    box.seed({"CONTAINERD_USER": "1"})
    box.stand_in("apt-get", MAKE)
    assert box.script(INSTALL, LIMA_DEPENDENCIES_FAILED="1", PATH=box.env["PATH"]).code == 1
    assert box.calls() == []


# --- 40-install-containerd ----------------------------------------------------------------------------------------------

CONTAINERD = "boot.Linux/40-install-containerd.sh"


def archive(box: Sandbox, version: str) -> None:
    box.write(f"{SEED}/nerdctl-full.tgz", "")
    with tarfile.open(box.path(f"{SEED}/nerdctl-full.tgz"), "w:gz") as tar:
        for name, text in (
            ("bin/nerdctl", f"#!/bin/sh\necho nerdctl version {version}\n"),
            ("bin/containerd-rootless-setuptool.sh", '#!/bin/sh\necho "setup $*" >>/calls\n'),
            ("lib/systemd/system/containerd.service", ""),
        ):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(text), 0o755
            tar.addfile(member, io.BytesIO(text.encode()))


def systemd(box: Sandbox) -> None:
    os.makedirs(box.path("run/systemd/system"))
    box.stand_in("systemctl")
    box.stand_in("sudo", 'shift 3; exec "$@"')
    box.write("stand-ins/tar", '#!/bin/sh\nPATH=/usr/bin exec /usr/bin/tar "$@"\n', mode=0o755)
    prefix = box.path("opt/lima")
    os.makedirs(prefix)


def run(box: Sandbox, **seed: str) -> str:
    box.seed({"GUEST_INSTALL_PREFIX": "/opt/lima"} | seed)
    done = box.script(CONTAINERD, PATH=box.env["PATH"])
    assert done.code == 0, done.out
    return done.out


def test_archive_is_unpacked_once_and_started_for_the_system(box: Sandbox) -> None:
    systemd(box)
    archive(box, "2.3.5")
    run(box, CONTAINERD_SYSTEM="1")
    assert "2.3.5" in box.read("opt/lima/bin/nerdctl")
    assert box.calls(of="systemctl") == [
        "systemctl daemon-reload",
        "systemctl enable --now containerd.service buildkit.service",
        "systemctl try-restart containerd.service buildkit.service",
    ]
    box.forget_calls()
    box.write("stand-ins/tar", "#!/bin/sh\nexit 1\n", mode=0o755)
    run(box, CONTAINERD_SYSTEM="1")
    assert box.calls(of="systemctl") == ["systemctl enable --now containerd.service buildkit.service"]


@pytest.mark.parametrize(("installed", "offered", "then"), [("2.3.5", "2.10.0", "2.10.0"), ("2.3.5", "2.1.6", "2.3.5")])
def test_only_a_newer_archive_is_unpacked(box: Sandbox, installed: str, offered: str, then: str) -> None:
    systemd(box)
    archive(box, installed)
    run(box, CONTAINERD_SYSTEM="1")
    archive(box, offered)
    run(box, CONTAINERD_SYSTEM="1")
    assert then in box.read("opt/lima/bin/nerdctl")


def test_unpacking_that_was_cut_off_is_repeated(box: Sandbox) -> None:
    systemd(box)
    archive(box, "2.3.5")
    box.stand_in("sync", "kill -9 $PPID")
    box.seed({"GUEST_INSTALL_PREFIX": "/opt/lima", "CONTAINERD_SYSTEM": "1"})
    assert box.script(CONTAINERD, PATH=box.env["PATH"]).code != 0
    box.stand_in("sync")
    box.write("opt/lima/bin/nerdctl", "#!/bin/sh\necho nerdctl version 2.3.5\n# half\n", mode=0o755)
    run(box, CONTAINERD_SYSTEM="1")
    assert "half" not in box.read("opt/lima/bin/nerdctl")
    assert not box.exists("opt/lima/share/lima/nerdctl-archive.begun")


def test_rootless(box: Sandbox) -> None:
    systemd(box)
    archive(box, "2.3.5")
    run(box, CONTAINERD_USER="1")
    assert box.calls(of="setup") == ["setup install", "setup install-buildkit-containerd"]
    assert "systemctl start user@1000.service" in box.calls(of="systemctl")


def test_without_an_archive_the_distribution_helps_and_nothing_fails(box: Sandbox) -> None:
    systemd(box)
    box.stand_in("apt-get", MAKE)
    said = run(box, CONTAINERD_USER="1")
    assert "nerdctl is absent" in said
    assert "containerd comes from the distribution" in said
    assert box.calls(of="systemctl") == ["systemctl enable --now containerd.service"]


def test_a_distribution_without_containerd_is_said_and_fails_nothing(box: Sandbox) -> None:
    systemd(box)
    box.stand_in("apt-get", "exit 100")
    assert "the distribution has no containerd either" in run(box, CONTAINERD_SYSTEM="1")
