"""What a guest must fulfil before it is ready, in upstream's words and groups. Source: reference, runtime §7.6."""

from dataclasses import dataclass
from enum import StrEnum

from lima.domain.config import InstanceConfig, Probe
from lima.domain.sshfs import sshfs_mounts

FIRST_PAUSE_S = 0.1
LAST_PAUSE_S = 3.0
"""Upstream waits this long between any two tries."""
PATIENCE_S = 600.0
"""How long a probe may fail before it is given up: upstream's 200 tries."""


class Group(StrEnum):
    """In this order."""

    ESSENTIAL = "essential"
    OPTIONAL = "optional"
    FINAL = "final"


class Check(StrEnum):
    """How a requirement is looked at."""

    SSH = "ssh"
    USER_SESSION = "user session is ready for ssh"
    CONTROL_MASTER = "Explicitly start ssh ControlMaster"
    SSHFS = "sshfs binary to be installed"
    FUSE = "fuse to allow_other as user"
    PROBE = "probe"
    BOOT_DONE = "boot scripts must have finished"


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One of them; `number` of `total` in its group."""

    group: Group
    check: Check
    description: str
    number: int
    total: int
    probe: Probe | None = None

    @property
    def waiting(self) -> str:
        """The log line when it begins."""
        return f"Waiting for the {self.group} requirement {self.number} of {self.total}: `{self.description}`"

    @property
    def satisfied(self) -> str:
        """The log line when it is met."""
        return f"The {self.group} requirement {self.number} of {self.total} is satisfied"


def requirements(config: InstanceConfig) -> tuple[Requirement, ...]:
    """All of them, in order. A plain guest has no marker of the user's session."""
    last = [Check.SSHFS, Check.FUSE] if sshfs_mounts(config.mounts) else [Check.CONTROL_MASTER]
    essential = [Check.SSH, *([] if config.plain else [Check.USER_SESSION]), *last]
    groups = (
        (Group.ESSENTIAL, [(check, str(check), None) for check in essential]),
        (Group.OPTIONAL, [(Check.PROBE, probe.description, probe) for probe in config.probes]),
        (Group.FINAL, [(Check.BOOT_DONE, str(Check.BOOT_DONE), None)]),
    )
    return tuple(
        Requirement(group=group, check=check, description=text, number=number, total=len(members), probe=probe)
        for group, members in groups
        for number, (check, text, probe) in enumerate(members, 1)
    )


def next_pause(pause_s: float) -> float:
    """Growing, so that what is nearly there is seen at once and what takes minutes is not disturbed."""
    return min(max(pause_s, FIRST_PAUSE_S) * 2, LAST_PAUSE_S)


def interpreter(script: str) -> tuple[str, ...]:
    """The words after `#!` of the first line; the shell where there are none."""
    first = script.partition("\n")[0]
    return tuple(first.removeprefix("#!").split()) if first.startswith("#!") and first[2:].strip() else ("/bin/sh",)
