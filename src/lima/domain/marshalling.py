"""A template as it is shown: plain data in upstream's field order, nothing that is not set."""

from typing import Any

import msgspec

from lima.domain.template import Template

_FREE_MAPS = ("env", "param", "cpuType", "hosts", "vmOpts", "osOpts")


def shown(template: Template) -> dict[str, Any]:
    """Unset fields, empty lists and empty mappings are left out; free maps are sorted by key. Source: reference,
    config §1.1."""
    value: dict[str, Any] = msgspec.to_builtins(template, str_keys=True)
    return {key: item for key, inner in value.items() if not _is_empty(item := _cleaned(inner, key))}


def _cleaned(value: Any, key: str) -> Any:
    if isinstance(value, dict):
        names = sorted(value) if key in _FREE_MAPS else list(value)
        return {name: item for name in names if not _is_empty(item := _cleaned(value[name], name))}
    if isinstance(value, list | tuple):
        return [_cleaned(item, "") for item in value]
    return value


def _is_empty(value: Any) -> bool:
    return value is None or value in ({}, [])
