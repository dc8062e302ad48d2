"""Programs beside ours that add commands and locator schemes. Source: reference, cli §2.7, §15.1 and §15.3."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass

from lima.domain.errors import LocatorError

URL_PREFIX = "url-"
_DESCRIPTION = re.compile(rb"<limactl-desc>(.*?)</limactl-desc>")
_DEADLINE_S = 60.0
_HEAD_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """`limactl-NAME` at `path`."""

    name: str
    path: str
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """Directories that follow from where this program lies; those of `libexec` and `share` exist and hold something."""

    own: tuple[str, ...]
    libexec: tuple[str, ...]
    share: tuple[str, ...]


def installation(argv0: str = "") -> Installation:
    """Of the program that was called, links followed and not."""
    called = os.path.abspath(shutil.which(argv0 or sys.argv[0] or "limactl") or argv0 or sys.argv[0])
    own = tuple(dict.fromkeys((os.path.dirname(called), os.path.dirname(os.path.realpath(called)))))
    prefixes = [os.path.dirname(directory) for directory in own]
    libexec = (os.path.join(prefix, part, "lima") for prefix in prefixes for part in ("libexec", "lib"))
    share = (os.path.join(prefix, "share", "lima") for prefix in prefixes)
    return Installation(own=own, libexec=_filled(libexec), share=_filled(share))


def _filled(directories: Iterable[str]) -> tuple[str, ...]:
    found = []
    for directory in dict.fromkeys(directories):
        try:
            if os.listdir(directory):
                found.append(directory)
        except OSError:
            continue
    return tuple(found)


def search_path(places: Installation) -> tuple[str, ...]:
    """Where plugins are looked for, and the PATH that they get."""
    path = [directory for directory in os.environ.get("PATH", "").split(os.pathsep) if directory]
    return tuple(dict.fromkeys((*places.own, *path, *places.libexec)))


def plugins(places: Installation) -> tuple[Plugin, ...]:
    """All of them, sorted by name; the first directory that has a name wins."""
    found: dict[str, Plugin] = {}
    for directory in search_path(places):
        try:
            names = sorted(os.listdir(directory))
        except OSError:
            continue
        for file in names:
            path = os.path.join(directory, file)
            name = file.removeprefix("limactl-")
            if name and name != file and name not in found and _is_program(path):
                found[name] = Plugin(name=name, path=path, description=_description(path))
    return tuple(found[name] for name in sorted(found))


def find(name: str) -> tuple[str, str] | None:
    """The program `limactl-NAME` and the PATH that it gets; None where there is none."""
    if not name or "/" in name:
        return None
    path = os.pathsep.join(search_path(installation()))
    program = shutil.which(f"limactl-{name}", path=path)
    return None if program is None else (program, path)


def _is_program(path: str) -> bool:
    return os.path.isfile(path) and os.access(path, os.X_OK)


def _description(path: str) -> str:
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        return ""
    match = _DESCRIPTION.search(head) if head.startswith(b"#!") else None
    return match[1].decode(errors="replace").strip() if match else ""


def translate_url(scheme: str, rest: str) -> str | None:
    """What `limactl-url-SCHEME` makes of a locator; None where there is no such program. Raises: LocatorError."""
    found = find(f"{URL_PREFIX}{scheme}")
    if found is None:
        return None
    program, path = found
    command = f"{program} {rest}"
    try:
        done = subprocess.run(
            (program, rest),
            env={**os.environ, "PATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_DEADLINE_S,
            check=False,
        )
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise LocatorError(f"command `{command}` failed: {error}") from error
    if done.returncode != 0:
        reason = done.stderr.decode(errors="replace").strip() or f"exit status {done.returncode}"
        raise LocatorError(f"command `{command}` failed: {reason}")
    return done.stdout.decode(errors="replace").strip()
