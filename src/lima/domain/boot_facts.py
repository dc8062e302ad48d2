"""What must be known of a running guest to take it over from a host agent that died."""

import msgspec

from lima.domain.hostnames import NameServerPorts
from lima.domain.model import Model


class BootFacts(Model, frozen=True, kw_only=True):
    """`boot.facts.json`. `instance_id` is the seed's (what the guest's marker files hold), `ssh_port` the host port
    that reaches its ssh, `accelerator` what it runs under. `host_key_pinned`: the guest was given our host key. `name_server`: where
    the guest was told that its name server is, None where it was told of none."""

    instance_id: str
    ssh_port: int
    accelerator: str
    host_key_pinned: bool = True
    name_server: NameServerPorts | None = None


def encode_boot_facts(facts: BootFacts) -> bytes:
    """The content of `boot.facts.json`."""
    return msgspec.json.encode(facts) + b"\n"


def decode_boot_facts(content: bytes | None) -> BootFacts | None:
    """The facts, or None where the file is missing or damaged."""
    if content is None:
        return None
    try:
        return msgspec.json.decode(content, type=BootFacts)
    except msgspec.MsgspecError:
        return None
