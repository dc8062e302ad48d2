"""Whether a value keeps to a JSON schema, as far as `json_schema` uses the language: `oneOf` tells types apart."""

from collections.abc import Iterator, Mapping
from typing import Any

from lima.domain.decoding import path_text
from lima.domain.tree import Path

_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "null": type(None),
}


def misfits(value: Any, schema: Mapping[str, Any]) -> tuple[str, ...]:
    """A sentence for each place where plain data does not keep to the schema."""
    return tuple(_misfits(value, schema, schema["$defs"], ()))


def _misfits(value: Any, schema: Mapping[str, Any], definitions: Mapping[str, Any], path: Path) -> Iterator[str]:
    place = path_text(path) or "the document"
    if "$ref" in schema:
        yield from _misfits(value, _resolved(schema, definitions), definitions, path)
    if "oneOf" in schema:
        options = [_resolved(option, definitions) for option in schema["oneOf"]]
        fitting = next((option for option in options if _is_of(option["type"], value)), None)
        if fitting is None:
            yield f"{place}: must be of type {' or '.join(option['type'] for option in options)}"
        else:
            yield from _misfits(value, fitting, definitions, path)
    if "enum" in schema and value not in schema["enum"]:
        yield f"{place}: must be one of {', '.join(str(one) for one in schema['enum'] if one is not None)}"
    if "type" in schema and not _is_of(schema["type"], value):
        yield f"{place}: must be of type {schema['type']}"
    elif isinstance(value, dict):
        yield from _object_misfits(value, schema, definitions, path)
    elif isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            yield f"{place}: must have {schema['minItems']} items"
        for index, item in enumerate(value):
            yield from _misfits(item, schema.get("items", {}), definitions, (*path, index))


def _resolved(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a reference leads to."""
    found: Mapping[str, Any] = definitions[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    return found


def _object_misfits(
    value: dict[str, Any], schema: Mapping[str, Any], definitions: Mapping[str, Any], path: Path
) -> Iterator[str]:
    place = path_text(path) or "the document"
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{place}: needs `{name}`"
    known, others = schema.get("properties", {}), schema.get("additionalProperties", {})
    for key, item in value.items():
        if key in known:
            yield from _misfits(item, known[key], definitions, (*path, key))
        elif others is False:
            yield f"{path_text((*path, key))}: there is no such field"
        else:
            yield from _misfits(item, others, definitions, (*path, key))


def _is_of(name: str, value: Any) -> bool:
    """A boolean is no number."""
    return isinstance(value, _TYPES[name]) and not (name in ("integer", "number") and isinstance(value, bool))
