"""An instance record under the names that its fields have in Go. Source: reference, cli §9.4 and config §7.2."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import gotpl
from msgspec import inspect

from lima.domain.template import Template

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
    """How a value reads in Go. `fields`: of a struct, JSON name to shape; `item`: of a list; `zero`: where absent."""

    zero: Any = None
    fields: Mapping[str, "Shape"] | None = None
    item: "Shape | None" = None
    is_map: bool = False
    is_pointer: bool = False


class NilPointer(gotpl.GoPointer[object]):
    """What is not there: false in conditions, `<nil>` in text, and without fields."""

    def __init__(self) -> None:
        super().__init__(None)

    def __gotemplate_lookup__(self, name: str) -> object:
        raise gotpl.TemplateExecutionError(f"nil pointer evaluating {name}")


class Record:
    """A Go struct: fields by their Go names, a wrong name is an error."""

    __slots__ = ("_data", "_shape")

    def __init__(self, data: Mapping[str, Any], shape: Shape) -> None:
        self._data = data
        self._shape = shape

    def __gotemplate_lookup__(self, name: str) -> object:
        for key, shape in (self._shape.fields or {}).items():
            if go_name(key) == name:
                return shaped(self._data[key], shape) if key in self._data else absent(shape)
        raise gotpl.TemplateExecutionError(f"can't evaluate field {name}")

    def __go_format_value__(self, kind: str, mode: str, *, nested: bool) -> str:
        values = (self._data.get(key) for key in self._shape.fields or ())
        return "{" + " ".join("" if value is None else str(value) for value in values) + "}"

    def items(self) -> Iterator[tuple[str, object]]:
        """What is set, by JSON names, in the order of the data."""
        fields = self._shape.fields or {}
        for key, value in self._data.items():
            yield key, shaped(value, fields.get(key, Shape()))


def shaped(value: object, shape: Shape) -> object:
    """`value` as Go sees it."""
    if value is None:
        return absent(shape)
    if shape.fields is not None and isinstance(value, Mapping):
        return Record(value, shape)
    if shape.item is not None and isinstance(value, list | tuple):
        return [shaped(item, shape.item) for item in value]
    if shape.is_map and isinstance(value, Mapping):
        return gotpl.TypedMap(value, "", "string", "string")
    return value


def absent(shape: Shape) -> object:
    """Go's zero value."""
    if shape.is_pointer:
        return NilPointer()
    if shape.fields is not None:
        return Record({}, shape)
    if shape.item is not None:
        return []
    return {} if shape.is_map else shape.zero


def bare(value: object) -> Any:
    """A value that JSON knows."""
    return None if isinstance(value, NilPointer) else value


@lru_cache(maxsize=1)
def instance_shape() -> Shape:
    """The shape of a record, its configuration's derived from the Template itself."""
    config = _of(inspect.type_info(Template))
    config_fields = config.fields or {}
    text, number, flag = Shape(zero=""), Shape(zero=0), Shape(zero=False)
    return Shape(
        fields={
            "name": text,
            "hostname": text,
            "status": text,
            "dir": text,
            "vmType": text,
            "arch": text,
            "cpus": number,
            "memory": number,
            "disk": number,
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
            "HostOS": text,
            "HostArch": text,
            "LimaHome": text,
            "IdentityFile": text,
        }
    )


def _of(kind: inspect.Type) -> Shape:
    while isinstance(kind, inspect.Metadata | inspect.UnionType):
        if isinstance(kind, inspect.Metadata):
            kind = kind.type
        else:
            kind = next(member for member in kind.types if not isinstance(member, inspect.NoneType))
    if isinstance(kind, inspect.StructType):
        return Shape(fields={entry.encode_name: _of(entry.type) for entry in kind.fields})
    if isinstance(kind, inspect.VarTupleType):
        return Shape(item=_of(kind.item_type))
    if isinstance(kind, inspect.DictType):
        return Shape(is_map=True)
    return Shape(is_pointer=True)  # scalars of a configuration are pointers, so that "not set" can be told
