"""What is known about the host, as values, and what follows from it."""

from lima.domain.machine import Arch, HostOS
from lima.domain.values import Value


class HostFacts(Value):
    """The host, as templates and defaults need it. Sizes in bytes; `machine_id` as reference, runtime §0.5.

    `timezone` is empty where unknown. `is_root` is about the effective uid. `environment` holds only the variables
    that rules of ours look at (LIMA_*, QEMU_SYSTEM_*, SSH, proxies, TMPDIR, XDG_CACHE_HOME, …).
    """

    os: HostOS
    arch: Arch
    user: str
    uid: int
    full_name: str
    home: str
    lima_home: str
    cache_dir: str
    cpus: int
    memory_bytes: int
    machine_id: str
    timezone: str
    is_root: bool
    environment: tuple[tuple[str, str], ...] = ()
    temp_dir: str = "/tmp"  # noqa: S108  a default, not a use
    working_dir: str = "/"

    def env(self, name: str) -> str:
        """The value of one variable, empty where unset."""
        return dict(self.environment).get(name, "")


class AcceleratorVerdict(Value):
    """Which accelerator a guest gets and why, in a sentence. `source`: `probe`, `cache`, `setting`, `overruled`,
    `foreign` (another architecture than the host's), `absent` (no device). `seconds` is what the probe took."""

    accelerator: str
    reason: str
    source: str
    seconds: float = 0.0


class Tool(Value):
    """One program (or file) that we use. `needed_for` is a phrase (`running guests`); `path` is empty where missing.

    `required` false: only some uses need it.
    """

    name: str
    needed_for: str
    path: str = ""
    version: str = ""
    required: bool = True


class ToolReport(Value):
    """All of them. `install_command` is one shell line that brings what is missing (empty: nothing missing);
    `may_install` says whether this user may run it as it is (root, with a package manager that we know)."""

    tools: tuple[Tool, ...]
    install_command: str = ""
    may_install: bool = False
