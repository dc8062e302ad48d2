"""The JSON schema of lima.yaml, for editors. Source: reference, config §4.7.

It is narrower than what is read: most texts are texts, and null stands only where upstream's schema lets it stand.
"""

from typing import Any

import msgspec
from msgspec import inspect

from lima.domain.machine import Arch, GuestOS
from lima.domain.template import (
    AdditionalDisk,
    AudioSection,
    CaCertsSection,
    ContainerdSection,
    CopyToHost,
    File,
    FirmwareFile,
    FirmwareSection,
    Image,
    Kernel,
    LocatorRef,
    Mark,
    Mount,
    Network,
    PortForward,
    Probe,
    ProvisionStep,
    Sshfs,
    SshSection,
    Template,
    UserSection,
    VideoSection,
    Virtiofs,
    VncSection,
)

SCHEMA = "https://json-schema.org/draft/2020-12/schema"
ID = "https://github.com/lima-vm/lima/v2/pkg/limatype/lima-yaml"
_NAMES: dict[type, str] = {
    Template: "LimaYAML",
    LocatorRef: "LocatorWithDigest",
    FirmwareFile: "FileWithVMType",
    AdditionalDisk: "Disk",
    Sshfs: "SSHFS",
    SshSection: "SSH",
    FirmwareSection: "Firmware",
    AudioSection: "Audio",
    VncSection: "VNCOptions",
    VideoSection: "Video",
    ProvisionStep: "Provision",
    ContainerdSection: "Containerd",
    CaCertsSection: "CACertificates",
    UserSection: "User",
}
"""Upstream's names, where they are not ours."""
_REQUIRED = ("location", "name", "url")
_WITHOUT_NULL = frozenset({"mounts", "provision", "probes", "portForwards", "copyToHost", "dns", "message"})
_FREE_MAPS = ("env", "param")
_ANY_SCALAR = {"oneOf": [{"type": "string"}, {"type": "boolean"}, {"type": "number"}]}
"""Users write `true` for a text there, and so does upstream in templates of its own."""
_PLAIN: frozenset[type] = frozenset({
    LocatorRef, File, Kernel, Image, FirmwareFile, AdditionalDisk,
    Virtiofs, ProvisionStep, Probe, PortForward, CopyToHost,
    Network,
})  # fmt: skip
"""Objects none of whose fields is null."""
_ENUMS: dict[str, tuple[str, ...]] = {
    "vmType": ("qemu", "vz", "wsl2"),
    "os": tuple(system.value for system in GuestOS),
    "arch": tuple(arch.value for arch in Arch),
    "mountType": ("reverse-sshfs", "9p", "virtiofs", "wsl2"),
}
_DEFAULTS: dict[tuple[type, str], str] = {(ProvisionStep, "mode"): "system", (Probe, "mode"): "readiness"}
_SCALARS: dict[type, str] = {
    inspect.BoolType: "boolean",
    inspect.IntType: "integer",
    inspect.StrType: "string",
}
_OPEN = {"vmOpts": "VMOpts", "osOpts": "OsOpts"}
"""What is in them is known to whoever owns an entry."""


def template_schema() -> dict[str, Any]:
    """The whole document; its definitions are sorted by name."""
    definitions: dict[str, Any] = {}
    _define(inspect.type_info(Template), definitions)
    return {
        "$schema": SCHEMA,
        "$id": ID,
        "$ref": "#/$defs/LimaYAML",
        "$defs": dict(sorted(definitions.items())),
    }


def _define(shape: inspect.Type, definitions: dict[str, Any]) -> dict[str, Any]:
    """A reference to the definition of an object, which is added where it is missing."""
    assert isinstance(shape, inspect.StructType)
    cls = shape.cls
    name = _NAMES.get(cls, cls.__name__)
    if name not in definitions:
        definitions[name] = {}  # its place: objects may contain themselves
        fields = {field.encode_name: _field(cls, field, definitions) for field in shape.fields}
        required = [field for field in fields if field in _REQUIRED and cls in (*_PLAIN, Mount)]
        whole = {"type": "object", "properties": fields, "additionalProperties": False}
        definitions[name] = whole | ({"required": required} if required else {})
    return _ref(name)


def _field(cls: type, field: inspect.Field, definitions: dict[str, Any]) -> dict[str, Any]:
    name = field.encode_name
    if cls is Template and name in _OPEN:
        definitions[_OPEN[name]] = {"type": "object"}
        return _ref(_OPEN[name])
    if cls is Template and name == "base":
        locator = _schema(_inner(field.type).item_type, definitions)  # type: ignore[attr-defined]
        definitions["BaseTemplates"] = {"oneOf": [{"type": "string"}, {"type": "array", "items": locator}]}
        return _ref("BaseTemplates")
    if cls is Template and name in _FREE_MAPS:
        return {"type": "object", "additionalProperties": _ANY_SCALAR}
    schema = _schema(_inner(field.type), definitions)
    is_nullable = cls not in _PLAIN and name not in _WITHOUT_NULL and name not in _REQUIRED
    if is_nullable and "$ref" not in schema:
        schema = {"oneOf": [schema, {"type": "null"}]}
    if cls is Template and name in _ENUMS:
        schema["enum"] = [None, *_ENUMS[name]]
    if (cls, name) in _DEFAULTS:
        schema["default"] = _DEFAULTS[cls, name]
    return schema


def _inner(shape: inspect.Type) -> inspect.Type:
    """Without `None`, and without remarks that are not about the value itself."""
    if isinstance(shape, inspect.UnionType):
        return _inner(next(member for member in shape.types if not isinstance(member, inspect.NoneType)))
    if isinstance(shape, inspect.Metadata) and not {Mark.SHORTHAND, Mark.IP_ADDRESS} & set(shape.extra or {}):
        return _inner(shape.type)
    return shape


def _schema(shape: inspect.Type, definitions: dict[str, Any]) -> dict[str, Any]:
    match shape:
        case inspect.Metadata(extra={Mark.SHORTHAND: key}):
            reference = _define(shape.type, definitions)
            name = reference["$ref"].rpartition("/")[2]
            if "oneOf" not in definitions[name]:
                definitions[name] = {"oneOf": [{"type": "string"}, definitions[name] | {"required": [key]}]}
            return reference
        case inspect.Metadata():
            return {"type": "string", "format": "ipv4"}
        case inspect.StructType():
            return _define(shape, definitions)
        case inspect.VarTupleType():
            return {"type": "array", "items": _schema(shape.item_type, definitions)}
        case inspect.TupleType():
            size = len(shape.item_types)
            return {"type": "array", "items": {"type": "integer"}, "minItems": size, "maxItems": size}
        case inspect.DictType():
            return {"type": "object", "additionalProperties": _schema(shape.value_type, definitions)}
        case _:
            return {"type": _SCALARS[type(shape)]}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{name}"}


def schema_json() -> str:
    """The document as text, indented."""
    return msgspec.json.format(msgspec.json.encode(template_schema()), indent=2).decode() + "\n"
