"""Where distributions put virtiofsd, and which of the two there are it is."""

import json
import os
from dataclasses import dataclass

from lima.domain.doctor import VIRTIOFSD_PLACES
from lima.domain.errors import MissingToolError

MAX_DESCRIPTION = 65536


@dataclass(frozen=True, slots=True, kw_only=True)
class Virtiofsd:
    """The program. `is_rust`: the one of its own project; else the one that came with QEMU up to 7."""

    path: str
    is_rust: bool

    def arguments(self, descriptor: int, location: str) -> tuple[str, ...]:
        """The whole argv. `descriptor` listens for QEMU; `{sandbox}` is for `confine`.

        The number of open files is what `confine` raised it to: neither may raise it inside a user namespace. Nor does
        either ask for the right that `confine` took away.
        """
        if self.is_rust:
            return (
                self.path, f"--fd={descriptor}", f"--shared-dir={location}", "--sandbox={sandbox}", "--xattr",
                "--announce-submounts", "--rlimit-nofile=0", "--modcaps=-fsetid",
            )  # fmt: skip
        # which reads `source` up to a comma
        escaped = location.replace("\\", "\\\\").replace(",", "\\,")
        return (
            self.path, f"--fd={descriptor}", "-f", "-o", f"source={escaped}", "-o", "sandbox={sandbox}", "-o", "xattr",
            "-o", "announce_submounts", "-o", "modcaps=-fsetid", "--rlimit-nofile=0",
        )  # fmt: skip


def find_virtiofsd(
    *, home: str, qemu: str, fallbacks: tuple[str, ...] = VIRTIOFSD_PLACES, system: str = "/usr/share/qemu/vhost-user"
) -> str:
    """The path of the program: where a vhost-user description says so, else in the usual places.

    Source: reference, runtime §3.8. Raises: MissingToolError.
    """
    for path in (*_described(home, qemu, system), *fallbacks):
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    raise MissingToolError(
        "`virtiofsd` is not installed; it is needed for mounts of type virtiofs",
        tools=("virtiofsd",),
        hint="`limactl doctor` shows the command that installs it; or set `mountType: 9p`",
    )


def _described(home: str, qemu: str, system: str) -> list[str]:
    prefix = os.path.dirname(os.path.dirname(qemu)) or "/usr"
    folders = (f"{home}/.local/share/qemu/vhost-user", f"{prefix}/share/qemu/vhost-user", system)
    found = []
    for folder in dict.fromkeys(folders):
        names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        found += [_binary(os.path.join(folder, name)) for name in names if name.endswith(".json")]
    return [path for path in found if path]


def _binary(path: str) -> str:
    try:
        with open(path, "rb") as file:
            description = json.loads(file.read(MAX_DESCRIPTION))
    except (OSError, ValueError):
        return ""
    if not isinstance(description, dict) or description.get("type") != "fs":
        return ""
    binary = description.get("binary")
    return binary if isinstance(binary, str) and binary.startswith("/") else ""
