"""A throw-away sshd on loopback, with a host key of its own, and the transport that reaches it."""

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator

from lima.adapters.ssh.keys import OpensshKeys
from lima.adapters.ssh.openssh import OpensshTransport
from lima.adapters.system.runner import AsyncProcessRunner
from lima.domain.errors import UnreachableError

LOOPBACK = "127.0.0.1"
START_S = 10


def keys_in(folder: str) -> OpensshKeys:
    return OpensshKeys(config_dir=f"{folder}/c", home=folder, runner=AsyncProcessRunner())


@contextlib.asynccontextmanager
async def running_sshd(folder: str, more: str = "") -> AsyncIterator[int]:
    """Its port, once it answers. Keys and `known_hosts` lie in the folder, whose path is short. `more` are lines of its
    configuration."""
    keys = keys_in(folder)
    await keys.identity()
    host = await keys.new_host_key()
    with open(os.open(f"{folder}/host", os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        file.write(host.private)
    with open(f"{folder}/auth", "w") as file:
        file.write("\n".join(keys.authorized(with_dot_ssh=False)) + "\n")
    port = free_port()
    config = (
        f"Port {port}\nListenAddress {LOOPBACK}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/auth\n"
        f"StrictModes no\nUsePAM no\nPidFile none\nPasswordAuthentication no\nPermitRootLogin yes\n{more}"
    )
    with open(f"{folder}/sshd_config", "w") as file:
        file.write(config)
    with open(f"{folder}/known_hosts", "w") as file:
        file.write(f"[{LOOPBACK}]:{port} {host.public}\n")
    if os.geteuid() == 0:
        os.makedirs("/run/sshd", exist_ok=True)
    program = shutil.which("sshd", path="/usr/sbin:/sbin:/usr/bin")
    assert program is not None
    server = subprocess.Popen(
        [program, "-D", "-e", "-f", f"{folder}/sshd_config"], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        await _answers(transport_to(folder, port))
        yield port
    finally:
        server.kill()
        server.wait()


def transport_to(folder: str, port: int, socket_name: str = "ssh.sock") -> OpensshTransport:
    options = {
        "IdentityFile": f'"{folder}/c/user"', "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": f'"{folder}/known_hosts"', "BatchMode": "yes", "IdentitiesOnly": "yes",
        "User": getpass.getuser(), "ControlPath": f'"{folder}/{socket_name}"', "ControlPersist": "yes",
    }  # fmt: skip
    return OpensshTransport(
        name="x", host=LOOPBACK, port=port,
        options=tuple(word for key, value in options.items() for word in ("-o", f"{key}={value}")),
        control_path=f"{folder}/{socket_name}", runner=AsyncProcessRunner(),
    )  # fmt: skip


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind((LOOPBACK, 0))
        port: int = bound.getsockname()[1]
        return port


async def _answers(transport: OpensshTransport) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            await transport.probe()
        except UnreachableError:
            assert time.monotonic() < deadline
        else:
            return
