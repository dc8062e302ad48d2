"""Guest scripts in a root file system of their own: what they write lies below `tmp_path`, commands that would reach for
a machine are stand-ins, and the shell and its tools are dash with GNU's or busybox.

A mount namespace and chroot do it, so that the scripts hold no word about tests. As an ordinary user the namespace is
one with all sub-ids.
"""

import os
import shutil
import subprocess
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
BOOT = os.path.join(REPO, "guest", "boot")
SEED = "mnt/lima-cidata"
ENTER = """\
root=$1
shift
mount --bind "$root" "$root"
mount --rbind /usr "$root/usr"
for device in null zero full random urandom tty; do
	mount --bind "/dev/$device" "$root/dev/$device"
done
mount --rbind /proc "$root/proc"
while [ "$1" != -- ]; do
	mount --bind "$1" "$root/$2"
	shift 2
done
shift
exec chroot "$root" "$@"
"""
NAMESPACE = ("unshare", "--mount", *(() if os.geteuid() == 0 else ("--map-root-user", "--map-auto")))
SHELLS = ("dash", "busybox")


def why_not() -> str:
    """Why no sandbox can be made here; empty where one can."""
    try:
        done = subprocess.run([*NAMESPACE, "true"], capture_output=True, text=True, check=False)
    except OSError as error:
        return str(error)
    return done.stderr.strip() if done.returncode else ""


@dataclass
class Finished:
    """How a command in the sandbox ended; `out` is standard output and error."""

    code: int
    out: str


@dataclass
class Sandbox:
    """A root of its own. Paths are relative to it."""

    root: str
    shell: str
    env: dict[str, str] = field(default_factory=dict)
    binds: dict[str, str] = field(default_factory=dict)
    """Files of this machine → where they are in the sandbox."""

    def path(self, path: str) -> str:
        return os.path.join(self.root, path)

    def write(self, path: str, text: str | bytes, *, mode: int = 0o644) -> None:
        os.makedirs(os.path.dirname(self.path(path)), exist_ok=True)
        with open(self.path(path), "wb") as file:
            file.write(text if isinstance(text, bytes) else textwrap.dedent(text).encode())
        os.chmod(self.path(path), mode)

    def read(self, path: str) -> str:
        with open(self.path(path), encoding="utf-8", errors="replace") as file:
            return file.read()

    def exists(self, path: str) -> bool:
        return os.path.lexists(self.path(path))

    def mode(self, path: str) -> int:
        return os.stat(self.path(path)).st_mode & 0o7777

    def stand_in(self, name: str, body: str = "") -> None:
        """A command that notes its arguments in `/calls` and then runs `body`."""
        note = f'printf "%s\\n" "{name} $*" >>/calls\n'
        self.write(f"stand-ins/{name}", "#!/bin/sh\n" + note + textwrap.dedent(body) + "\n", mode=0o755)

    def calls(self, *, of: str = "") -> list[str]:
        """What stand-ins were called with, in order."""
        lines = self.read("calls").splitlines() if self.exists("calls") else []
        return [line for line in lines if not of or line.split()[0] == of]

    def forget_calls(self) -> None:
        if self.exists("calls"):
            os.unlink(self.path("calls"))

    def seed(self, env: Mapping[str, object], *, param: Mapping[str, str] | None = None) -> None:
        """Write `lima.env` and `param.env`; a first word for all that tests do not name."""
        values = {"IID": "iid-test", "USER": "lima", "UID": "1000", "HOME": "/home/lima.guest"} | dict(env)
        values.setdefault("PASSWORDLESS_SUDO", "1")
        self.write(f"{SEED}/lima.env", "".join(f"LIMA_CIDATA_{key}={value}\n" for key, value in values.items()))
        self.write(f"{SEED}/param.env", "".join(f"PARAM_{key}={value}\n" for key, value in (param or {}).items()))

    def run(self, *argv: str, timeout: float = 60, **env: str) -> Finished:
        environment = {"PATH": self.search_path} | self.env | env
        done = subprocess.run(
            [
                *NAMESPACE, "sh", "-eu", "-c", ENTER, "enter", self.root,
                *(word for source, target in self.binds.items() for word in (source, target)), "--",
                "/usr/bin/env", "-i", *(f"{key}={value}" for key, value in environment.items()), *argv,
            ],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout, check=False,
        )  # fmt: skip
        return Finished(done.returncode, done.stdout.decode(errors="replace"))

    def script(self, name: str, **env: str) -> Finished:
        """A script of the seed with what `lima.env` and `param.env` say in its environment."""
        given = dict(
            line.split("=", 1)
            for file in ("lima.env", "param.env")
            for line in self.read(f"{SEED}/{file}").splitlines()
        )
        return self.run(f"/{SEED}/{name}", **(given | {"LIMA_CIDATA_MNT": f"/{SEED}"} | env))

    def boot(self) -> Finished:
        return self.run(f"/{SEED}/boot.sh", LIMA_CIDATA_MNT=f"/{SEED}")

    @property
    def search_path(self) -> str:
        tools = "/busybox:" if self.shell == "busybox" else ""
        return f"/{SEED}/util:/stand-ins:{tools}/usr/local/bin:/usr/sbin:/usr/bin"


@pytest.fixture(params=SHELLS)
def sandbox(request: pytest.FixtureRequest, tmp_path: object) -> Sandbox:
    return make_sandbox(str(tmp_path), request.param)


def make_sandbox(root: str, shell: str) -> Sandbox:
    binary = shutil.which(shell)
    if binary is None:
        pytest.skip(f"{shell} is not installed")
    if reason := why_not():
        pytest.skip(f"no namespace of our own: {reason}")
    for folder in (
        "bin",
        "dev",
        "etc",
        "home",
        "mnt",
        "proc",
        "root",
        "run",
        "stand-ins",
        "sys",
        "tmp",
        "usr",
        "var/lib",
    ):
        os.makedirs(os.path.join(root, folder))
    for name in ("lib", "lib64", "sbin"):
        if os.path.lexists(f"/{name}"):
            os.symlink(f"usr/{name}", os.path.join(root, name))
    shutil.copy(binary, os.path.join(root, "bin", "sh"))
    if shell == "busybox":
        os.makedirs(os.path.join(root, "busybox"))
        listed = subprocess.run([binary, "--list"], capture_output=True, text=True, check=True).stdout.split()
        for applet in listed:
            os.symlink("/usr/bin/busybox", os.path.join(root, "busybox", applet))
    for device in ("null", "zero", "full", "random", "urandom", "tty"):
        with open(os.path.join(root, "dev", device), "wb"):
            pass
    if os.path.isdir("/etc/alternatives"):
        shutil.copytree("/etc/alternatives", os.path.join(root, "etc", "alternatives"), symlinks=True)
    sandbox = Sandbox(root, shell)
    sandbox.write("etc/passwd", "root:x:0:0::/root:/bin/sh\nlima:x:1000:1000::/home/lima.guest:/bin/sh\n")
    sandbox.write("etc/group", "root:x:0:\nlima:x:1000:\n")
    sandbox.write("etc/hosts", "127.0.0.1\tlocalhost\n")
    shutil.copytree(BOOT, sandbox.path(SEED))
    for folder, _, files in os.walk(sandbox.path(SEED)):
        for name in files:
            if folder.endswith("/util") or name.endswith(".sh"):
                os.chmod(os.path.join(folder, name), 0o755)
    sandbox.write(f"{SEED}/user-data", "")
    sandbox.write(f"{SEED}/etc_environment", "#LIMA-START\n#LIMA-END\n")
    sandbox.seed({})
    return sandbox
