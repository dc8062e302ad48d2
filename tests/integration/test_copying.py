"""`limactl copy`: what the program that copies is given, that its words and status are ours, and real copies over ssh."""

import asyncio
import getpass
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable

import pytest
from tests.fleet import make_instances, running
from tests.ssh_server import LOOPBACK, running_sshd

SRC = str(pathlib.Path(__file__).parents[2] / "src")
TEMPLATE = "images:\n- location: /x.raw\n  arch: x86_64\n"
SCP = '#!/bin/sh\necho "scp $*"\ncat "$2"\ncat\necho complaint >&2\nexit 5\n'
Copy = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def lima_home(tmp_path: pathlib.Path) -> str:
    home = str(tmp_path / "l")
    for name in make_instances(home, 2, TEMPLATE):
        pathlib.Path(home, name, "ssh.config").write_text(f"Host lima-{name}\n  Port 1\n")
    return home


@pytest.fixture
def copy(tmp_path: pathlib.Path, lima_home: str) -> Copy:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/scp").write_text(SCP)
    (tmp_path / "bin/scp").chmod(0o755)

    def run(*words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "lima", "copy", "--backend=scp", *words],
            env={**os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "PYTHONPATH": SRC, "LIMA_HOME": lima_home},
            input="typed\n", capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    return run


def test_one_instance_is_reached_by_its_own_configuration(copy: Copy, lima_home: str) -> None:
    with running(lima_home, ("i0000", "i0001")):
        done = copy("-r", "a b", "i0000:~/x")
    config = f"{lima_home}/i0000/ssh.config"
    assert done.stdout == f"scp -F {config} -q -r -3 -- a b lima-i0000:~/x\nHost lima-i0000\n  Port 1\ntyped\n"
    assert done.returncode == 5
    assert done.stderr.splitlines()[-1] == "complaint"


def test_two_are_reached_by_one_that_includes_theirs_and_is_gone_afterwards(copy: Copy, lima_home: str) -> None:
    with running(lima_home, ("i0000", "i0001")):
        done = copy("i0000:a", "i0001:b")
    first, *rest = done.stdout.splitlines()
    config = first.split()[2]
    assert first == f"scp -F {config} -q -3 -- lima-i0000:a lima-i0001:b"
    assert rest == [f'Include "{lima_home}/{name}/ssh.config"' for name in ("i0000", "i0001")] + ["typed"]
    assert done.returncode == 5
    assert not os.path.exists(config)


def test_debug_is_verbose(copy: Copy) -> None:
    assert " -v -3 -- " in copy("--debug", "a", "b").stdout
    assert " -v -3 -- " in copy("-v", "a", "b").stdout


# --- with a server ---------------------------------------------------------------------------------------------------


@pytest.fixture
async def guests() -> AsyncIterator[str]:
    """A home with two running instances, whose guests are both this host, by way of a server of its own."""
    folder = tempfile.mkdtemp(prefix="lc-", dir="/tmp")
    try:
        async with running_sshd(folder, "Subsystem sftp internal-sftp\n") as port:
            home = f"{folder}/l"
            names = make_instances(home, 2, TEMPLATE)
            for name in names:
                pathlib.Path(home, name, "ssh.config").write_text(
                    f"Host lima-{name}\n  Hostname {LOOPBACK}\n  Port {port}\n  User {getpass.getuser()}\n"
                    f'  IdentityFile "{folder}/c/user"\n  IdentitiesOnly yes\n  BatchMode yes\n'
                    f'  StrictHostKeyChecking yes\n  UserKnownHostsFile "{folder}/known_hosts"\n'
                )
            with running(home, names):
                yield home
    finally:
        shutil.rmtree(folder)


async def copied(home: str, *words: str) -> tuple[int, str]:
    """The exit status of a copy, and what was said on stderr."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "lima", "copy", *words,
        env={**os.environ, "PYTHONPATH": SRC, "LIMA_HOME": home},
        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    _, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, err.decode()


@pytest.mark.needs_ssh
@pytest.mark.parametrize("backend", ["scp", "rsync", "auto"])
async def test_files_and_folders_arrive(guests: str, tmp_path: pathlib.Path, backend: str) -> None:
    if backend == "rsync" and shutil.which("rsync") is None:
        pytest.skip("rsync is not installed")
    here, there = tmp_path / "here", tmp_path / "there"
    (here / "folder/sub").mkdir(parents=True)
    there.mkdir()
    payload = os.urandom(300_000)
    (here / "folder/sub/one").write_bytes(payload)
    (here / "two words").write_text("two")
    flag = f"--backend={backend}"
    code, err = await copied(guests, flag, f"{here}/two words", f"{here}/folder/sub/one", f"i0000:{there}/")
    assert code == 0, err
    assert ((there / "one").read_bytes(), (there / "two words").read_text()) == (payload, "two")
    assert (await copied(guests, flag, "-r", f"{here}/folder", f"i0000:{there}/"))[0] == 0
    assert (there / "folder/sub/one").read_bytes() == payload
    assert (await copied(guests, flag, "-r", f"i0000:{there}/folder", f"{here}/back"))[0] == 0
    assert (here / "back/sub/one").read_bytes() == payload
    code, err = await copied(guests, flag, f"i0000:{there}/nope", str(here))
    assert code not in (0, 255)
    assert "No such file" in err


@pytest.mark.needs_ssh
async def test_from_guest_to_guest_by_way_of_the_host(guests: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "from").write_text("text")
    code, err = await copied(guests, f"i0000:{tmp_path}/from", f"i0001:{tmp_path}/to")
    assert code == 0, err
    assert (tmp_path / "to").read_text() == "text"
