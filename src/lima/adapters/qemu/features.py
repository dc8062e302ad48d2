"""What the QEMU binary of this host can do, asked once and remembered. Source: reference, runtime §3.1."""

import json
import os
import re
import shlex
from dataclasses import asdict, dataclass, fields
from typing import Any

from lima.domain.errors import LaunchFailedError, UnsupportedCapabilityError
from lima.domain.host import HostFacts
from lima.domain.machine import QEMU_NAMES, Arch, HostOS
from lima.ports.process_runner import ProcessRunner

_VERSION = re.compile(r"QEMU emulator version (\d+)\.(\d+)\.(\d+)")
HARD_MINIMUM = (4, 0, 0)
CACHE_FILE = "qemu-features.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class QemuFeatures:
    """One binary. `version` is (0, 0, 0) where it cannot be told; `accelerators` are the compiled-in ones."""

    program: tuple[str, ...]
    version: tuple[int, int, int] = (0, 0, 0)
    accelerators: tuple[str, ...] = ()
    has_seccomp: bool = False
    has_slirp: bool = True
    has_virtfs: bool = True


_ANSWERS = {field.name for field in fields(QemuFeatures)}
"""An older version may have remembered fewer."""


def program_variable(arch: Arch) -> str:
    """The environment variable that overrides the program. Source: reference, runtime §0.6."""
    return f"QEMU_SYSTEM_{QEMU_NAMES[arch].upper()}"


def program_words(arch: Arch, facts: HostFacts) -> tuple[str, ...]:
    """Program and leading arguments. Raises: UnsupportedCapabilityError for a variable that is no command line."""
    name = program_variable(arch)
    try:
        words = tuple(shlex.split(facts.env(name)))
    except ValueError as error:
        raise UnsupportedCapabilityError(f"{name} cannot be split into words: {error}") from error
    return words or (f"qemu-system-{QEMU_NAMES[arch]}",)


class FeatureProbe:
    """Asks a binary, or remembers its answers by path, size and mtime in the cache folder."""

    def __init__(self, *, facts: HostFacts, runner: ProcessRunner) -> None:
        self._facts = facts
        self._runner = runner
        self._cache_file = os.path.join(facts.cache_dir, CACHE_FILE)

    async def features(self, arch: Arch) -> QemuFeatures:
        """Raises: MissingToolError, LaunchFailedError (it does not run), UnsupportedCapabilityError (too old)."""
        program, *extra = program_words(arch, self._facts)
        path = self._runner.find(program, purpose=f"running {arch} guests")
        status = os.stat(path)
        key = f"{path} {status.st_size} {status.st_mtime_ns}"
        cache = self._read()
        if not cache.get(key, {}).keys() >= _ANSWERS:
            cache[key] = asdict(await self._ask(path))
            self._write(cache)
        known = cache[key]
        major, minor, patch = known["version"]
        features = QemuFeatures(
            program=(path, *extra),
            version=(major, minor, patch),
            accelerators=tuple(known["accelerators"]),
            has_seccomp=bool(known["has_seccomp"]),
            has_slirp=bool(known["has_slirp"]),
            has_virtfs=bool(known["has_virtfs"]),
        )
        _check_version(features, self._facts.os)
        return features

    async def _ask(self, path: str) -> QemuFeatures:
        version = await self._runner.run((path, "--version"))
        accelerators = await self._runner.run((path, "-M", "none", "-accel", "help"))
        if version.exit_code != 0 or accelerators.exit_code != 0:
            failed = version if version.exit_code != 0 else accelerators
            raise LaunchFailedError(
                f"`{path}` does not run: {failed.complaint}",
                argv=failed.argv,
                exit_code=failed.exit_code,
                log_tail=failed.log_tail,
                hint="is QEMU installed completely? `limactl doctor` shows the command that installs it",
            )
        netdevs = await self._runner.run((path, "-M", "none", "-netdev", "help"))
        help_text = await self._runner.run((path, "-help"))
        found = _VERSION.search(version.stdout.decode(errors="replace"))
        accel_words = (accelerators.stdout + accelerators.stderr).decode(errors="replace").split()
        return QemuFeatures(
            program=(path,),
            version=(int(found[1]), int(found[2]), int(found[3])) if found else (0, 0, 0),
            accelerators=tuple(word for word in ("kvm", "hvf", "whpx", "nvmm", "tcg") if word in accel_words),
            has_seccomp=b"-sandbox on" in help_text.stdout,
            has_slirp=b"user" in (netdevs.stdout + netdevs.stderr).split(),
            has_virtfs=b"-virtfs " in help_text.stdout,
        )

    def _read(self) -> dict[str, Any]:
        try:
            with open(self._cache_file, encoding="utf-8") as file:
                stored = json.load(file)
        except (OSError, ValueError):
            return {}
        return stored if isinstance(stored, dict) else {}

    def _write(self, cache: dict[str, Any]) -> None:
        aside = f"{self._cache_file}.{os.getpid()}"
        try:
            os.makedirs(os.path.dirname(self._cache_file), mode=0o700, exist_ok=True)
            with open(aside, "w", encoding="utf-8") as file:
                json.dump(cache, file)
            os.replace(aside, self._cache_file)
        except OSError:
            return  # a cache that cannot be written is no error


def _check_version(features: QemuFeatures, host_os: HostOS) -> None:
    minimum = {HostOS.DARWIN: (7, 0, 0), HostOS.WINDOWS: (11, 0, 0)}.get(host_os, HARD_MINIMUM)
    if features.version != (0, 0, 0) and features.version < minimum:
        raise UnsupportedCapabilityError(
            f"QEMU {'.'.join(map(str, features.version))} is too old; {'.'.join(map(str, minimum))} or later is needed",
            hint=f"upgrade `{features.program[0]}`, or name another one with its QEMU_SYSTEM_* variable",
        )
