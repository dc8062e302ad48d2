"""What `info` says. Source: reference, cli §10.1; `accelerator`, `hostKeys` and `hostKeysNotChecked` are ours."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lima.domain.boot_facts import decode_boot_facts
from lima.domain.errors import LimaError
from lima.domain.host import HostFacts
from lima.domain.instance import FileName
from lima.ports.host import AcceleratorProbe
from lima.ports.instance_store import InstanceStore
from lima.ports.template_reader import TemplateSource, TemplateText

SHELL_ENV_BLOCK = (
    "BASH*", "DISPLAY", "DYLD_*", "EUID", "FPATH", "GID", "GROUP", "HOME", "HOSTNAME", "LD_*", "LOGNAME", "OLDPWD",
    "PATH", "PWD", "SHELL", "SHLVL", "SSH_*", "TERM", "TERMINFO", "TMPDIR", "UID", "USER", "XAUTHORITY", "XDG_*",
    "ZDOTDIR", "ZSH*", "_*",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowInfo:
    """A JSON object about this installation."""

    facts: HostFacts
    store: InstanceStore
    templates: TemplateSource
    probe: AcceleratorProbe
    version: str
    filled_default: Callable[[TemplateText], dict[str, Any]]
    """A template with its bases, filled in, by wire names. Raises: LimaError."""
    surroundings: Callable[[], dict[str, Any]]
    """`plugins`, `libexecPaths`, `sharePaths` of this installation."""

    def __call__(self) -> dict[str, Any]:
        return {
            "version": f"v{self.version}",
            "templates": [{"name": name, "location": location} for name, location in self.templates.names()],
            "defaultTemplate": self._default_template(),
            "limaHome": self.facts.lima_home,
            "vmTypes": ["qemu"],
            "vmTypesEx": {"qemu": {"location": "internal"}},
            "guestAgents": {},
            "shellEnvBlock": list(SHELL_ENV_BLOCK),
            "hostOS": str(self.facts.os),
            "hostArch": str(self.facts.arch),
            "identityFile": f"{self.facts.lima_home}/_config/user",
            **self.surroundings(),
            "accelerator": self._accelerator(),
            "hostKeys": "made on the host, given to guests in their seed, pinned in known_hosts of the instance",
            "hostKeysNotChecked": self._unpinned(),
        }

    def _unpinned(self) -> list[str]:
        """Running instances whose guests keep host keys of their own."""
        facts = {name: decode_boot_facts(self.store.read(name, FileName.BOOT_FACTS)) for name in self.store.names()}
        return [name for name, known in facts.items() if known is not None and not known.host_key_pinned]

    def _default_template(self) -> dict[str, Any]:
        try:
            return self.filled_default(self.templates.read("template:default"))
        except LimaError as error:
            return {"error": error.message}

    def _accelerator(self) -> dict[str, str]:
        verdict = self.probe.cached(arch=self.facts.arch)
        if verdict is None:
            return {"accelerator": "", "reason": "not probed since the host's boot; the next start does", "source": ""}
        return {"accelerator": verdict.accelerator, "reason": verdict.reason, "source": verdict.source}
