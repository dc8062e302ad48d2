"""The flags that edit a template (`--cpus`, `--mount`, `--set` …), and the yq expressions that they stand for.

They are evaluated in the order of `EditFlags`' fields, whatever their order on the command line; `--set` is a yq
expression itself. Values are checked here as far as their form goes; whether they make sense says the validation of the
edited template. Source: reference, cli §4.2.
"""

import json
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any

from lima.domain.errors import CommandError
from lima.domain.flag_values import parse_forward, parse_list, parse_mount, parse_network
from lima.domain.host import HostFacts
from lima.domain.instance import quote
from lima.domain.template import Mount, Network

_CONTAINERD = {
    "user": (True, False),
    "system": (False, True),
    "user+system": (True, True),
    "system+user": (True, True),
    "none": (False, False),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EditFlags:
    """None and empty: not given. Lists are as they were typed, each value a list of its own. Sizes are in GiB."""

    cpus: int | None = None
    dns: tuple[str, ...] = ()
    memory: float | None = None
    mount: tuple[str, ...] = ()
    mount_only: tuple[str, ...] = ()
    mount_none: bool | None = None
    mount_type: str | None = None
    vm_type: str | None = None
    mount_inotify: bool | None = None
    mount_writable: bool | None = None
    network: tuple[str, ...] = ()
    nested_virt: bool | None = None
    rosetta: bool | None = None
    set: tuple[str, ...] = ()
    param: tuple[str, ...] = ()
    video: bool | None = None
    audio_device: str | None = None
    audio_interface: str | None = None
    ssh_port: int | None = None
    image_variant: str | None = None
    arch_variant: str | None = None
    arch: str | None = None
    containerd: str | None = None
    disk: float | None = None
    plain: bool | None = None
    port_forward: tuple[str, ...] = ()
    shell: str | None = None

    def given(self) -> tuple[str, ...]:
        """The names of those that were given, in the order in which they are evaluated."""
        return tuple(field.name for field in fields(self) if getattr(self, field.name) not in (None, ()))

    def __bool__(self) -> bool:
        return bool(self.given())


NO_EDITS = EditFlags()
NEW_ONLY = frozenset({"image_variant", "arch_variant", "arch", "containerd", "plain"})
"""They choose what an instance is made of."""
EXPERIMENTAL = frozenset({"mount_inotify", "audio_device", "audio_interface"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Edits:
    """Expressions in their order, and what is to be said about the flags."""

    expressions: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What flags are evaluated against: the host, and the `param:` of the template or instance."""

    facts: HostFacts
    params: Mapping[str, object]
    is_new: bool


def edits_of(flags: EditFlags, around: Surroundings) -> Edits:
    """Raises: CommandError for a value that has not the form of its flag, and for flags that exclude each other."""
    expressions: list[str] = []
    warnings: list[str] = []
    for name in flags.given():
        flag = "--" + name.replace("_", "-")
        if name in NEW_ONLY and not around.is_new:
            value = getattr(flags, name)
            shown = str(value).lower() if isinstance(value, bool) else value
            warnings.append(
                f"`{flag}` is not applicable to an existing instance"
                f" (Hint: create a new instance with `limactl create {flag}={shown} --name=NAME`)"
            )
            continue
        try:
            expressions += _EXPRESSIONS[name](getattr(flags, name), flags, around)
        except CommandError as error:
            bare = flag.removeprefix("--")
            raise CommandError(
                f"error while processing flag {quote(bare)}: {error.message}", hint=error.hint
            ) from error
        if name in EXPERIMENTAL:
            warnings.append(f"`{flag}` is experimental")
        if name == "dns":
            servers = " ".join(_items(flags.dns))
            warnings.append(f"Disabling HostResolver, as custom DNS addresses ([{servers}]) are specified")
    return Edits(expressions=tuple(expressions), warnings=tuple(warnings))


# --- one flag each ---------------------------------------------------------------------------------------------------


def _cpus(value: int, *_: object) -> Iterator[str]:
    if value < 0:
        raise CommandError("invalid value for number of cpus, must be >= 0", hint="0 stands for the default")
    yield f".cpus = {value}"


def _dns(value: tuple[str, ...], *_: object) -> Iterator[str]:
    yield f".dns += {_json(_items(value))} | .dns |= unique | .hostResolver.enabled=false"


def _size(field: str) -> "_Rule":
    def rule(value: float, *_: object) -> Iterator[str]:
        yield f'{field} "{_gibibytes(value)}GiB"'

    return rule


def _mount(value: tuple[str, ...], flags: EditFlags, around: Surroundings) -> Iterator[str]:
    if flags.mount_only:
        raise CommandError("flag `--mount` conflicts with `--mount-only`")
    mounts = _mounts(value, around.facts)
    yield f".mounts = {_json(mounts[::-1])} + .mounts"


def _mount_only(value: tuple[str, ...], _flags: EditFlags, around: Surroundings) -> Iterator[str]:
    yield f".mounts = {_json(_mounts(value, around.facts))}"


def _mount_none(_value: bool, flags: EditFlags, _around: Surroundings) -> Iterator[str]:
    for name in ("mount", "mount_only"):
        if getattr(flags, name):
            raise CommandError(f"flag `--mount-none` conflicts with {quote(name.replace('_', '-'))}")
    yield ".mounts = null"


def _network(value: tuple[str, ...], *_: object) -> Iterator[str]:
    networks = [_network_item(parse_network(item)) for item in _items(value)]
    yield f".networks += {_json(networks)} | .networks |= unique_by(.lima)"


def _rosetta(value: bool, *_: object) -> Iterator[str]:
    yield f".vmOpts.vz.rosetta.enabled = {_json(value)} | .vmOpts.vz.rosetta.binfmt = {_json(value)}"


def _set(value: tuple[str, ...], *_: object) -> Iterator[str]:
    yield from value


def _param(value: tuple[str, ...], _flags: EditFlags, around: Surroundings) -> Iterator[str]:
    for item in value:
        name, equals, text = item.partition("=")
        if not equals:
            raise CommandError(f"invalid parameter {quote(item)}, expected NAME=VALUE")
        if name not in around.params:
            known = ", ".join(around.params) or "none"
            raise CommandError(f"template does not define param {quote(name)}", hint=f"its parameters: {known}")
        yield f".param[{_json(name)}] = {_json(text)}"


def _video(value: bool, *_: object) -> Iterator[str]:
    yield f'.video.display = "{"default" if value else "none"}"'


def _variant(field: str, flag: str) -> "_Rule":
    def rule(value: str, *_: object) -> Iterator[str]:
        if not value:
            raise CommandError(f"`--{flag}` must not be empty")
        yield f".images = [.images[] | select(.{field} == {_json(value)})]"

    return rule


def _chosen_containerd(value: str, *_: object) -> Iterator[str]:
    if value not in _CONTAINERD:
        raise CommandError(f"expected one of [`user`, `system`, `user+system`, `none`], got {quote(value)}")
    user, system = _CONTAINERD[value]
    yield f".containerd.user = {_json(user)} | .containerd.system = {_json(system)}"


def _port_forward(value: tuple[str, ...], *_: object) -> Iterator[str]:
    forwards = [
        {"guestPort": forward.guest_port, "hostPort": forward.host_port, "static": forward.static}
        for forward in map(parse_forward, value)
    ]
    yield f".portForwards += {_json(forwards)}"


def _assigned(field: str) -> "_Rule":
    """A value as it is: a text, a number or a boolean."""

    def rule(value: str | int | bool, *_: object) -> Iterator[str]:
        yield f"{field} = {_json(value)}"

    return rule


_Rule = Callable[[Any, EditFlags, Surroundings], Iterator[str]]
_EXPRESSIONS: Mapping[str, _Rule] = {
    "cpus": _cpus,
    "dns": _dns,
    "memory": _size(".memory ="),
    "mount": _mount,
    "mount_only": _mount_only,
    "mount_none": _mount_none,
    "mount_type": _assigned(".mountType"),
    "vm_type": _assigned(".vmType"),
    "mount_inotify": _assigned(".mountInotify"),
    "mount_writable": _assigned(".mounts[].writable"),
    "network": _network,
    "nested_virt": _assigned(".nestedVirtualization"),
    "rosetta": _rosetta,
    "set": _set,
    "param": _param,
    "video": _video,
    "audio_device": _assigned(".audio.device"),
    "audio_interface": _assigned(".audio.interface"),
    "ssh_port": _assigned(".ssh.localPort"),
    "image_variant": _variant("variant", "image-variant"),
    "arch_variant": _variant("archVariant", "arch-variant"),
    "arch": _assigned(".arch"),
    "containerd": _chosen_containerd,
    "disk": _size(".disk="),
    "plain": _assigned(".plain"),
    "port_forward": _port_forward,
    "shell": _assigned(".user.shell"),
}


# --- values ----------------------------------------------------------------------------------------------------------


def _items(values: Sequence[str]) -> list[str]:
    return [item for value in values for item in parse_list(value)]


def _mounts(values: Sequence[str], facts: HostFacts) -> list[dict[str, object]]:
    return [_mount_item(parse_mount(item, facts)) for item in _items(values)]


def _mount_item(mount: Mount) -> dict[str, object]:
    return {"location": mount.location, "mountPoint": mount.mount_point, "writable": mount.writable}


def _network_item(network: Network) -> dict[str, object]:
    return {"vzNAT": True} if network.vz_nat else {"lima": network.lima}


def _gibibytes(value: float) -> str:
    """In as few digits as tell it from other numbers of upstream's precision, without an exponent."""
    single = _single(value)
    digits = next(text for precision in range(1, 10) if _single(float(text := f"{single:.{precision}g}")) == single)
    return f"{Decimal(digits):f}"


def _single(value: float) -> float:
    return float(struct.unpack("f", struct.pack("f", value))[0])


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
