"""The wrapper scripts and plugins, run by a shell as users run them, with the real `limactl` on the PATH.

Source: reference, cli §15.1 and §17.
"""

import contextlib
import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
from tests.fleet import running

REPO = pathlib.Path(__file__).parents[2]
TEMPLATE = "images:\n- location: /x.raw\n  arch: x86_64\n"
ECHO = """#!/bin/sh
echo "NAME $*"
for each in LIMA_INSTANCE DOCKER_HOST CONTAINER_HOST KUBECONFIG; do
	eval "value=\\${$each:-}"
	[ -z "$value" ] || echo "$each=$value"
done
exit 9
"""


class Wrappers:
    """A user's PATH: limactl, the wrappers, and programs that say how they were called."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.lima_home = str(folder / "l")
        self.program("limactl", f'#!/bin/sh\nexec "{sys.executable}" -m lima "$@"\n')
        self.program("lima", ECHO.replace("NAME", "lima"))
        for tool in ("sh", "env"):
            (self.bin / tool).symlink_to(f"/bin/{tool}" if tool == "sh" else "/usr/bin/env")

    def program(self, name: str, text: str) -> None:
        path = self.bin / name
        path.write_text(text)
        path.chmod(0o755)

    def instance(self, name: str) -> None:
        os.makedirs(f"{self.lima_home}/{name}")
        pathlib.Path(self.lima_home, name, "lima.yaml").write_text(TEMPLATE)

    def run(self, wrapper: str, *words: str, **env: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [str(REPO / "wrappers" / wrapper), *words],
            env={"PATH": str(self.bin), "PYTHONPATH": str(REPO / "src"), "LIMA_HOME": self.lima_home, "HOME": "/home/jane"}
            | env,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    @contextlib.contextmanager
    def running(self, name: str) -> Iterator[None]:
        self.instance(name)
        with running(self.lima_home, (name,)):
            yield


@pytest.fixture
def wrappers(tmp_path: pathlib.Path) -> Wrappers:
    return Wrappers(tmp_path)


@pytest.mark.parametrize("name", ["docker", "podman", "apptainer"])
def test_an_instance_that_is_missing_or_stopped_is_told_with_the_command(wrappers: Wrappers, name: str) -> None:
    code, out, err = wrappers.run(f"{name}.lima", "ps")
    assert (code, out) == (1, "")
    assert err == (
        f'instance "{name}" does not exist, run `limactl create --name={name} template:{name}` to create a new instance\n'
    )
    wrappers.instance("box")
    code, out, err = wrappers.run(f"{name}.lima", "ps", LIMA_INSTANCE="box")
    assert (code, out) == (1, "")
    assert err == 'instance "box" is not running, run `limactl start box` to start the existing instance\n'


@pytest.mark.parametrize(
    ("name", "variable", "socket", "host_words"),
    [("docker", "DOCKER_HOST", "docker.sock", ""), ("podman", "CONTAINER_HOST", "podman.sock", "--remote ")],
)
def test_the_hosts_program_is_used_over_the_instances_socket_else_the_guests(
    wrappers: Wrappers, name: str, variable: str, socket: str, host_words: str
) -> None:
    with wrappers.running(name):
        assert wrappers.run(f"{name}.lima", "run", "a b") == (9, f"lima {name} run a b\nLIMA_INSTANCE={name}\n", "")
        wrappers.program(name, ECHO.replace("NAME", name))
        address = f"{variable}=unix://{wrappers.lima_home}/{name}/sock/{socket}\n"
        code, out, _ = wrappers.run(f"{name}.lima", "ps", "-a")
        assert (code, out) == (9, f"{name} {host_words}ps -a\nLIMA_INSTANCE={name}\n{address}")
        wrappers.program("other", ECHO.replace("NAME", "other"))
        assert wrappers.run(f"{name}.lima", "ps", **{name.upper(): "other"})[1].startswith(f"other {host_words}ps\n")


def test_apptainer_sees_the_home_and_what_else_it_was_told(wrappers: Wrappers) -> None:
    with wrappers.running("apptainer"):
        code, out, _ = wrappers.run("apptainer.lima", "exec", APPTAINER_BINDPATH="/data")
    assert (code, out.splitlines()[0]) == (9, "lima APPTAINER_BINDPATH=/data,/home/jane apptainer exec")


def test_kubectl_takes_the_instance_that_there_is(wrappers: Wrappers) -> None:
    code, out, err = wrappers.run("kubectl.lima", "get", "pods")
    assert (code, out, len(err.splitlines())) == (1, "", 4)
    code, _, err = wrappers.run("kubectl.lima", "get", LIMA_INSTANCE="box")
    assert (code, err) == (
        1,
        'instance "box" does not exist, run `limactl create --name=box` to create a new instance\n',
    )
    wrappers.instance("k8s")
    code, _, err = wrappers.run("kubectl.lima", "get")
    assert (code, err) == (1, 'instance "k8s" is not running, run `limactl start k8s` to start the existing instance\n')
    with wrappers.running("k3s"):
        assert wrappers.run("kubectl.lima", "get")[1] == "lima sudo kubectl get\nLIMA_INSTANCE=k3s\n"
        wrappers.program("kubectl", ECHO.replace("NAME", "kubectl"))
        config = f"KUBECONFIG={wrappers.lima_home}/k3s/copied-from-guest/kubeconfig.yaml\n"
        assert wrappers.run("kubectl.lima", "get")[1] == f"kubectl get\nLIMA_INSTANCE=k3s\n{config}"


def test_nerdctl_is_a_shell_with_the_environment(wrappers: Wrappers) -> None:
    wrappers.program("limactl", ECHO.replace("NAME", "limactl"))
    assert wrappers.run("nerdctl.lima", "ps")[1] == "limactl shell --preserve-env default nerdctl ps\n"
    assert wrappers.run("nerdctl.lima", "ps", LIMA_INSTANCE="box")[1].startswith(
        "limactl shell --preserve-env box nerdctl ps\n"
    )


# --- plugins ---------------------------------------------------------------------------------------------------------


def limactl(wrappers: Wrappers, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["limactl", *words],
        env={"PATH": f"{wrappers.bin}:/usr/bin:/bin", "PYTHONPATH": str(REPO / "src"), "LIMA_HOME": wrappers.lima_home},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
        executable=str(wrappers.bin / "limactl"),
    )  # fmt: skip


def test_a_plugin_gets_its_words_as_they_were_typed_and_its_status_is_ours(wrappers: Wrappers) -> None:
    wrappers.program(
        "limactl-hello", "#!/bin/sh\n# <limactl-desc> greets </limactl-desc>\nprintf '%s|' \"$@\"\nexit 7\n"
    )
    done = limactl(wrappers, "--log-level", "debug", "--tty=false", "hello", "-h", "--debug", "--", "a b", "")
    assert (done.returncode, done.stdout, done.stderr) == (7, "-h|--debug|--|a b||", "")
    assert re.search(r"\n  hello +greets\n", limactl(wrappers, "--help").stdout)
    assert "Available Plugins (Experimental):" in limactl(wrappers).stdout


def test_the_path_of_a_plugin_has_every_plugin_on_it(wrappers: Wrappers) -> None:
    wrappers.program("limactl-where", '#!/bin/sh\necho "$PATH"\n')
    path = limactl(wrappers, "where").stdout.strip().split(":")
    assert str(wrappers.bin) in path
    assert path[-1] != ""
    assert all(os.path.isabs(folder) for folder in path)


def test_a_command_of_ours_is_never_a_plugin(wrappers: Wrappers) -> None:
    for name in ("list", "ls", "yq"):
        wrappers.program(f"limactl-{name}", "#!/bin/sh\necho plugin\n")
    assert limactl(wrappers, "ls", "-q").stdout == ""
    assert limactl(wrappers, "list", "-q").stdout == ""
    assert "plugin" not in limactl(wrappers, "yq", "-n", "1").stdout


def test_what_only_translates_locators_is_not_shown(wrappers: Wrappers) -> None:
    wrappers.program("limactl-url-x", "#!/bin/sh\necho template:default\n")
    assert "url-x" not in limactl(wrappers, "--help").stdout


def test_a_plugin_that_cannot_be_run_is_named(wrappers: Wrappers) -> None:
    wrappers.program("limactl-bad", "#!/nonexistent/program\n")
    done = limactl(wrappers, "bad")
    assert done.returncode == 1
    assert f"external command `{wrappers.bin}/limactl-bad` failed: No such file or directory" in done.stderr
    (wrappers.bin / "limactl-plain").write_text("no program\n")
    assert 'unknown command \\"plain\\" for \\"limactl\\"' in limactl(wrappers, "plain").stderr
