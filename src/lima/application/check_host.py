"""What this host lacks, and which accelerator its guests get."""

from collections.abc import Callable
from dataclasses import dataclass

from lima.domain.doctor import DoctorReport
from lima.domain.errors import LimaError
from lima.domain.host import AcceleratorVerdict, HostFacts
from lima.ports.host import AcceleratorProbe, HostInspector

LOW_DISK = 4 << 30
LOW_MEMORY = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckHost:
    """Never raises for what is missing: that is its result. `free_bytes` tells the room below a path."""

    inspector: HostInspector
    facts: HostFacts
    probe: AcceleratorProbe
    free_bytes: Callable[[str], int]
    available_memory: Callable[[], int]

    async def __call__(self) -> DoctorReport:
        report = self.inspector.tools()
        warnings: list[str] = []
        accelerator: AcceleratorVerdict | None = None
        try:
            accelerator = await self.probe.verdict(arch=self.facts.arch)
        except LimaError as error:
            warnings.append(error.message)
        else:
            if accelerator.accelerator == "tcg":
                warnings.append("guests are emulated (tcg): slow, and no security boundary")
        disk, cache = self.free_bytes(self.facts.lima_home), self.free_bytes(self.facts.cache_dir)
        memory = self.available_memory()
        if min(disk, cache) < LOW_DISK:
            warnings.append("less than 4 GiB of disk are free: an image and a guest need about 2")
        if memory < LOW_MEMORY:
            warnings.append("less than 1 GiB of memory is available")
        return DoctorReport(
            tools=report.tools,
            install_command=report.install_command,
            may_install=report.may_install,
            accelerator=accelerator,
            memory_bytes=self.facts.memory_bytes,
            memory_available_bytes=memory,
            disk_free_bytes=disk,
            cache_free_bytes=cache,
            warnings=tuple(warnings),
        )
