"""Which of the three files a field comes from, for every field there is. Source: reference, config §2.4."""

from collections.abc import Iterator
from typing import Any

from hypothesis import given
from msgspec import inspect

from lima.domain.merge import merge
from lima.domain.template import Template
from tests.strategies import templates

Names = tuple[str, ...]

TEMPLATE_ALONE = ("base", "minimum_lima_version", "cpu_type", "message", "rosetta")
FIRST_MATCH_WINS = {
    ("images",), ("additional_disks",), ("mount_types_unsupported",), ("provision",), ("probes",), ("port_forwards",),
    ("copy_to_host",), ("firmware", "images"), ("containerd", "archives"),
}  # fmt: skip
LAST_SETTING_WINS = {("mounts",), ("networks",)}
WITHOUT_REPETITION = {("ca_certs", "files"), ("ca_certs", "certs")}
WHOLE = {("dns",)}


def _core(kind: inspect.Type) -> inspect.Type:
    while True:
        if isinstance(kind, inspect.Metadata):
            kind = kind.type
        elif isinstance(kind, inspect.UnionType):
            kind = next(member for member in kind.types if not isinstance(member, inspect.NoneType))
        else:
            return kind


def _leaves(kind: inspect.Type, names: Names = ()) -> Iterator[tuple[Names, inspect.Type]]:
    core = _core(kind)
    if isinstance(core, inspect.StructType):
        for entry in core.fields:
            yield from _leaves(entry.type, (*names, entry.name))
    else:
        yield names, core


LEAVES = dict(_leaves(inspect.type_info(Template)))
LISTS = {names for names, kind in LEAVES.items() if isinstance(kind, inspect.VarTupleType)}
MAPS = {names for names, kind in LEAVES.items() if isinstance(kind, inspect.DictType)}


def _value(template: Template | None, names: Names) -> Any:
    value: Any = template
    for name in names:
        value = getattr(value, name, None)
    return value


def _expected(names: Names, default: Any, template: Any, override: Any) -> Any:
    if names[0] in TEMPLATE_ALONE:
        return template
    upwards = [value for value in (default, template, override) if value is not None]
    if not upwards:
        return None
    if names in WHOLE:
        return next((value for value in reversed(upwards) if value), upwards[-1])
    if names in MAPS:
        return {key: value for layer in upwards for key, value in layer.items()}
    if names not in LISTS:
        return upwards[-1]
    joined = [item for layer in (upwards[::-1] if names in FIRST_MATCH_WINS else upwards) for item in layer]
    return tuple(dict.fromkeys(joined)) if names in WITHOUT_REPETITION else tuple(joined)


def test_every_list_has_a_rule() -> None:
    ruled = FIRST_MATCH_WINS | LAST_SETTING_WINS | WITHOUT_REPETITION | WHOLE
    assert {names for names in LISTS if names[0] not in TEMPLATE_ALONE} == ruled


@given(templates(), templates(), templates())
def test_later_wins(default: Template, template: Template, override: Template) -> None:
    """The override's settings before the template's before the default's, down to each leaf of each section."""
    merged = merge(template, default=default, override=override)
    for names in LEAVES:
        layers = (_value(default, names), _value(template, names), _value(override, names))
        assert (names, _value(merged, names)) == (names, _expected(names, *layers))


@given(templates(), templates(), templates())
def test_merging_in_two_steps_is_merging_in_one(default: Template, template: Template, override: Template) -> None:
    assert merge(merge(template, default=default), override=override) == merge(
        merge(template, override=override), default=default
    )
