"""The default guest: Debian, built from packages where no cloud mirror answers, with our first-boot unit.

Boots Debian three times in all: the first for everything that only looks, the second after a reboot inside, the third
after stop and an edit.
"""

import contextlib
import itertools
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import COLD_S, Home, fresh_home, wait_for

pytestmark = [pytest.mark.guest, pytest.mark.needs_qemu]


@pytest.fixture(scope="module")
def debian() -> Iterator[Home]:
    with fresh_home() as home:
        result = home.ok("start", "--tty=false", "template:default", timeout=COLD_S)
        assert "READY. Run `lima` to open the shell." in result.err
        yield home


def guest(home: Home, script: str) -> str:
    return home.ok("shell", "default", "sh", "-c", script).out.strip()


def test_it_is_debian_13(debian: Home) -> None:
    assert "Debian GNU/Linux 13 (trixie)" in guest(debian, ". /etc/os-release; echo $PRETTY_NAME")
    assert guest(debian, "uname -s") == "Linux"


def test_user_sudo_hostname_and_time_zone_come_from_the_seed(debian: Home) -> None:
    assert guest(debian, "id -un; id -u; pwd").split() == ["lima", "1000", "/home/lima.guest"]
    assert guest(debian, "sudo -n id -u") == "0"
    assert guest(debian, "hostname") == "lima-default"
    assert guest(debian, "getent hosts host.lima.internal").split()[0] == "192.168.5.2"


def test_the_file_system_fills_the_disk(debian: Home) -> None:
    blocks = int(guest(debian, "df -B1 --output=size / | tail -1"))
    assert blocks > 90 * 10**9


def test_the_host_key_is_the_one_of_the_seed(debian: Home) -> None:
    shown = guest(debian, "cut -d' ' -f1,2 /etc/ssh/ssh_host_ed25519_key.pub")
    assert shown in debian.read("default", "known_hosts")
    assert guest(debian, "ls /etc/ssh/ssh_host_*_key") == "/etc/ssh/ssh_host_ed25519_key"


def test_nothing_failed_in_the_guest(debian: Home) -> None:
    assert guest(debian, "systemctl --failed --no-legend | grep -v vsock || :") == ""


def test_the_kernel_has_9p_and_virtiofs(debian: Home) -> None:
    assert guest(
        debian, "sudo modprobe 9pnet_virtio && sudo modprobe virtiofs && grep -cE '9p|virtiofs' /proc/filesystems"
    )


def test_package_sources_hold_no_credentials_of_the_host(debian: Home) -> None:
    assert "@" not in guest(debian, "cat /etc/apt/sources.list.d/*")


def test_exit_status_flags_and_ten_megabytes_pass(debian: Home) -> None:
    assert debian.limactl("shell", "default", "sh", "-c", "exit 7").code == 7
    assert "coreutils" in debian.ok("shell", "default", "ls", "--help").out
    payload = os.urandom(10_000_000)
    assert debian.ok("shell", "default", "cat", stdin=payload).raw == payload


def test_stages_were_told_with_their_times(debian: Home) -> None:
    log = debian.read("default", "ha.stdout.log")
    for stage in ("kernel", "user", "network", "ssh"):
        assert f'"stage":"{stage}"' in log


def test_files_are_copied_in_out_and_within(debian: Home, tmp_path: pathlib.Path) -> None:
    payload = os.urandom(3_000_000)
    (tmp_path / "one").write_bytes(payload)
    (tmp_path / "two words").write_text("two")
    (tmp_path / "folder/sub").mkdir(parents=True)
    (tmp_path / "folder/sub/three").write_text("three")
    guest(debian, "mkdir -p in")
    here = str(tmp_path)
    for backend in (["--backend=scp"], []):
        debian.ok("copy", *backend, f"{here}/one", f"{here}/two words", "default:~/in/")
        debian.ok("cp", *backend, "-r", f"{here}/folder", "default:in/")
        assert guest(debian, "cd in; cat 'two words' folder/sub/three; stat -c %s one") == "twothree3000000"
        debian.ok("cp", *backend, "default:in/one", f"{here}/back")
        assert (tmp_path / "back").read_bytes() == payload
        guest(debian, "rm -r in/*")
    # between guests, by way of the host: here twice the same one
    debian.ok("cp", f"{here}/two words", "default:/tmp/from")
    debian.ok("cp", "default:/tmp/from", "default:/tmp/to")
    assert guest(debian, "cat /tmp/to") == "two"
    failed = debian.limactl("cp", "--backend=scp", "default:/nope", here)
    assert failed.code == 1
    assert "No such file" in failed.err


# --- other programs of the host --------------------------------------------------------------------------------------


def run_here(*argv: str, stdin: bytes = b"") -> bytes:
    done = subprocess.run(argv, input=stdin, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, f"{argv}: {done.stderr.decode()}"
    return done.stdout


def test_ssh_scp_and_sftp_need_nothing_but_the_configuration(debian: Home, tmp_path) -> None:
    config, host = debian.file("default", "ssh.config"), "lima-default"
    content = os.urandom(100_000)
    sent, back = str(tmp_path / "sent"), str(tmp_path / "back")
    with open(sent, "wb") as file:
        file.write(content)
    assert run_here("ssh", "-F", config, host, "uname", "-n").strip() == host.encode()
    run_here("scp", "-F", config, sent, f"{host}:/tmp/scp")
    run_here("sftp", "-F", config, "-b", "-", host, stdin=f"get /tmp/scp {back}\nput {sent} /tmp/sftp\n".encode())
    with open(back, "rb") as file:
        assert file.read() == content
    assert guest(debian, "cmp /tmp/scp /tmp/sftp && echo same") == "same"


def test_rsync_goes_through_the_same_configuration(debian: Home, tmp_path) -> None:
    program = shutil.which("rsync")
    if program is None:
        pytest.skip("no rsync on this host")
    config, host = debian.file("default", "ssh.config"), "lima-default"
    # a guest of few packages has no rsync: ours, with what it is linked to, does as well
    libraries = re.findall(r"=> (/\S+)", run_here("ldd", program).decode())
    run_here("ssh", "-F", config, host, "mkdir", "-p", "/tmp/rsync")
    wanted = [path for path in libraries if not re.search(r"/lib(c|m|dl|pthread|rt)\.so", path)]
    run_here("scp", "-F", config, program, *wanted, f"{host}:/tmp/rsync/")
    (tmp_path / "tree" / "deep").mkdir(parents=True)
    (tmp_path / "tree" / "deep" / "file").write_bytes(os.urandom(50_000))
    remote = "env LD_LIBRARY_PATH=/tmp/rsync /tmp/rsync/rsync"
    options = ("-a", "-e", f"ssh -F {config}", f"--rsync-path={remote}")
    run_here("rsync", *options, f"{tmp_path}/tree/", f"{host}:/tmp/tree/")
    run_here("rsync", *options, f"{host}:/tmp/tree/", f"{tmp_path}/back/")
    assert (tmp_path / "back/deep/file").read_bytes() == (tmp_path / "tree/deep/file").read_bytes()


def test_show_ssh_prints_a_command_that_works(debian: Home) -> None:
    shown = debian.ok("show-ssh", "default")
    assert "`limactl show-ssh` is deprecated. Instead, use `ssh -F " in shown.err
    assert run_here(*shlex.split(shown.out), "uname", "-n").strip() == b"lima-default"
    assert "Hostname=127.0.0.1\n" in debian.ok("show-ssh", "--format=options", "default").out


def test_a_tunnel_leads_into_the_guests_network(debian: Home) -> None:
    told = debian.ok("tunnel", "default").out
    port = int(re.search(r"socks5h://127\.0\.0\.1:(\d+)", told)[1])  # type: ignore[index]
    with socket.create_connection(("127.0.0.1", port), timeout=30) as peer:
        peer.sendall(b"\x05\x01\x00")
        assert peer.recv(2) == b"\x05\x00"
        name = b"lima-default"
        peer.sendall(b"\x05\x01\x00\x03" + bytes([len(name)]) + name + (22).to_bytes(2, "big"))
        assert peer.recv(10)[:2] == b"\x05\x00"
        assert peer.recv(99).startswith(b"SSH-2.0-")


def test_watch_tells_what_happened_and_what_happens(debian: Home) -> None:
    with debian.spawn("watch", "--json", "--history", "default") as watcher:
        assert watcher.stdout is not None
        try:
            told = [json.loads(line) for line in itertools.islice(watcher.stdout, 3)]
            os.kill(watcher.pid, signal.SIGINT)
            assert watcher.wait(30) == 130
        finally:
            watcher.kill()
    assert {event["instance"] for event in told} == {"default"}
    assert all(set(event["event"]) == {"time", "status"} for event in told)


def test_a_lost_login_is_made_again_without_the_user_noticing(debian: Home) -> None:
    config, host = debian.file("default", "ssh.config"), "lima-default"
    check = subprocess.run(["ssh", "-F", config, "-O", "check", host], capture_output=True, check=False)
    found = re.search(rb"pid=(\d+)", check.stderr)
    assert found, check.stderr
    os.kill(int(found[1]), signal.SIGKILL)
    assert guest(debian, "echo there") == "there"
    assert debian.status("default") == "Running"
    assert "errors" not in debian.record("default")


def test_another_host_key_is_refused_with_the_reason(debian: Home, tmp_path) -> None:
    with open(debian.file("default", "known_hosts"), encoding="ascii") as file:
        name, kind, _ = file.read().split()
    run_here("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key"))
    other = (tmp_path / "key.pub").read_text().split()[1]
    (tmp_path / "known_hosts").write_text(f"{name} {kind} {other}\n")
    argv = ("-o", f"UserKnownHostsFile={tmp_path}/known_hosts", "-o", "ControlPath=none", "-o", "ControlMaster=no")
    done = subprocess.run(
        ["ssh", "-F", debian.file("default", "ssh.config"), *argv, "lima-default", "true"],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 255
    assert b"Host key verification failed" in done.stderr


def test_a_reboot_inside_comes_back_ready(debian: Home) -> None:
    before = guest(debian, "cat /proc/sys/kernel/random/boot_id")
    debian.limactl("shell", "default", "sudo", "reboot")

    def rebooted() -> bool:
        now = debian.limactl("shell", "default", "cat", "/proc/sys/kernel/random/boot_id")
        return now.code == 0 and now.out.strip() != before

    wait_for(rebooted, seconds=180, what="the guest is back")
    wait_for(lambda: "errors" not in debian.record("default"), seconds=60, what="ready after the reboot")


@pytest.mark.e2e_all
def test_a_kernel_that_panics_boots_again(debian: Home) -> None:
    before = guest(debian, "cat /proc/sys/kernel/random/boot_id")
    debian.ok("shell", "default", "sudo", "sh", "-c", "(sleep 1; echo c >/proc/sysrq-trigger) >/dev/null 2>&1 &")

    def is_another() -> bool:
        # connections to a kernel that is gone are nobody's for a while
        with contextlib.suppress(AssertionError):
            now = debian.limactl("shell", "default", "cat", "/proc/sys/kernel/random/boot_id", timeout=10)
            return now.code == 0 and now.out.strip() != before
        return False

    wait_for(is_another, seconds=240, what="the guest is back")
    wait_for(lambda: "errors" not in debian.record("default"), seconds=60, what="ready after the panic")
    assert "Kernel panic" in debian.read("default", "serial.log")


def test_stop_edit_start_grows_the_disk_and_repeats_no_first_boot(debian: Home) -> None:
    made = guest(debian, "stat -c %Y /var/lib/lima/instance-id")
    debian.ok("stop", "default")
    assert (debian.status("default"), debian.processes("default")) == ("Stopped", [])
    with open(debian.file("default", "lima.yaml"), "a", encoding="utf-8") as file:
        file.write('\ndisk: "120GiB"\n')
    result = debian.ok("start", "default", timeout=COLD_S)
    assert "Resize instance default's disk from 100GiB to 120GiB" in result.err
    assert guest(debian, "stat -c %Y /var/lib/lima/instance-id") == made
    assert int(guest(debian, "df -B1 --output=size / | tail -1")) > 110 * 10**9
