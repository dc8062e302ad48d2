"""The tiny guest: everything about a healthy life, in seconds."""

import json
import os
import subprocess

import pytest

from tests.e2e.conftest import WARM_S, Home, is_alive, wait_for

pytestmark = [pytest.mark.guest, pytest.mark.needs_qemu]


def test_uname_comes_from_the_guest(tiny: Home) -> None:
    assert tiny.ok("shell", "tiny", "uname", "-n").out.strip() == "lima-tiny"


def test_exit_status_of_the_guest_command_passes_through(tiny: Home) -> None:
    assert tiny.limactl("shell", "tiny", "sh", "-c", "exit 7").code == 7


def test_flags_after_the_instance_reach_the_guest(tiny: Home) -> None:
    assert (
        "BusyBox"
        in tiny.limactl("shell", "tiny", "ls", "--help").err + tiny.limactl("shell", "tiny", "ls", "--help").out
    )


def test_ten_megabytes_through_cat_come_back_identical(tiny: Home) -> None:
    payload = os.urandom(10_000_000)
    result = tiny.ok("shell", "tiny", "cat", stdin=payload)
    assert result.raw == payload


def test_user_is_the_configured_one_and_may_become_root(tiny: Home) -> None:
    assert tiny.ok("shell", "tiny", "sudo", "id", "-u").out.strip() == "0"
    assert tiny.ok("shell", "tiny", "id", "-u").out.strip() == "1000"


def test_lima_wrapper_runs_in_the_instance_it_is_told(tiny: Home) -> None:
    program = "import sys; from lima.entrypoints.cli.main import lima; sys.exit(lima())"
    done = subprocess.run(
        [tiny.command()[0], "-c", program, "uname", "-n"],
        env=tiny.env(LIMA_INSTANCE="tiny"),
        capture_output=True,
        timeout=WARM_S,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.stdout.decode().strip() == "lima-tiny", done.stderr


def test_second_start_starts_no_process(tiny: Home) -> None:
    before = tiny.processes("tiny")
    result = tiny.ok("start", "tiny")
    assert "already running" in result.err
    assert tiny.processes("tiny") == before


def test_list_and_info_agree_with_the_machine(tiny: Home) -> None:
    record = tiny.record("tiny")
    assert record["status"] == "Running"
    assert record["hostAgentPID"] == tiny.pid("tiny", "ha.pid")
    assert record["driverPID"] == tiny.pid("tiny", "qemu.pid")
    assert record["sshLocalPort"] > 0
    assert json.loads(tiny.ok("info").out)["limaHome"] == tiny.path


def test_events_have_the_shape_of_the_reference(tiny: Home) -> None:
    events = [json.loads(line) for line in tiny.read("tiny", "ha.stdout.log").splitlines()]
    assert events
    assert all(set(event) == {"time", "status"} for event in events)
    running = [index for index, event in enumerate(events) if event["status"].get("running")]
    assert "sshLocalPort" in events[0]["status"]
    assert running
    assert not any(event["status"].get("exiting") for event in events)


def test_delete_of_a_running_instance_is_refused_without_force(tiny: Home) -> None:
    result = tiny.limactl("delete", "tiny")
    assert result.code == 1
    assert "expected status `Stopped`, got `Running`" in result.err
    assert tiny.status("tiny") == "Running"


def test_plain_ssh_with_the_written_configuration_works(tiny: Home) -> None:
    done = subprocess.run(
        ["ssh", "-F", tiny.file("tiny", "ssh.config"), "lima-tiny", "hostname"],
        capture_output=True,
        timeout=WARM_S,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.stdout.decode().strip() == "lima-tiny", done.stderr


def test_stop_start_stop_delete_leave_nothing_but_the_cache(home: Home) -> None:
    home.ok("start", "--tty=false", "--cpus=1", "template:tiny", timeout=WARM_S)
    refused = home.limactl("edit", "--cpus=2", "tiny")
    assert (refused.code, "cannot edit a running instance" in refused.err) == (1, True)
    home.ok("stop", "tiny")
    assert home.status("tiny") == "Stopped"
    assert home.processes("tiny") == []
    home.ok("edit", "--set", '.env.FRUIT = "apple"', "tiny")
    home.ok("start", "--cpus=2", "tiny")
    assert home.ok("shell", "tiny", "sh", "-c", "hostname; nproc").out.split() == ["lima-tiny", "2"]
    changed = json.loads(home.ok("diff", "--json", "tiny").out)
    assert {one["path"]: one["instance"] for one in changed["differences"]} == {"cpus": 2, "env": {"FRUIT": "apple"}}
    # booting again, it does not hear the first press of the power button; the grace is longer than this may take
    home.limactl("shell", "tiny", "sudo", "reboot")
    home.ok("stop", "tiny", timeout=WARM_S)
    home.ok("delete", "tiny")
    assert [name for name in os.listdir(home.path) if not name.startswith("_")] == []
    assert home.processes("tiny") == []


def test_templates_come_from_standard_input_and_from_the_web(home: Home) -> None:
    import functools
    import http.server
    import threading

    from tests.e2e.conftest import REPO

    folder = os.path.join(REPO, "templates")
    with open(os.path.join(folder, "tiny.yaml"), "rb") as file:
        home.ok("create", "--name=piped", "-", stdin=file.read())

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            return

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        home.ok("create", f"http://127.0.0.1:{server.server_address[1]}/tiny.yaml")
        server.shutdown()
    assert home.ok("list", "-q").out.split() == ["piped", "tiny"]


def test_foreground_is_a_host_agent_without_a_detour(home: Home) -> None:
    home.ok("create", "template:tiny")
    agent = home.spawn("start", "--foreground", "tiny")
    log = home.file("tiny", "ha.stdout.log")
    wait_for(
        lambda: os.path.exists(log) and '"running":true' in home.read("tiny", "ha.stdout.log"), seconds=60, what="ready"
    )
    assert home.pid("tiny", "ha.pid") == agent.pid
    home.ok("stop", "tiny")
    agent.communicate(timeout=30)
    assert agent.returncode == 0


def test_stop_by_force_and_delete_by_force(home: Home) -> None:
    home.ok("start", "--tty=false", "template:tiny", timeout=WARM_S)
    home.ok("stop", "-f", "tiny")
    assert (home.status("tiny"), home.processes("tiny")) == ("Stopped", [])
    home.ok("start", "tiny")
    home.ok("delete", "-f", "tiny")
    assert (os.path.exists(home.directory("tiny")), home.processes("tiny")) == (False, [])


def test_a_clone_is_another_machine_a_new_name_the_same_and_a_reset_one_as_new(home: Home) -> None:
    def read_disk(name: str) -> str:
        return home.ok("shell", name, "sudo", "head", "-c", "6", "/dev/vda").out

    home.ok("start", "--tty=false", "template:tiny", timeout=WARM_S)
    home.ok("shell", "tiny", "sudo", "sh", "-c", "(printf marker; head -c 3000000 /dev/urandom) >/dev/vda && sync")
    assert "cannot clone a running instance" in home.limactl("clone", "tiny", "two").err
    home.ok("stop", "tiny")
    home.ok("clone", "tiny", "two")
    # both stand on the disk as it was, and neither writes to it
    assert os.path.samefile(home.file("tiny", "disk.base-1"), home.file("two", "disk.base-1"))
    result = home.ok("rename", "--start", "two", "three", timeout=WARM_S)
    assert "READY. Run `limactl shell three` to open the shell." in result.err
    assert home.ok("list", "-q").out.split() == ["three", "tiny"]
    assert home.ok("shell", "three", "uname", "-n").out.strip() == "lima-three"
    assert read_disk("three") == "marker"
    keys = {home.read(name, "known_hosts").split()[-1] for name in ("tiny", "three")}
    assert len(keys) == 2
    # files go from guest to guest, each with its own key, and to neither where one is stopped
    assert "instance `tiny` is stopped" in home.limactl("copy", "three:/etc/passwd", "tiny:/tmp/").err
    home.ok("factory-reset", "three")
    assert (home.status("three"), home.processes("three")) == ("Stopped", [])
    home.ok("start", "three")
    assert read_disk("three") != "marker"


def test_poweroff_inside_ends_in_stopped_and_reboot_comes_back_ready(home: Home) -> None:
    home.ok("start", "--tty=false", "template:tiny", timeout=WARM_S)
    boot = home.ok("shell", "tiny", "cat", "/proc/sys/kernel/random/boot_id").out
    home.limactl("shell", "tiny", "sudo", "reboot")

    def rebooted() -> bool:
        now = home.limactl("shell", "tiny", "cat", "/proc/sys/kernel/random/boot_id")
        return now.code == 0 and now.out != boot

    wait_for(rebooted, seconds=60, what="another boot id after reboot")
    wait_for(lambda: not home.record("tiny").get("errors"), seconds=30, what="ready after reboot")
    agent = home.pid("tiny", "ha.pid")
    home.limactl("shell", "tiny", "sudo", "poweroff")
    wait_for(lambda: not is_alive(agent), seconds=60, what="the host agent ends with its guest")
    assert home.status("tiny") == "Stopped"
