"""Which accelerator really runs a guest on this host: a kernel has to answer under it.

A `/dev/kvm` may open, create machines and show firmware, and yet run no kernel (nested or paravirtual KVM). So a small
kernel is started with the very machine and CPU that guests get; what it says, or not, is the verdict. It is kept by
boot of the host, emulator and device.
"""

import asyncio
import json
import os
import tempfile
import time
from typing import Any

from lima.adapters.qemu.command_line import default_cpu, machine_arguments
from lima.adapters.qemu.features import FeatureProbe, QemuFeatures
from lima.adapters.qemu.probe_kernel import MESSAGE, probe_kernel
from lima.domain.errors import UnsupportedCapabilityError
from lima.domain.host import AcceleratorVerdict, HostFacts
from lima.domain.machine import Arch, HostOS
from lima.ports.process_runner import ProcessRunner

PROBE_S = 8.0
CACHE_FILE = "accelerator.json"
KNOWN = ("kvm", "hvf", "whpx", "nvmm", "tcg")
DEVICES = {"kvm": "/dev/kvm"}
BOOT_ID = "/proc/sys/kernel/random/boot_id"


class QemuAcceleratorProbe:
    """The AcceleratorProbe port. The verdicts lie in `accelerator.json` of the cache folder, with a count of probes."""

    def __init__(self, *, facts: HostFacts, runner: ProcessRunner) -> None:
        self._facts = facts
        self._runner = runner
        self._features = FeatureProbe(facts=facts, runner=runner)
        self._cache_file = os.path.join(facts.cache_dir, CACHE_FILE)

    async def verdict(self, *, arch: str, setting: str = "") -> AcceleratorVerdict:
        features = await self._features.features(Arch(arch))
        for value, source in ((self._facts.env("LIMA_QEMU_ACCEL"), "LIMA_QEMU_ACCEL"), (setting, "the template")):
            if value:
                return _chosen(value, source, features)
        if arch != self._facts.arch:
            reason = f"{arch} guests are emulated on a {self._facts.arch} host"
            return AcceleratorVerdict(accelerator="tcg", reason=reason, source="foreign")
        native = self._native()
        if native not in features.accelerators:
            reason = f"{features.program[0]} was built without {native}" if native else "this host has none for QEMU"
            return AcceleratorVerdict(accelerator="tcg", reason=reason, source="absent")
        device = DEVICES.get(native, "")
        if device and (problem := _device_problem(device)):
            return AcceleratorVerdict(accelerator="tcg", reason=problem, source="absent")
        key = _key(features, device)
        known = self._remembered(arch, key)
        if known is not None:
            return known
        verdict = await self._probe(Arch(arch), native, features)
        self._remember(arch, key, verdict, probed=True)
        return verdict

    def cached(self, *, arch: str) -> AcceleratorVerdict | None:
        entry = self._read().get("verdicts", {}).get(arch, {})
        if not isinstance(entry, dict) or not str(entry.get("key", "")).startswith(_boot_id()):
            return None
        return _from_json(entry.get("verdict"))

    def overrule(self, *, arch: str, verdict: AcceleratorVerdict) -> None:
        entry = self._read().get("verdicts", {}).get(arch, {})
        self._remember(arch, str(entry.get("key", _boot_id())), verdict, probed=False)

    # --- probing -----------------------------------------------------------------------------------------------------

    def _native(self) -> str:
        return {HostOS.LINUX: "kvm", HostOS.DARWIN: "hvf", HostOS.WINDOWS: "whpx"}[self._facts.os]

    async def _probe(self, arch: Arch, accelerator: str, features: QemuFeatures) -> AcceleratorVerdict:
        began = time.monotonic()
        kernel = probe_kernel(arch)
        if kernel is None:
            reason = f"{accelerator} is there; no kernel of ours could prove it on {arch}, the guest's own will"
            return AcceleratorVerdict(accelerator=accelerator, reason=reason, source="probe")
        with tempfile.TemporaryDirectory(prefix="lima-probe-") as folder:
            path = os.path.join(folder, "kernel")
            with open(path, "wb") as file:
                file.write(kernel)
            problem = await self._run(_argv(arch, accelerator, features, path))
        seconds = time.monotonic() - began
        if problem:
            reason = f"{accelerator} is there and does not run a kernel ({problem})"
            return AcceleratorVerdict(accelerator="tcg", reason=reason, source="probe", seconds=seconds)
        reason = f"a kernel answered under it within {seconds:.1f} s"
        return AcceleratorVerdict(accelerator=accelerator, reason=reason, source="probe", seconds=seconds)

    async def _run(self, argv: tuple[str, ...]) -> str:
        """Why no kernel spoke, or empty."""
        try:
            async with asyncio.timeout(PROBE_S):
                done = await self._runner.run(argv)
        except TimeoutError:
            return f"it said nothing within {PROBE_S:.0f} s"
        if MESSAGE in done.stdout:
            return ""
        if b"KVM internal error" in done.stderr or b"emulation failure" in done.stderr:
            return "KVM internal error: an instruction could not be run"
        return next((line for line in done.log_tail if "error" in line.lower()), done.complaint)

    # --- remembering -------------------------------------------------------------------------------------------------

    def _remembered(self, arch: str, key: str) -> AcceleratorVerdict | None:
        entry = self._read().get("verdicts", {}).get(arch, {})
        if not isinstance(entry, dict) or entry.get("key") != key:
            return None
        return _from_json(entry.get("verdict"))

    def _remember(self, arch: str, key: str, verdict: AcceleratorVerdict, *, probed: bool) -> None:
        stored = self._read()
        verdicts = stored.setdefault("verdicts", {})
        verdicts[arch] = {"key": key, "verdict": dict(vars(verdict))}
        stored["probes"] = int(stored.get("probes", 0)) + probed
        aside = f"{self._cache_file}.{os.getpid()}"
        try:
            os.makedirs(os.path.dirname(self._cache_file), mode=0o700, exist_ok=True)
            with open(aside, "w", encoding="utf-8") as file:
                json.dump(stored, file)
            os.replace(aside, self._cache_file)
        except OSError:
            return  # a cache that cannot be written is no error: the next start probes again

    def _read(self) -> dict[str, Any]:
        try:
            with open(self._cache_file, encoding="utf-8") as file:
                stored = json.load(file)
        except (OSError, ValueError):
            return {}
        return stored if isinstance(stored, dict) and isinstance(stored.get("verdicts"), dict) else {}


def _chosen(value: str, source: str, features: QemuFeatures) -> AcceleratorVerdict:
    if value not in features.accelerators:
        raise UnsupportedCapabilityError(
            f"accelerator `{value}` ({source}) is not one that `{features.program[0]}` has",
            hint=f"it has: {', '.join(features.accelerators) or 'none'}",
        )
    return AcceleratorVerdict(accelerator=value, reason=f"chosen by {source}", source="setting")


def _argv(arch: Arch, accelerator: str, features: QemuFeatures, kernel: str) -> tuple[str, ...]:
    """The machine and CPU that guests get, and nothing else. The x86 kernel ends it through isa-debug-exit."""
    ending = ("-device", "isa-debug-exit,iobase=0x501,iosize=4") if arch is Arch.X86_64 else ()
    return (
        *features.program[:1],
        "-m", "64",
        "-cpu", default_cpu(arch, accelerator),
        *machine_arguments(arch, accelerator),
        "-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio",
        *ending,
        "-kernel", kernel,
    )  # fmt: skip


def _device_problem(device: str) -> str:
    """Why the device cannot be used, or empty."""
    if not os.path.exists(device):
        return f"there is no {device}"
    if not os.access(device, os.R_OK | os.W_OK):
        return f"{device} is not open to this user (is there a group `kvm` to join?)"
    return ""


def _key(features: QemuFeatures, device: str) -> str:
    try:
        status = os.stat(device)
        which = f"{status.st_rdev}:{status.st_ino}"
    except OSError:
        which = ""
    version = ".".join(map(str, features.version))
    return f"{_boot_id()} {features.program[0]} {version} {device} {which}"


def _boot_id() -> str:
    try:
        with open(BOOT_ID, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return "unknown-boot"


def _from_json(value: object) -> AcceleratorVerdict | None:
    if not isinstance(value, dict) or value.get("accelerator") not in KNOWN:
        return None
    source = str(value.get("source", ""))
    return AcceleratorVerdict(
        accelerator=str(value["accelerator"]),
        reason=str(value.get("reason", "")),
        source="cache" if source == "probe" else source,
    )
