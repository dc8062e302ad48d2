"""Who forwards TCP ports: the guest's agent or OpenSSH. Source: reference, cli §18 (LIMA_SSH_PORT_FORWARDER)."""

from dataclasses import dataclass
from enum import StrEnum

from lima.domain.instance import quote

VARIABLE = "LIMA_SSH_PORT_FORWARDER"


class Carrier(StrEnum):
    """What carries a client's bytes into the guest."""

    AGENT = "agent"
    OPENSSH = "openssh"


DEFAULT = Carrier.AGENT
"""The faster one by `make bench` (decision 0023)."""
_YES = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_NO = frozenset({"0", "f", "F", "false", "FALSE", "False"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """`warning` is empty unless the variable says nothing that can be understood."""

    carrier: Carrier
    warning: str = ""


def choose(setting: str) -> Choice:
    """`setting` is the variable's value, empty where it is unset."""
    if setting in _YES:
        return Choice(carrier=Carrier.OPENSSH)
    if setting in _NO:
        return Choice(carrier=Carrier.AGENT)
    return Choice(carrier=DEFAULT, warning=f"invalid {VARIABLE} value {quote(setting)}" if setting else "")
