"""An instance record under the names that its fields have in Go. Source: reference, cli §9.4 and config §7.2."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import gotpl
from msgspec import inspect

from lima.adapters.gotemplate.printing import sprint
from lima.adapters.gotemplate.values import NIL, Int64, NilList, NilMap, NilPointer, Pointer, text_map, wrapped
from lima.domain.template import (
    AdditionalDisk,
    CopyToHost,
    File,
    FirmwareFile,
    Image,
    Kernel,
    LocatorRef,
    Mount,
    Network,
    PortForward,
    Probe,
    ProvisionStep,
    Template,
)

_GO_NAMES = {
    "9p": "NineP",
    "caCerts": "CACertificates",
    "cpuType": "CPUType",
    "cpus": "CPUs",
    "dns": "DNS",
    "fsArgs": "FSArgs",
    "fsType": "FSType",
    "guest": "GuestFile",
    "host": "HostFile",
    "ipv6": "IPv6",
    "macAddress": "MACAddress",
    "network": "Networks",
    "os": "OS",
    "osOpts": "OSOpts",
    "sftpDriver": "SFTPDriver",
    "ssh": "SSH",
    "sshAddress": "SSHAddress",
    "sshConfigFile": "SSHConfigFile",
    "sshLocalPort": "SSHLocalPort",
    "sshfs": "SSHFS",
    "timezone": "TimeZone",
    "tpm": "TPM",
    "uid": "UID",
    "url": "URL",
    "vmOpts": "VMOpts",
    "vmType": "VMType",
    "vnc": "VNC",
    "vzNAT": "VZNAT",
}


def go_name(key: str) -> str:
    """`vmType` → `VMType`."""
    return _GO_NAMES.get(key) or key[:1].upper() + key[1:]


class Shape(NamedTuple):
    """How a value reads in Go. `fields`: of a struct, JSON name to shape; `item`: of a list; `zero`: of a scalar.

    `embeds` names a struct whose fields are also this one's own: the first `embedded` of them. `always`: fields that
    JSON shows even when they are zero.
    """

    zero: Any = None
    fields: Mapping[str, "Shape"] | None = None
    item: "Shape | None" = None
    is_map: bool = False
    is_pointer: bool = False
    is_array: bool = False
    embeds: str = ""
    embedded: int = 0
    always: frozenset[str] = frozenset()


class Record:
    """A Go struct: fields by their Go names, a wrong name is an error."""

    __slots__ = ("_data", "_shape")

    def __init__(self, data: Mapping[str, Any], shape: Shape) -> None:
        self._data = data
        self._shape = shape

    def __gotemplate_lookup__(self, name: str) -> object:
        if name and name == self._shape.embeds:
            return self._inner()
        for key in self._shape.fields or {}:
            if go_name(key) == name:
                return self._field(key)
        raise gotpl.TemplateExecutionError(f"can't evaluate field {name}")

    def __str__(self) -> str:
        return sprint(self)

    def go_fields(self) -> Iterator[tuple[str, object]]:
        """Names and values in Go's order; what is embedded comes first, as one."""
        keys = tuple(self._shape.fields or ())
        if self._shape.embeds:
            yield self._shape.embeds, self._inner()
        for key in keys[self._shape.embedded :]:
            yield go_name(key), self._field(key)

    def items(self) -> Iterator[tuple[str, object]]:
        """What JSON shows, by JSON names: all structs, and whatever is not zero."""
        for key, shape in (self._shape.fields or {}).items():
            value = self._field(key)
            is_struct = shape.fields is not None and not shape.is_pointer
            if is_struct or shape.is_array or key in self._shape.always or not _is_zero(value):
                yield key, value

    def _field(self, key: str) -> object:
        return shaped(self._data.get(key), (self._shape.fields or {})[key])

    def _inner(self) -> "Record":
        fields = self._shape.fields or {}
        kept = dict(list(fields.items())[: self._shape.embedded])
        return Record(self._data, Shape(fields=kept, always=self._shape.always))


def _is_zero(value: object) -> bool:
    return isinstance(value, NilPointer) or (not isinstance(value, Pointer | Record) and not value)


def shaped(value: object, shape: Shape) -> object:
    """`value` as Go sees it."""
    if value is None:
        return absent(shape)
    if shape.fields is not None and isinstance(value, Mapping):
        result: object = Record(value, shape)
    elif shape.item is not None and isinstance(value, list | tuple):
        result = [shaped(item, shape.item) for item in value]
    elif shape.is_map and isinstance(value, Mapping):
        result = text_map(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        result = type(shape.zero)(value) if isinstance(shape.zero, int) else value
    else:
        result = wrapped(value)
    return Pointer(result) if shape.is_pointer else result


def absent(shape: Shape) -> object:
    """Go's zero value."""
    if shape.is_pointer:
        return NIL
    if shape.fields is not None:
        return Record({}, shape)
    if shape.item is not None:
        return [0, 0] if shape.is_array else NilList()
    return NilMap({}, "string", "") if shape.is_map else shape.zero


@lru_cache(maxsize=1)
def instance_shape() -> Shape:
    """The shape of a record, its configuration's derived from the Template itself."""
    config = _of(inspect.type_info(Template))
    config_fields = config.fields or {}
    text, number, size, flag = Shape(zero=""), Shape(zero=0), Shape(zero=Int64()), Shape(zero=False)
    instance = {
        "name": text,
        "hostname": text,
        "status": text,
        "dir": text,
        "vmType": text,
        "arch": text,
        "cpus": number,
        "memory": size,
        "disk": size,
        "message": text,
        "additionalDisks": config_fields["additionalDisks"],
        "network": config_fields["networks"],
        "sshLocalPort": number,
        "sshConfigFile": text,
        "hostAgentPID": number,
        "driverPID": number,
        "errors": Shape(item=text),
        "config": config._replace(is_pointer=True),
        "sshAddress": text,
        "protected": flag,
        "limaVersion": text,
        "param": Shape(is_map=True),
        "autoStartedIdentifier": text,
    }
    old = {"HostOS": text, "HostArch": text, "LimaHome": text, "IdentityFile": text}
    always = frozenset(("name", "hostname", "status", "dir", "vmType", "arch", "protected", "limaVersion", *old))
    return Shape(fields=instance | old, embeds="Instance", embedded=len(instance), always=always)


def _of(kind: inspect.Type, *, plain: bool = False) -> Shape:
    """`plain`: a scalar is no pointer."""
    while isinstance(kind, inspect.Metadata | inspect.UnionType):
        if isinstance(kind, inspect.Metadata):
            kind = kind.type
        else:
            kind = next(member for member in kind.types if not isinstance(member, inspect.NoneType))
    if isinstance(kind, inspect.StructType):
        return _struct(kind)
    if isinstance(kind, inspect.VarTupleType):
        return Shape(item=_of(kind.item_type, plain=True))
    if isinstance(kind, inspect.TupleType):
        return Shape(item=Shape(zero=0), is_array=True)
    if isinstance(kind, inspect.DictType):
        return Shape(is_map=True)
    return Shape(zero=_ZEROS.get(type(kind), ""), is_pointer=not plain)


def _struct(kind: inspect.StructType) -> Shape:
    plain = next((_PLAIN[model] for model in kind.cls.__mro__ if model in _PLAIN), frozenset[str]())
    plain |= _PLAIN[File] if issubclass(kind.cls, File) else frozenset()
    fields = {}
    for entry in kind.fields:
        shape = _of(entry.type, plain=entry.encode_name in plain)
        fields[entry.encode_name] = shape._replace(is_pointer=True) if entry.encode_name in _POINTERS else shape
    is_file = issubclass(kind.cls, File) and kind.cls is not File
    return Shape(
        fields=fields,
        embeds="File" if is_file else "",
        embedded=len(_PLAIN[File]) if is_file else 0,
        always=_ALWAYS.get(kind.cls, frozenset()) | (_ALWAYS[File] if is_file else frozenset()),
    )


_ZEROS: dict[type, object] = {inspect.IntType: 0, inspect.BoolType: False, inspect.StrType: ""}
# The scalars that are no pointers in Go: where "not set" and zero mean the same. Source: reference, config §1.
_PLAIN: dict[type, frozenset[str]] = {
    LocatorRef: frozenset(("url",)),
    File: frozenset(("location", "arch", "digest")),
    Kernel: frozenset(("cmdline",)),
    Image: frozenset(("variant", "archVariant")),
    FirmwareFile: frozenset(("vmType",)),
    AdditionalDisk: frozenset(("name",)),
    Mount: frozenset(("location",)),
    ProvisionStep: frozenset(("mode", "playbook")),
    Probe: frozenset(("mode", "description", "hint")),
    PortForward: frozenset(
        ("guestPort", "guestSocket", "guestIP", "hostPort", "hostSocket", "hostIP", "proto", "reverse", "ignore")
    ),
    CopyToHost: frozenset(("guest", "host", "deleteOnStop")),
    Network: frozenset(("lima", "socket", "macAddress", "interface")),
    Template: frozenset(("message",)),
}
_POINTERS = frozenset(("kernel", "initrd", "file"))
_ALWAYS: dict[type, frozenset[str]] = {
    File: frozenset(("location",)),
    Mount: frozenset(("location",)),
    AdditionalDisk: frozenset(("name",)),
}
