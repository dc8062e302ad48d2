"""Bad input: exit 1, one line that says what is wrong and one hint, and nothing left behind."""

import http.server
import os
import re
import shutil
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import COLD_S, WARM_S, Home, Result, fresh_home, wait_for

pytestmark = [pytest.mark.guest, pytest.mark.needs_qemu]


def left_behind(home: Home) -> list[str]:
    """Instances, half-made ones, journal entries, processes."""
    found = [name for name in os.listdir(home.path) if not name.startswith("_")]
    journal = os.path.join(home.path, "_journal")
    found += os.listdir(journal) if os.path.isdir(journal) else []
    return found


def assert_clear_error(result: Result, message: str, *, hint: str = "hint=") -> None:
    fatal = [line for line in result.err.splitlines() if "level=fatal" in line]
    assert result.code == 1, result
    assert len(fatal) == 1, result
    assert re.search(message, fatal[0]), result
    assert hint in fatal[0], result
    assert "Traceback" not in result.err, result


def template(home: Home, text: str, name: str = "bad.yaml") -> str:
    folder = os.path.join(home.path, "_files")
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def image_template(home: Home, location: str, digest: str = "") -> str:
    lines = [f"images:\n- location: {location}\n  arch: x86_64\n", "disk: 1GiB\n"]
    if digest:
        lines.insert(1, f"  digest: {digest}\n")
    return template(home, "".join(lines))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("start", "template:nosuch"), "template `nosuch.yaml` not found"),
        (("create", "--name=bad_", "template:tiny"), "is not a valid identifier"),
        (("create", "--name=a.yaml", "template:tiny"), "must not end with .yml or .yaml suffix"),
        (("create", f"--name={'x' * 76}", "template:tiny"), "too long: .* must be less than UNIX_PATH_MAX=108"),
        (("start", "./nosuch.yaml"), "no such file or directory"),
        (("start", "http://127.0.0.1:1/x.yaml"), "127.0.0.1"),
    ],
)
def test_names_and_locators(home: Home, words: tuple[str, ...], message: str) -> None:
    assert_clear_error(home.limactl(*words), message, hint="")
    assert left_behind(home) == []


def test_all_problems_of_a_template_come_at_once(home: Home) -> None:
    path = template(home, "arch: z80\ncpus: -1\nimages: []\nmounts:\n- location: x\n")
    result = home.limactl("create", path)
    assert result.code == 1
    for problem in ("arch", "cpus", "mounts"):
        assert problem in result.err
    assert left_behind(home) == []


def test_missing_image(home: Home) -> None:
    result = home.limactl("create", image_template(home, "/nosuch/disk.qcow2"))
    assert_clear_error(result, "/nosuch/disk.qcow2` cannot be read: No such file")
    assert left_behind(home) == []


def test_wrong_digest(home: Home) -> None:
    disk = os.path.join(home.path, "_files-disk.raw")
    with open(disk, "wb") as file:
        file.truncate(1 << 20)
    result = home.limactl("create", image_template(home, disk, "sha256:" + "0" * 64))
    assert_clear_error(result, "expected digest `sha256:0000.*, got `sha256:")
    assert left_behind(home) == []


def test_image_with_a_backing_file(home: Home) -> None:
    disk = os.path.join(home.path, "_evil.qcow2")
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-u", "-F", "raw", "-b", "/etc/passwd", disk, "1M"], check=True
    )
    result = home.limactl("create", image_template(home, disk))
    assert_clear_error(result, "the image has a backing file")
    assert left_behind(home) == []


def test_image_with_a_data_file(home: Home) -> None:
    disk = os.path.join(home.path, "_evil.qcow2")
    header = b"QFI\xfb" + struct.pack(">IQIIQ", 3, 0, 0, 16, 1 << 20) + bytes(40) + struct.pack(">Q", 4) + bytes(24)
    with open(disk, "wb") as file:
        file.write(header.ljust(4096, b"\0"))
    result = home.limactl("create", image_template(home, disk))
    assert_clear_error(result, "keeps its data in another file")
    assert left_behind(home) == []


class _Cut(http.server.BaseHTTPRequestHandler):
    """Promises a megabyte and sends ten bytes."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(1 << 20))
        self.end_headers()
        self.wfile.write(b"0123456789")

    def log_message(self, *args: object) -> None:
        return


@pytest.fixture
def cut_server() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Cut)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_download_that_is_cut_off_is_never_taken_for_whole(home: Home, cut_server: str) -> None:
    for _ in range(2):
        result = home.limactl("create", image_template(home, f"{cut_server}/disk.qcow2"))
        assert_clear_error(result, "cannot fetch|is cut off")
        assert left_behind(home) == []


def test_disk_of_the_host_full(home: Home) -> None:
    small = os.path.join(home.path, "_small")
    os.mkdir(small)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", small], check=False)
    if done.returncode != 0:
        pytest.skip("mounting a tmpfs needs root")
    try:
        result = home.limactl("start", "template:tiny", env={"XDG_CACHE_HOME": small}, timeout=COLD_S)
        assert_clear_error(result, "[Nn]o space left")
        assert left_behind(home) == []
    finally:
        subprocess.run(["umount", small], check=True)


def test_port_taken(home: Home) -> None:
    home.ok("create", "template:tiny", timeout=COLD_S)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with open(home.file("tiny", "lima.yaml"), "a", encoding="utf-8") as file:
            file.write(f"\nssh:\n  localPort: {port}\n")
        result = home.limactl("start", "tiny")
        assert_clear_error(result, f"host port {port} is taken by another process")
        assert (home.status("tiny"), home.processes("tiny")) == ("Stopped", [])
    home.ok("start", "tiny")
    assert home.record("tiny")["sshLocalPort"] == port


def test_emulator_missing(home: Home) -> None:
    folder = os.path.join(home.path, "_bin")
    os.mkdir(folder)
    for program in ("sh", "ssh", "ssh-keygen", "apt-get", "dpkg-deb", "apt-config", "apt-cache", "qemu-img"):
        if found := shutil.which(program):
            os.symlink(found, os.path.join(folder, program))
    result = home.limactl("start", "template:tiny", env={"PATH": folder})
    assert_clear_error(result, "`qemu-system-x86_64` is not installed")
    assert "limactl doctor" in result.err
    assert left_behind(home) == []


def test_emulator_that_dies_at_once_shows_its_last_lines(home: Home) -> None:
    home.ok("create", "template:tiny", timeout=COLD_S)
    result = home.limactl("start", "tiny", env={"QEMU_SYSTEM_X86_64": "qemu-system-x86_64 -device nonsense-device"})
    assert_clear_error(result, "QEMU ended at once with exit code 1")
    assert "nonsense-device" in result.err
    assert (home.status("tiny"), home.processes("tiny")) == ("Stopped", [])
    assert not [name for name in os.listdir(home.directory("tiny")) if name.endswith((".pid", ".sock"))]


def test_disk_that_fills_while_the_guest_runs_is_reported() -> None:
    with fresh_home() as home:
        small = os.path.join(home.path, "_small")
        os.mkdir(small)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", small], check=False)
        if done.returncode != 0:
            pytest.skip("mounting a tmpfs needs root")
        inner = Home(small, home.extra_env)
        writer = None
        try:
            inner.ok("create", "template:tiny", timeout=COLD_S)
            with open(inner.file("tiny", "lima.yaml"), "a", encoding="utf-8") as file:
                file.write("\ndisk: 1GiB\n")
            text = inner.read("tiny", "lima.yaml").replace("disk: 64MiB", "").replace('disk: "64MiB"', "")
            with open(inner.file("tiny", "lima.yaml"), "w", encoding="utf-8") as file:
                file.write(text)
            inner.ok("start", "tiny")
            writer = inner.spawn("shell", "tiny", "sudo", "dd", "if=/dev/urandom", "of=/dev/vda", "bs=1M", "count=200")
            reason = "the disk of this host is full"
            wait_for(lambda: reason in " ".join(inner.record("tiny").get("errors", [])), seconds=60, what=reason)
            assert reason in inner.read("tiny", "ha.stderr.log")
            assert inner.status("tiny") == "Running"
        finally:
            inner.limactl("stop", "-f", "tiny")
            if writer is not None:
                writer.kill()
                writer.communicate()
            subprocess.run(["umount", "-l", small], check=True)


def test_ctrl_c_sigterm_and_sighup_before_ready_stop_what_was_started(home: Home) -> None:
    import signal

    home.ok("create", "template:tiny", timeout=COLD_S)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        start = home.spawn("start", "--tty=false", "tiny")
        wait_for(lambda: os.path.exists(home.file("tiny", "qemu.pid")), seconds=30, what="QEMU runs")
        start.send_signal(number)
        _, err = start.communicate(timeout=WARM_S)
        assert start.returncode == 128 + number, err
        assert (home.status("tiny"), home.processes("tiny")) == ("Stopped", [])
        assert os.path.exists(home.file("tiny", "lima.yaml"))


def test_a_terminal_that_closes_after_ready_touches_nothing(home: Home) -> None:
    import signal

    start = home.spawn("start", "--tty=false", "template:tiny")
    start.communicate(timeout=COLD_S)
    with pytest.raises(ProcessLookupError):
        os.killpg(start.pid, signal.SIGHUP)
    assert home.status("tiny") == "Running"
    assert home.ok("shell", "tiny", "hostname").out.strip() == "lima-tiny"


def test_timeout_leaves_the_guest_up_and_list_says_why(home: Home) -> None:
    home.ok("create", "template:tiny", timeout=COLD_S)
    result = home.limactl("start", "--timeout=1s", "tiny")
    assert_clear_error(result, "did not receive an event with the `running` status")
    record = home.record("tiny")
    assert record["status"] == "Running"
    assert "not ready yet: waiting for ssh" in " ".join(record["errors"])
    home.ok("start", "tiny")
    assert "errors" not in home.record("tiny")
