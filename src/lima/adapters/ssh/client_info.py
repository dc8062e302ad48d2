"""What the ssh client of this host can do. Source: reference, runtime §7.2."""

import json
import os
import platform
import re
import shlex
import shutil
import subprocess

_VERSION = re.compile(r"OpenSSH_(?:for_Windows_)?(\d+)\.(\d+)(?:p(\d+))?")


class OpensshClient:
    """The program named by `$SSH`, or `ssh`. The version is remembered in `cache_file` by path, size and mtime."""

    def __init__(self, *, ssh_variable: str, cache_file: str) -> None:
        self._command = _split(ssh_variable) or ("ssh",)
        self._cache_file = cache_file

    @property
    def command(self) -> tuple[str, ...]:
        return self._command

    def version(self) -> tuple[int, int, int]:
        path = shutil.which(self._command[0])
        if path is None:
            return (0, 0, 0)
        status = os.stat(path)
        key = f"{path} {status.st_size} {status.st_mtime_ns}"
        known = self._remembered(key)
        if known is None:
            known = _ask((path, *self._command[1:]))
            self._remember(key, known)
        return known

    def has_fast_aes(self) -> bool:
        if platform.system() == "Darwin":
            return True
        try:
            with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
                text = file.read(65536)
        except OSError:
            return platform.machine().lower() in ("amd64", "x86_64", "arm64")
        flags = re.search(r"^(?:flags|Features|features)\s*:(.*)$", text, re.MULTILINE)
        return bool(flags and "aes" in flags[1].split()) or platform.machine() in ("ppc64le", "s390x")

    def _remembered(self, key: str) -> tuple[int, int, int] | None:
        try:
            with open(self._cache_file, encoding="ascii") as file:
                stored = json.load(file)
            major, minor, patch = (int(part) for part in stored[key])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return major, minor, patch

    def _remember(self, key: str, version: tuple[int, int, int]) -> None:
        aside = f"{self._cache_file}.{os.getpid()}"
        try:
            os.makedirs(os.path.dirname(self._cache_file), mode=0o700, exist_ok=True)
            with open(aside, "w", encoding="ascii") as file:
                json.dump({key: version}, file)
            os.replace(aside, self._cache_file)
        except OSError:
            return  # a cache that cannot be written is no error


def _split(variable: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(variable))
    except ValueError:
        return ()


def _ask(command: tuple[str, ...]) -> tuple[int, int, int]:
    try:
        done = subprocess.run(
            (*command, "-V"), stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=False, text=True
        )
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return (0, 0, 0)
    found = _VERSION.search(done.stderr + done.stdout)
    return (int(found[1]), int(found[2]), int(found[3] or 0)) if found else (0, 0, 0)
