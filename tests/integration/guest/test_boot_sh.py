"""The dispatcher: order, logs, policies, what the host is told, and what survives a script that goes wrong."""

import json
import os
import shutil
import subprocess
import threading
import tty
from dataclasses import dataclass

import pytest
from tests.integration.guest.conftest import SEED, Sandbox

from lima.domain.guest_progress import StageState, parse_line

PORT = "dev/virtio-ports/io.lima-vm.progress.0"
PIPE = "run/lima/progress"
SUDO = """\
while :; do
	case "$1" in
	-u | -iu) shift 2 ;;
	-*) shift ;;
	*=*) export "$1"; shift ;;
	*) break ;;
	esac
done
exec "$@"
"""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line as it is on the wire."""

    stage: str
    state: str
    name: str
    code: int
    seconds: float
    tail: str
    log: str
    iid: str
    boot: str
    up: float


def parsed(data: bytes) -> list[Line]:
    """Lines that the host takes: it drops what it cannot read."""
    lines = data.splitlines()
    for line in lines:
        assert len(line) < 4096
        assert json.loads(line)["state"] not in list(StageState) or parse_line(line) is not None, line
    return [Line(**json.loads(line)) for line in lines]


class Port:
    """The host's end of the progress port, a terminal: as the real port, a character device that blocks when nobody reads."""

    def __init__(self, sandbox: Sandbox, *, is_read: bool = True) -> None:
        self._controller, self._terminal = os.openpty()
        tty.setraw(self._terminal)
        os.makedirs(sandbox.path("dev/virtio-ports"))
        sandbox.write(PORT, "")
        sandbox.binds[os.ttyname(self._terminal)] = PORT
        self._data = b""
        self._reader = threading.Thread(target=self._read)
        if is_read:
            self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                self._data += os.read(self._controller, 65536)
            except OSError:
                return

    def lines(self) -> list[Line]:
        """All that was written; nothing can be after this."""
        os.close(self._terminal)
        self._reader.join(timeout=10)
        os.close(self._controller)
        return parsed(self._data)


@pytest.fixture
def box(sandbox: Sandbox) -> Sandbox:
    """Without the boot scripts: those have tests of their own."""
    shutil.rmtree(sandbox.path(f"{SEED}/boot.Linux"))
    shutil.rmtree(sandbox.path(f"{SEED}/boot.essential.Linux"), ignore_errors=True)
    sandbox.stand_in("sudo", SUDO)
    return sandbox


def script(box: Sandbox, path: str, body: str) -> None:
    box.write(f"{SEED}/{path}", "#!/bin/sh\n" + body + "\n", mode=0o755)


def steps(lines: list[Line]) -> list[tuple[str, str]]:
    return [(line.name, str(line.state)) for line in lines if line.name]


def test_order_and_marker(box: Sandbox) -> None:
    port = Port(box)
    for path in (
        "boot.essential.Linux/00-a.sh", "boot.Linux/05-b.sh", "boot.Linux/30-install-packages.sh", "boot.Linux/40-c.sh",
        "provision.dependency/00000003", "provision.system/00000001", "provision.user/00000000",
    ):  # fmt: skip
        script(box, path, f"echo {path} >>/ran")
    box.write(f"{SEED}/provision.data/00000002", "payload\n")
    box.seed({"DATAFILE_00000002_PATH": "/etc/data/file", "DATAFILE_00000002_OWNER": "root:root",
              "DATAFILE_00000002_PERMISSIONS": "600", "DATAFILE_00000002_OVERWRITE": "true"})  # fmt: skip
    script(box, "provision.system/00000001", "cat /etc/data/file >>/ran")
    assert box.boot().code == 0
    assert box.read("ran").split() == [
        "boot.essential.Linux/00-a.sh", "boot.Linux/05-b.sh", "provision.dependency/00000003",
        "boot.Linux/30-install-packages.sh", "boot.Linux/40-c.sh", "payload", "provision.user/00000000",
    ]  # fmt: skip
    assert box.read("run/lima-boot-done") == "iid-test\n"
    assert box.mode("etc/data/file") == 0o600
    lines = port.lines()
    assert steps(lines)[:2] == [("00-a.sh", "start"), ("00-a.sh", "ok")]
    assert ("dependency/00000003", "ok") in steps(lines)
    assert (lines[-1].stage, lines[-1].state) == ("done", "ok")


def test_a_failing_step_is_told_with_its_last_lines_and_the_others_run(box: Sandbox) -> None:
    port = Port(box)
    script(box, "provision.system/00000000", "seq 1 30; printf '\"quoted\" \\033[31mred\\033[0m \\377\\n' >&2; exit 7")
    script(box, "provision.system/00000001", "touch /second")
    assert box.boot().code == 1
    assert box.exists("second")
    assert box.read("run/lima-boot-done") == "iid-test\n"
    failed = next(line for line in port.lines() if line.state == "failed")
    assert (failed.name, failed.code) == ("system/00000000", 7)
    assert failed.tail.endswith('"quoted" red ?')
    log = "var/log/lima/provision/system-00000000.log"
    assert box.read(log).startswith("1\n2\n")
    assert box.mode(log) == 0o600


def test_logs_are_of_the_last_run(box: Sandbox) -> None:
    script(box, "provision.system/00000000", "echo once; [ ! -e /again ] || echo again")
    box.boot()
    box.write("again", "")
    box.boot()
    assert box.read("var/log/lima/provision/system-00000000.log") == "once\nagain\n"


def test_steps_run_where_no_log_can_be_written(box: Sandbox) -> None:
    script(box, "provision.system/00000000", "echo said; touch /ran")
    os.makedirs(box.path("var/log/lima/provision/system-00000000.log"))
    assert box.boot().code == 0
    assert box.exists("ran")
    shutil.rmtree(box.path("var/log/lima"))
    box.write("var/log/lima", "in the way")
    assert box.boot().code == 0
    assert box.read("run/lima-log/provision/system-00000000.log") == "said\n"


def test_seconds_have_fractions(box: Sandbox) -> None:
    port = Port(box)
    script(box, "provision.system/00000000", "sleep 0.3")
    box.boot()
    took = next(line.seconds for line in port.lines() if line.name == "system/00000000" and line.state == "ok")
    assert 0.29 <= took < 10


def test_environment_is_data(box: Sandbox) -> None:
    box.seed({"COMMENT": "$(touch /injected) `touch /injected` 'x"}, param={"WORD": "a  b;touch /injected"})
    box.write(
        f"{SEED}/etc_environment",
        '#LIMA-START\nPLAIN_VALUE=two words\nQUOTED="in quotes"\nA-B=c\n1=2\nstatus=user\nname=mine\n#LIMA-END\n',
    )
    script(
        box,
        "provision.system/00000000",
        'printf "%s\\n" "$PARAM_WORD" "$PLAIN_VALUE" "$QUOTED" "$status" "$name" "$LIMA_CIDATA_COMMENT" >/seen',
    )
    assert box.boot().code == 0
    assert box.read("seen").splitlines() == [
        "a  b;touch /injected", "two words", "in quotes", "user", "mine", "$(touch /injected) `touch /injected` 'x",
    ]  # fmt: skip
    assert not box.exists("injected")


def test_user_steps_have_parameters_and_no_trace_of_them_stays(box: Sandbox) -> None:
    secret = 'it\'s $HOME `id` "2" \\'
    box.seed({}, param={"ONE": "1", "TWO": secret})
    box.write(f"{SEED}/etc_environment", "#LIMA-START\nGREETING=hello there\nHOME=/nowhere\n#LIMA-END\n")
    box.stand_in("sudo", 'echo "$@" >/sudo-arguments\n' + SUDO)
    script(
        box, "provision.user/00000004", 'printf "%s\\n" "$PARAM_ONE" "$PARAM_TWO" "$GREETING" "$XDG_RUNTIME_DIR" >/seen'
    )
    assert box.boot().code == 0
    assert box.read("seen").splitlines() == ["1", secret, "hello there", "/run/user/1000"]
    # what sudo is told, it writes into the log
    assert box.read("sudo-arguments").split()[:3] == ["-iu", "lima", "XDG_RUNTIME_DIR=/run/user/1000"]
    assert "PARAM" not in box.read("sudo-arguments")
    assert os.listdir(box.path("var/lib/lima-provision/user")) == []
    assert box.mode("run/user/1000") == 0o700


def test_plain_runs_what_plain_promises(box: Sandbox) -> None:
    box.seed({"PLAIN": "1"})
    for path in (
        "boot.essential.Linux/00-a.sh", "boot.Linux/05-b.sh", "boot.Linux/30-install-packages.sh",
        "provision.dependency/00000003", "provision.system/00000001", "provision.user/00000000",
    ):  # fmt: skip
        script(box, path, f"echo {path} >>/ran")
    assert box.boot().code == 0
    assert box.read("ran").split() == [
        "boot.essential.Linux/00-a.sh",
        "provision.system/00000001",
        "provision.user/00000000",
    ]


def test_the_tiny_guest_runs_the_users_steps_alone(box: Sandbox) -> None:
    for path in (
        "boot.essential.Linux/00-a.sh", "boot.Linux/05-b.sh", "boot.Linux/30-install-packages.sh",
        "provision.dependency/00000003", "provision.system/00000001", "provision.user/00000000",
    ):  # fmt: skip
        script(box, path, f"echo {path} >>/ran")
    assert box.run(f"/{SEED}/boot.sh", "provision", LIMA_CIDATA_MNT=f"/{SEED}").code == 0
    assert box.read("ran").split() == [
        "provision.dependency/00000003", "provision.system/00000001", "provision.user/00000000",
    ]  # fmt: skip
    assert box.read("run/lima-boot-done") == "iid-test\n"


def test_a_failed_dependency_is_told_to_the_package_script(box: Sandbox) -> None:
    script(box, "provision.dependency/00000000", "exit 3")
    script(box, "boot.Linux/30-install-packages.sh", 'echo "failed=$LIMA_DEPENDENCIES_FAILED" >/seen')
    assert box.boot().code == 1
    assert box.read("seen") == "failed=1\n"


def test_a_reboot_ends_the_boot_without_a_marker(box: Sandbox) -> None:
    script(box, "boot.Linux/00-reboot.sh", 'touch "$LIMA_REBOOT_REQUIRED"')
    script(box, "boot.Linux/10-after.sh", "touch /after")
    script(box, "provision.system/00000000", "touch /after")
    assert box.boot().code == 0
    assert not box.exists("after")
    assert not box.exists("run/lima-boot-done")
    os.unlink(box.path(f"{SEED}/boot.Linux/00-reboot.sh"))
    assert box.boot().code == 0
    assert box.exists("run/lima-boot-done")


# --- runPolicy --------------------------------------------------------------------------------------------------------


def boots(box: Sandbox, times: int = 1) -> str:
    """What the steps wrote to `/ran` in so many boots."""
    box.write("ran", "")
    for _ in range(times):
        box.boot()
    return box.read("ran")


def test_always_is_the_default(box: Sandbox) -> None:
    script(box, "provision.system/00000000", "echo x >>/ran")
    assert boots(box, 3) == "x\n" * 3


def test_once_runs_until_it_has_succeeded(box: Sandbox) -> None:
    port = Port(box)
    box.seed({"PROVISION_00000000_POLICY": "once"})
    script(box, "provision.system/00000000", "echo x >>/ran; [ -e /allowed ]")
    assert boots(box, 2) == "x\n" * 2
    box.write("allowed", "")
    assert boots(box, 3) == "x\n"
    assert steps(port.lines())[-1] == ("system/00000000", "skipped")


def test_once_follows_the_script_when_the_list_shifts(box: Sandbox) -> None:
    box.seed({"PROVISION_00000000_POLICY": "once"})
    script(box, "provision.system/00000000", "echo old >>/ran")
    assert boots(box) == "old\n"
    box.seed({"PROVISION_00000000_POLICY": "once", "PROVISION_00000001_POLICY": "once"})
    script(box, "provision.system/00000000", "echo new >>/ran")
    script(box, "provision.system/00000001", "echo old >>/ran")
    assert boots(box, 2) == "new\n"


def test_once_does_not_look_at_parameters_and_on_change_does(box: Sandbox) -> None:
    policies = {"PROVISION_00000000_POLICY": "once", "PROVISION_00000001_POLICY": "on-change"}
    script(box, "provision.system/00000000", "echo once >>/ran")
    script(box, "provision.system/00000001", 'echo "change $PARAM_A" >>/ran')
    box.seed(policies, param={"A": "1"})
    assert boots(box, 2) == "once\nchange 1\n"
    box.seed(policies, param={"A": "2"})
    assert boots(box, 2) == "change 2\n"
    box.seed(policies, param={"A": "1"})
    assert boots(box, 2) == "change 1\n"


def test_on_change_of_a_data_file_sees_its_path(box: Sandbox) -> None:
    box.write(f"{SEED}/provision.data/00000000", "text")

    def at(path: str) -> None:
        box.seed({"PROVISION_00000000_POLICY": "on-change", "DATAFILE_00000000_PATH": path,
                  "DATAFILE_00000000_OWNER": "root:root", "DATAFILE_00000000_PERMISSIONS": "644"})  # fmt: skip
        box.boot()

    at("/one")
    os.unlink(box.path("one"))
    at("/one")
    assert not box.exists("one")
    at("/two")
    assert box.read("two") == "text"


def test_a_state_that_cannot_be_read_lets_the_step_run(box: Sandbox) -> None:
    box.seed({"PROVISION_00000000_POLICY": "once"})
    script(box, "provision.system/00000000", "echo x >>/ran")
    box.stand_in("sha256sum", "exit 1")
    assert boots(box) == "x\n"


# --- data, yq, password -----------------------------------------------------------------------------------------------


def data_step(box: Sandbox, content: str, **more: str) -> None:
    box.write(f"{SEED}/provision.data/00000000", content)
    values = {"PATH": "/srv/file", "OWNER": "root:root", "PERMISSIONS": "640", "OVERWRITE": "true"} | more
    box.seed({f"DATAFILE_00000000_{key}": value for key, value in values.items()})


def test_data_is_not_overwritten_where_it_says_so(box: Sandbox) -> None:
    data_step(box, "first", OVERWRITE="false")
    box.boot()
    data_step(box, "second", OVERWRITE="false")
    assert box.boot().code == 0
    assert box.read("srv/file") == "first"
    data_step(box, "third")
    box.boot()
    assert (box.read("srv/file"), box.mode("srv/file")) == ("third", 0o640)
    assert os.listdir(box.path("srv")) == ["file"]


def test_data_follows_a_link_and_refuses_a_folder(box: Sandbox) -> None:
    box.write("srv/real", "")
    os.symlink("real", box.path("srv/file"))
    data_step(box, "through")
    box.boot()
    assert box.read("srv/real") == "through"
    os.makedirs(box.path("srv/folder"))
    data_step(box, "x", PATH="/srv/folder")
    assert box.boot().code == 1
    assert os.listdir(box.path("srv/folder")) == []


def test_data_whose_owner_does_not_exist_fails_and_leaves_the_file_alone(box: Sandbox) -> None:
    box.write("srv/file", "old")
    data_step(box, "new", OWNER="nobody-here:nobody-here")
    assert box.boot().code == 1
    assert box.read("srv/file") == "old"


def answer(box: Sandbox, text: str) -> "subprocess.Popen[bytes]":
    """A host agent that answers the first question."""
    pipe = box.path("run/lima-yq/00000005")
    return subprocess.Popen(["sh", "-c", f"until [ -p {pipe} ]; do :; done; printf %s '{text}' >{pipe}"])


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [("ok\\n", 0, ""), ("ok", 0, ""), ("failed bad expression\\n", 1, "bad expression"), ("nonsense\\n", 1, "did not")],
)
def test_yq_asks_the_host_and_waits_for_its_word(box: Sandbox, text: str, code: int, said: str) -> None:
    port = Port(box)
    box.write(f"{SEED}/provision.yq/00000005", ".a = 1")
    with answer(box, text.replace("\\n", "\n")):
        assert box.boot().code == code
    states = [line for line in port.lines() if line.name == "yq/00000005"]
    assert [str(line.state) for line in states] == ["start", "asks", "failed" if code else "ok"]
    assert said in states[-1].tail
    assert os.listdir(box.path("run/lima-yq")) == []
    assert box.mode("run/lima-yq") == 0o700


def test_yq_without_a_host_agent_fails_at_its_deadline(box: Sandbox) -> None:
    box.write(f"{SEED}/provision.yq/00000005", ".a = 1")
    box.env["LIMA_YQ_DEADLINE"] = "1"
    assert box.boot().code == 1
    assert box.read("var/log/lima/provision/yq-00000005.log") == "the host agent did not answer\n"


def test_a_password_is_made_once_where_sudo_asks_for_one(box: Sandbox) -> None:
    box.seed({"PASSWORDLESS_SUDO": "", "PLAIN": "1"})
    os.makedirs(box.path("home/lima.guest"))
    box.stand_in("chpasswd", "cat >>/chpasswd-input")
    assert box.boot().code == 0
    password = box.read("home/lima.guest/password").strip()
    assert len(password) == 16
    assert int(password, 16) >= 0
    assert box.mode("home/lima.guest/password") == 0o600
    box.boot()
    assert box.read("chpasswd-input") == f"lima:{password}\n"
    assert password not in box.read("calls")


# --- a host that does not listen ----------------------------------------------------------------------------------------


def test_failing_steps_do_not_stand_still_without_a_listener(box: Sandbox) -> None:
    """What they say is more than a pipe and the port hold."""
    Port(box, is_read=False)
    for index in range(40):
        script(box, f"provision.system/{index:08d}", "head -c 1900 /dev/zero | tr '\\0' x; exit 1")
    assert box.boot().code == 1
    assert box.read("run/lima-boot-done") == "iid-test\n"
    assert not box.exists(PIPE)


def test_scripts_may_tell_the_host_too_and_what_they_leave_running_holds_nothing_up(box: Sandbox) -> None:
    port = Port(box)
    script(box, "provision.system/00000000", "lima-progress provision asks from-within; (sleep 60 &)")
    assert box.boot().code == 0
    assert not box.exists(PIPE)
    assert [line.state for line in port.lines() if line.name] == ["start", "asks", "ok"]


def test_a_pipe_that_a_killed_boot_left_behind_is_no_obstacle(box: Sandbox) -> None:
    os.makedirs(box.path("run/lima"))
    os.mkfifo(box.path(PIPE))
    port = Port(box)
    script(box, "provision.system/00000000", "true")
    assert box.boot().code == 0
    assert [line.state for line in port.lines() if line.name] == ["start", "ok"]
