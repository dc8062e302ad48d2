"""Values of the flags that edit a template, and how they are written: lists, mounts, networks, port forwards.

Nothing is checked here that validation checks of the edited template. Source: reference, cli §4.2.
"""

import csv
from typing import NamedTuple

from lima.domain.errors import CommandError
from lima.domain.host import HostFacts
from lima.domain.instance import quote
from lima.domain.locator import absolute_path
from lima.domain.mounts import clean_path
from lima.domain.template import Mount, Network

_WRITABLE = ":w"
_LIMA = "lima:"
_VZ_NAT = "vzNAT"
_STATIC = "static="
_BOOLEANS = dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True) | dict.fromkeys(
    ("0", "f", "F", "FALSE", "false", "False"), False
)


# --- lists -----------------------------------------------------------------------------------------------------------


def parse_list(text: str) -> tuple[str, ...]:
    """The items of a flag that also takes several at once: `a,b`, with quotes where an item has a comma (`"a,b",c`).

    Raises: CommandError for quotes that do not close.
    """
    try:
        rows = list(csv.reader([text], strict=True))
    except csv.Error as error:
        raise CommandError(f"invalid list {quote(text)}: {error}") from None
    return tuple(rows[0]) if rows else ()


def format_list(items: tuple[str, ...]) -> str:
    """The inverse of `parse_list`."""
    return ",".join(_quoted(item) for item in items)


def _quoted(item: str) -> str:
    if item and not any(mark in item for mark in ',"\r\n'):
        return item
    return '"' + item.replace('"', '""') + '"'


# --- mounts ----------------------------------------------------------------------------------------------------------


def parse_mount(text: str, facts: HostFacts) -> Mount:
    """What `--mount` adds: `DIR`, or `DIR:w` for a writable one, mounted at the same path in the guest.

    Raises: CommandError.
    """
    path = text.removesuffix(_WRITABLE)
    if not path:
        raise CommandError("empty path", hint="write DIR or DIR:w")
    if path.startswith("~") and path != "~" and not path.startswith("~/"):
        raise CommandError(f"unexpandable path {quote(path)}", hint="only your own home can be written as `~`")
    location = clean_path(absolute_path(path, facts))
    return Mount(location=location, mount_point=location, writable=path != text)


def format_mount(mount: Mount) -> str:
    """The inverse of `parse_mount`; mounts that it cannot state lose their mount point."""
    location = mount.location or ""
    if mount.writable:
        return location + _WRITABLE
    return location + "/" if location.endswith(_WRITABLE) else location


# --- networks --------------------------------------------------------------------------------------------------------


def parse_network(text: str) -> Network:
    """What `--network` adds: `lima:NAME` or `vzNAT`. Raises: CommandError."""
    if text == _VZ_NAT:
        return Network(vz_nat=True)
    if text.startswith(_LIMA):
        return Network(lima=text.removeprefix(_LIMA))
    raise CommandError(
        f"network name must be `vzNAT` or `lima:*`, got {quote(text)}", hint="write for example `lima:user-v2`"
    )


def format_network(network: Network) -> str:
    """The inverse of `parse_network`."""
    return _VZ_NAT if network.vz_nat else _LIMA + (network.lima or "")


# --- port forwards ---------------------------------------------------------------------------------------------------


class Forward(NamedTuple):
    """What `--port-forward` adds. Ports are texts as they were given: the template gets them as they are."""

    host_port: str
    guest_port: str
    static: bool = False


def parse_forward(text: str) -> Forward:
    """`HOST:GUEST`, or `HOST:GUEST,static=BOOL`; blanks around the parts do not count. Raises: CommandError."""
    parts = text.split(",")
    if len(parts) > 2:
        raise _no_forward(text, "HOST:GUEST or HOST:GUEST,static=true")
    ports = parts[0].strip().split(":")
    if len(ports) != 2:
        raise _no_forward(text, "HOST:GUEST")
    static = len(parts) == 2 and _static(parts[1].strip())
    return Forward(ports[0].strip(), ports[1].strip(), static)


def _no_forward(text: str, expected: str) -> CommandError:
    return CommandError(
        f"invalid port forward format {quote(text)}, expected {expected}", hint="write for example `8080:80`"
    )


def _static(parameter: str) -> bool:
    if not parameter.startswith(_STATIC):
        raise CommandError(f"invalid parameter {quote(parameter)}, expected `static=` followed by a boolean value")
    value = parameter.removeprefix(_STATIC)
    if value not in _BOOLEANS:
        raise CommandError(f"invalid value for static parameter: {quote(value)}", hint="write `true` or `false`")
    return _BOOLEANS[value]


def format_forward(forward: Forward) -> str:
    """The inverse of `parse_forward`."""
    return f"{forward.host_port}:{forward.guest_port}" + (f",{_STATIC}true" if forward.static else "")
