"""QEMU with the whole command line that our driver makes for a guest with mounts, and no guest in it.

Its CPU halts at the first instruction, and what a kernel would do to the devices is done through the qtest socket. That
is there whatever the accelerator; the one that is made for it, and has no CPU at all, is left out by distributions.
"""

import asyncio
import contextlib
import dataclasses
import functools
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass

from lima.adapters.qemu.command_line import build_command_line
from lima.adapters.qemu.features import FeatureProbe, QemuFeatures
from lima.adapters.system.host import SystemHostInspector
from lima.adapters.system.runner import AsyncProcessRunner
from lima.domain.machine import Arch
from lima.domain.machine_spec import MachineSpec, NinePShare, VirtiofsShare
from tests.shares.qtest import MachineDied, Qtest

PATIENCE_S = 30.0
FIRMWARE = (bytes(0xFFF0) + b"\xfa\xf4\xeb\xfd").ljust(0x10000, b"\0")
"""64 KiB that end, at the reset vector, in: cli, hlt, and back to the hlt."""


@dataclass(frozen=True)
class Machine:
    """Its process, its memory and ports, and the folder of its sockets and logs."""

    process: "subprocess.Popen[bytes]"
    qtest: Qtest
    directory: str

    @property
    def is_alive(self) -> bool:
        """It answers still."""
        try:
            return self.qtest.read(0, 1) != b""
        except MachineDied:
            self.process.wait(PATIENCE_S)
            return False

    @property
    def said(self) -> str:
        with open(f"{self.directory}/qemu.log", encoding="utf-8", errors="replace") as file:
            return file.read()


@contextlib.contextmanager
def machine_folder(owner: int | None) -> Iterator[str]:
    """As an instance directory: short, since sockets lie in it, and its user's alone."""
    folder = tempfile.mkdtemp(prefix="lima-raw-", dir="/tmp")
    if owner is not None:
        os.chown(folder, owner, owner)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def machine(
    shares: tuple[NinePShare | VirtiofsShare, ...], directory: str, *, user: int | None = None
) -> Iterator[Machine]:
    """Run by the calling user, or by an ordinary one. Its end is polite, then not."""
    sock = f"{directory}/qtest.sock"
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(sock)
        listener.listen(1)
        os.chmod(sock, 0o666)
        with open(f"{directory}/firmware", "wb") as file:
            file.write(FIRMWARE)
        log = stack.enter_context(open(f"{directory}/qemu.log", "wb"))
        rights = {} if user is None else {"user": user, "group": user, "extra_groups": ()}
        process = subprocess.Popen(
            argv(shares, directory, sock), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", **rights
        )
        stack.callback(end, process)
        qtest = Qtest(_first_caller(listener, process, directory))
        stack.callback(qtest.close)
        yield Machine(process, qtest, directory)


def argv(shares: tuple[NinePShare | VirtiofsShare, ...], directory: str, sock: str) -> tuple[str, ...]:
    """Of the driver, and what no guest of ours has: the qtest socket, and nothing to boot."""
    spec = MachineSpec(
        name="raw",
        directory=directory,
        arch=Arch.X86_64,
        cpus=1,
        memory_bytes=64 << 20,
        accelerator="tcg",
        mac_address="52:55:55:00:00:01",
        ssh_host_port=0,
        shares=shares,
    )
    known = features()
    words = (*known.program, "-qtest", f"unix:{sock}", "-qtest-log", "none", "-bios", f"{directory}/firmware")
    return build_command_line(spec, dataclasses.replace(known, program=words), firmware=None)


@functools.cache
def features() -> QemuFeatures:
    """What the product finds out about this host's QEMU."""
    with tempfile.TemporaryDirectory() as cache:
        facts = SystemHostInspector().facts().but(cache_dir=cache)
        return asyncio.run(FeatureProbe(facts=facts, runner=AsyncProcessRunner()).features(Arch.X86_64))


def _first_caller(listener: socket.socket, process: "subprocess.Popen[bytes]", directory: str) -> socket.socket:
    listener.settimeout(0.1)
    deadline = time.monotonic() + PATIENCE_S
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(TimeoutError):
            link, _ = listener.accept()
            link.settimeout(PATIENCE_S)
            return link
    with open(f"{directory}/qemu.log", encoding="utf-8", errors="replace") as file:
        raise AssertionError(f"QEMU did not begin: {file.read()}")


def end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
