"""Upstream's host agents beside ours, and a host that was booted again."""

import contextlib
import http.server
import os
import shutil
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import COLD_S, Home, is_alive, wait_for

pytestmark = [pytest.mark.guest, pytest.mark.needs_qemu]

STAND_IN = """
import http.server, os, socketserver, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b'{"sshLocalPort":60022}'
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def address_string(self): return "unix"
    def log_message(self, *args): pass
class Server(socketserver.ThreadingUnixStreamServer): pass
Server(sys.argv[sys.argv.index("--socket") + 1], Answer).serve_forever()
"""


@contextlib.contextmanager
def upstream_agent(home: Home, name: str) -> Iterator[tuple[int, int]]:
    """A process named `limactl hostagent` that holds no lock and answers, with a driver of its own: a stand-in."""
    folder = os.path.join(home.path, "_stand-in")
    os.makedirs(folder, exist_ok=True)
    script = os.path.join(folder, "limactl")
    with open(script, "w", encoding="utf-8") as file:
        file.write(STAND_IN)
    directory = home.directory(name)
    agent = subprocess.Popen(
        [
            sys.executable,
            script,
            "hostagent",
            "--pidfile",
            f"{directory}/ha.pid",
            "--socket",
            f"{directory}/ha.sock",
            name,
        ]
    )
    driver = subprocess.Popen(
        [
            "qemu-system-x86_64",
            "-M",
            "none",
            "-nodefaults",
            "-display",
            "none",
            "-S",
            "-pidfile",
            f"{directory}/qemu.pid",
        ]
    )
    try:
        with open(f"{directory}/ha.pid", "w", encoding="ascii") as file:
            file.write(f"{agent.pid}\n")
        wait_for(lambda: os.path.exists(f"{directory}/ha.sock"), seconds=10, what="the stand-in listens")
        wait_for(lambda: home.pid(name, "qemu.pid"), seconds=10, what="the stand-in's driver")
        yield agent.pid, driver.pid
    finally:
        for process in (agent, driver):
            process.kill()
            process.wait()


def test_upstreams_agent_is_shown_running_and_left_in_peace(home: Home) -> None:
    home.ok("create", "template:tiny", timeout=COLD_S)
    with upstream_agent(home, "tiny") as (agent, driver):
        record = home.record("tiny")
        assert (record["status"], record["sshLocalPort"]) == ("Running", 60022)
        result = home.ok("start", "tiny")
        assert "already running" in result.err
        assert home.limactl("delete", "tiny").code == 1
        assert is_alive(agent)
        assert is_alive(driver)


def test_processes_of_before_the_hosts_last_boot_are_not_ours(home: Home) -> None:
    """Another boot id, by a bind mount in a mount namespace of its own: recorded identities no longer count."""
    if shutil.which("unshare") is None or os.geteuid() != 0:
        pytest.skip("a mount namespace needs root")
    home.ok("create", "template:tiny", timeout=COLD_S)
    fake = os.path.join(home.path, "_boot_id")
    with open(fake, "w", encoding="ascii") as file:
        file.write("11111111-2222-3333-4444-555555555555\n")
    with subprocess.Popen(["sleep", "600"], stdin=subprocess.DEVNULL) as stranger:
        try:
            identity = [sys.executable, "-c", (
                "from lima.adapters.system.processes import SystemProcessTable as T;"
                "from lima.adapters.filesystem.instances import FilesystemInstanceStore as S;"
                f"t=T(); s=S({home.path!r}, t); i=t.identify({stranger.pid});"
                "s.record_process('tiny','ha.facts.json',i); s.record_process('tiny','driver.facts.json',i)"
            )]  # fmt: skip
            subprocess.run(identity, env=home.env(), check=True)
            for file_name in ("ha.pid", "qemu.pid"):
                with open(home.file("tiny", file_name), "w", encoding="ascii") as file:
                    file.write(f"{stranger.pid}\n")
            bind = f'mount --bind {fake} /proc/sys/kernel/random/boot_id && exec "$@"'
            for words in (("list",), ("stop", "-f", "tiny"), ("delete", "-f", "tiny")):
                done = subprocess.run(
                    ["unshare", "-m", "sh", "-c", bind, "sh", *home.command(*words)],
                    env=home.env(), capture_output=True, timeout=60, check=False,
                )  # fmt: skip
                assert done.returncode == 0, done.stderr
                assert stranger.poll() is None
        finally:
            stranger.kill()


def test_an_agent_that_hangs_costs_a_list_a_second(home: Home) -> None:
    home.ok("create", "template:tiny", timeout=COLD_S)

    class Deaf(http.server.BaseHTTPRequestHandler):
        def handle(self) -> None:
            time.sleep(30)

    class Server(socketserver.ThreadingUnixStreamServer):
        daemon_threads = True

    with upstream_agent(home, "tiny"):
        os.unlink(home.file("tiny", "ha.sock"))
        with Server(home.file("tiny", "ha.sock"), Deaf) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            record = home.record("tiny")
            assert record["status"] == "Broken"
            assert "does not answer on `ha.sock`" in " ".join(record["errors"])
            server.shutdown()
