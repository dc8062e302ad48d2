"""Facts about the machine that we run on."""

from typing import Protocol

from lima.domain.host import AcceleratorVerdict, HostFacts, ToolReport


class HostInspector(Protocol):
    """Looks at the host. Reads only."""

    def facts(self) -> HostFacts:
        """Who and where we are: system, architecture, user, directories, sizes."""
        ...

    def tools(self) -> ToolReport:
        """Which of the programs that we use are here, and how the rest would be installed."""
        ...


class AcceleratorProbe(Protocol):
    """Finds out which accelerator really runs a guest, and remembers."""

    async def verdict(self, *, arch: str, setting: str = "") -> AcceleratorVerdict:
        """The accelerator to use for a guest of `arch`: the user's choice (environment, then `setting`), else from the
        cache where one was proven since the host's boot, else by starting a small kernel under it (at most 10 s).

        Raises:
            MissingToolError: the emulator is not installed.
            UnsupportedCapabilityError: the choice is none that the emulator has.
        """
        ...

    def cached(self, *, arch: str) -> AcceleratorVerdict | None:
        """The remembered verdict, without probing."""
        ...

    def overrule(self, *, arch: str, verdict: AcceleratorVerdict) -> None:
        """Rewrite the remembered verdict: a guest showed that it was wrong."""
        ...
