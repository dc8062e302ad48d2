"""Networks of an instance, and the networks that `_config/networks.yaml` defines. Source: reference, config §1.8, §4.4.

For each interface the first of the default file, the template and the override file keeps its place; later ones
change what they set.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec

from lima.domain.host_paths import ABSENT, PathKind, PathState
from lima.domain.instance import quote
from lima.domain.machine import HostOS
from lima.domain.model import Model
from lima.domain.problem import Problem, field_problem
from lima.domain.template import Network

DEFAULT_METRIC = 100
USER_V2 = "user-v2"
DEFAULT_NETWORKS = {"user-v2": USER_V2, "shared": "shared", "bridged": "bridged", "host": "host"}
"""The networks that networks.yaml defines when it is first written, with their modes."""

_MAC_BYTES = 6
_INTERFACE_BYTES = 16
_MAC = (
    re.compile(r"[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2})*"),
    re.compile(r"[0-9a-fA-F]{2}(?:-[0-9a-fA-F]{2})*"),
    re.compile(r"[0-9a-fA-F]{4}(?:\.[0-9a-fA-F]{4})*"),
)
_MAC_LENGTHS = (6, 8, 20)


class NetworkDefinition(Model, frozen=True, kw_only=True):
    """One entry of `networks` in networks.yaml."""

    mode: str | None = None
    gateway: str | None = None
    dhcp_end: str | None = None
    netmask: str | None = None
    interface: str | None = None


class NetworkPaths(Model, frozen=True, kw_only=True):
    """`paths` of networks.yaml."""

    socket_vmnet: str | None = msgspec.field(default=None, name="socketVMNet")
    var_run: str | None = None
    sudoers: str | None = None


class NetworksFile(Model, frozen=True, kw_only=True):
    """networks.yaml."""

    paths: NetworkPaths | None = None
    group: str | None = None
    networks: dict[str, NetworkDefinition] | None = None


class KnownNetworks(NamedTuple):
    """What networks.yaml defines, name to mode; `problem` is the sentence where it cannot be read."""

    modes: Mapping[str, str] = DEFAULT_NETWORKS
    problem: str = ""
    warning: str = ""


def known_networks(file: NetworksFile) -> KnownNetworks:
    """The default user-v2 network is there even where the file does not say so."""
    modes = {name: entry.mode or "" for name, entry in (file.networks or {}).items()}
    usable = any(entry.mode == USER_V2 and entry.gateway for entry in (file.networks or {}).values())
    return KnownNetworks(modes if usable else modes | {USER_V2: USER_V2})


def resolved_networks(
    networks: tuple[Network, ...], *, machine_id: str, config_path: str
) -> tuple[tuple[Network, ...], tuple[str, ...]]:
    """The combined and filled networks, and what was said about them.

    Args:
        networks: of the default file, the template and the override file, in this order.
        config_path: of the instance's lima.yaml; hardware addresses follow from it.
    """
    combined: list[Network] = []
    index_of: dict[str, int] = {}
    said: list[str] = []
    for network in networks:
        name = network.interface or ""
        if not name or name not in index_of:
            if name:
                index_of[name] = len(combined)
            combined.append(network)
            continue
        if network.socket and network.lima:
            said.append(
                f"Network {quote(name)} has both socket={quote(network.socket)} and lima={quote(network.lima)} fields;"
                " ignoring socket"
            )
        combined[index_of[name]] = _changed(combined[index_of[name]], network)
    filled = (_filled(network, index, machine_id, f"{config_path}#{index}") for index, network in enumerate(combined))
    return tuple(filled), tuple(said)


def _changed(network: Network, later: Network) -> Network:
    changes: dict[str, object] = {}
    if later.socket:
        changes |= {"socket": later.socket, "lima": None}
    if later.lima:
        changes |= {"lima": later.lima, "socket": None}
    if later.mac_address:
        changes["mac_address"] = later.mac_address
    if later.metric is not None:
        changes["metric"] = later.metric
    return msgspec.structs.replace(network, **changes)


def _filled(network: Network, index: int, machine_id: str, unique_id: str) -> Network:
    return msgspec.structs.replace(
        network,
        lima=network.lima or None,
        socket=network.socket or None,
        mac_address=network.mac_address or mac_address(machine_id, unique_id),
        interface=network.interface or f"lima{index}",
        metric=DEFAULT_METRIC if network.metric is None else network.metric,
    )


def mac_address(machine_id: str, unique_id: str) -> str:
    """The hardware address of one network card: stable for a host and a `unique_id` (the instance directory for the
    first card). Source: reference, config §5.7."""
    tail = hashlib.sha256((machine_id + unique_id).encode(errors="surrogateescape")).digest()[:3]
    return ":".join(f"{byte:02x}" for byte in b"\x52\x55\x55" + tail)


def mac_length(text: str) -> int:
    """How many bytes a hardware address has, in any of the usual forms; 0 for none."""
    if not any(form.fullmatch(text) for form in _MAC):
        return 0
    length = sum(rune not in ":-." for rune in text) // 2
    return length if length in _MAC_LENGTHS else 0


def network_problems(
    networks: tuple[Network, ...], *, host_os: HostOS, known: KnownNetworks, paths: Mapping[str, PathState]
) -> Iterator[Problem]:
    """`networks` are filled; `paths` tells what is at each `socket`."""
    first: dict[str, int] = {}
    named = next((index for index, network in enumerate(networks) if network.lima), None)
    if known.problem and named is not None:
        yield Problem(path=f"networks[{named}].lima", message=known.problem)
    for index, network in enumerate(networks):
        field = f"networks[{index}]"
        yield from _attachment_problems(network, field, host_os, known, paths)
        yield from _mac_problems(network.mac_address or "", field)
        yield from _interface_problems(network.interface or "", field)
        name = network.interface or ""
        if name in first:
            yield field_problem(
                f"{field}.interface",
                f"value {quote(name)} has already been used by field `networks[{first[name]}].interface`",
            )
        first.setdefault(name, index)


def _attachment_problems(
    network: Network, field: str, host_os: HostOS, known: KnownNetworks, paths: Mapping[str, PathState]
) -> Iterator[Problem]:
    if network.lima and not known.problem:
        if network.lima not in known.modes:
            yield Problem(path=f"{field}.lima", message=f"network {quote(network.lima)} is not defined")
        elif known.modes[network.lima] != USER_V2 and host_os != HostOS.DARWIN:
            yield field_problem(f"{field}.lima", "is only supported on macOS right now")
    set_fields = [
        name for name, value in (("lima", network.lima), ("socket", network.socket), ("vzNAT", network.vz_nat)) if value
    ]
    if not set_fields:
        yield Problem(path=field, message=f"field `{field}.lima` or  field `{field}.socket must be set")
        return
    chosen, *others = set_fields
    for other in others:
        yield field_problem(f"{field}.{chosen}", f"and field `{field}.{other}` are mutually exclusive")
    if chosen == "socket":
        yield from _socket_problems(network.socket or "", f"{field}.socket", paths)


def _socket_problems(path: str, field: str, paths: Mapping[str, PathState]) -> Iterator[Problem]:
    state = paths.get(path, ABSENT)
    if state.kind is PathKind.UNKNOWN:
        yield Problem(path=field, message=state.problem)
    elif state.kind not in (PathKind.MISSING, PathKind.SOCKET):
        yield field_problem(field, f"{quote(path)} points to a non-socket file")


def _mac_problems(text: str, field: str) -> Iterator[Problem]:
    length = mac_length(text)
    if not length:
        yield Problem(
            path=f"{field}.macAddress", message=f"field `vmnet.mac` invalid: address {text}: invalid MAC address"
        )
    if length != _MAC_BYTES:
        yield field_problem(
            f"{field}.macAddress",
            f"must be a 48 bit (6 bytes) MAC address; actual length of {quote(text)} is {length} bytes",
        )


def _interface_problems(name: str, field: str) -> Iterator[Problem]:
    length = len(name.encode(errors="surrogatepass"))
    if length >= _INTERFACE_BYTES:
        yield field_problem(
            f"{field}.interface", f"must be less than {_INTERFACE_BYTES} bytes, but is {length} bytes: {quote(name)}"
        )
    if any(rune in " \t\n/" for rune in name):
        yield field_problem(f"{field}.interface", "must not contain whitespace or slashes")
    if name == "eth0":
        yield field_problem(f"{field}.interface", "must not be set to `eth0` because it is reserved for slirp")
