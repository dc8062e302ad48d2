"""Which accelerator really runs a guest on this host."""

from lima.adapters.qemu.features import FeatureProbe
from lima.domain.host import AcceleratorVerdict, HostFacts
from lima.domain.machine import Arch
from lima.ports.process_runner import ProcessRunner


class QemuAcceleratorProbe:
    """The AcceleratorProbe port."""

    def __init__(self, *, facts: HostFacts, runner: ProcessRunner) -> None:
        self._facts = facts
        self._features = FeatureProbe(facts=facts, runner=runner)

    async def verdict(self, *, arch: str) -> AcceleratorVerdict:
        await self._features.features(Arch(arch))
        return AcceleratorVerdict(accelerator="tcg", reason="emulation", source="absent")

    def cached(self, *, arch: str) -> AcceleratorVerdict | None:
        return None

    def overrule(self, *, arch: str, verdict: AcceleratorVerdict) -> None:
        return
