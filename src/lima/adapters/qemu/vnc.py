"""The VNC display of a guest: a password of this run, and where it listens. Source: reference, runtime §3.10."""

import os
import secrets
import string

from lima.adapters.qemu.qmp import QmpMonitor
from lima.domain.instance import FileName

PASSWORD_LENGTH = 8
"""All that the VNC protocol looks at."""


async def open_display(monitor: QmpMonitor, directory: str) -> None:
    """Set a password and write `vncpassword` and `vncdisplay` (`host:number`), both 0600. Raises: HypervisorError."""
    alphabet = string.ascii_letters + string.digits
    password = "".join(secrets.choice(alphabet) for _ in range(PASSWORD_LENGTH))
    await monitor.execute("set_password", {"protocol": "vnc", "password": password})
    state = await monitor.execute("query-vnc")
    _write(os.path.join(directory, FileName.VNC_PASSWORD), password)
    number = int(state["service"]) - 5900
    _write(os.path.join(directory, FileName.VNC_DISPLAY), f"{state['host']}:{number}")


def _write(path: str, text: str) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:
        file.write(text)
