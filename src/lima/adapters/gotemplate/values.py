"""Go's values as Python objects, read alike by the engine and by our functions.

Plain Python stands for itself: text, bool, int, float, list, None for an interface that holds nothing. What Go tells
apart and Python does not has a class here. `repr` of a value never shows: text comes from `printing`.
Source: Go's documentation of text/template and reflect.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

import gotpl
from gotpl.runtime.values import INVALID, UNTYPED_NIL


class Uint32(int):
    """An unsigned number; prints as any other, but for its type."""

    go_type = "uint32"


class Int64(int):
    """A number of 64 bits where Go says so, even if `int` has as many."""

    go_type = "int64"


class _Nothing(frozenset[Any]):
    """An empty set, since the engine takes that for false and finds nothing in it to range over."""

    text = ""

    def __str__(self) -> str:
        return self.text


class Missing(_Nothing):
    """What a map gives for a key that it lacks: so do all fields of it."""

    text = "<no value>"

    def __gotemplate_lookup__(self, name: str) -> object:
        return self


class NilPointer(_Nothing):
    """A pointer to nothing: false, `<nil>` in text, and without fields."""

    text = "<nil>"

    def __gotemplate_lookup__(self, name: str) -> object:
        raise gotpl.TemplateExecutionError(f"nil pointer evaluating {name}")


class NilList(list[Any]):
    """A list that was never made: empty, and null in JSON."""


MISSING = Missing()
NIL = NilPointer()


class GoMap(dict[str, object]):
    """A map from texts. `item` is the Go type of what it holds, `zero` what `index` gives for a key that it lacks."""

    def __init__(self, data: Mapping[str, object], item: str = "interface {}", zero: object = None) -> None:
        super().__init__(data)
        self.item = item
        self.zero = zero

    def __gotemplate_lookup__(self, name: str) -> object:
        return self.get(name, MISSING)


class NilMap(GoMap):
    """A map that was never made: empty, and null in JSON."""


@runtime_checkable
class Struct(Protocol):
    """What has fields of fixed names."""

    def go_fields(self) -> Iterator[tuple[str, object]]:
        """Names and values in Go's order."""
        ...


class Pointer:
    """A pointer to `target`: true whatever it points to, equal to no value, printed and read as its target."""

    __slots__ = ("target",)

    def __init__(self, target: object) -> None:
        self.target = target

    def __str__(self) -> str:
        from lima.adapters.gotemplate.printing import sprint  # the two modules need each other

        return sprint(self.target)

    def __iter__(self) -> Iterator[object]:
        if isinstance(self.target, int) and not isinstance(self.target, bool):
            return iter(range(self.target))
        raise gotpl.TemplateExecutionError("range can't iterate over a pointer")

    def __gotemplate_lookup__(self, name: str) -> object:
        lookup = getattr(self.target, "__gotemplate_lookup__", None)
        if lookup is None:
            raise gotpl.TemplateExecutionError(f"can't evaluate field {name}")
        return lookup(name)

    @property
    def address(self) -> str:
        """Some number, as Go prints one; never the same twice."""
        return f"0xc{id(self) & 0xFFFFFFFFF:09x}"


def wrapped(value: object) -> object:
    """JSON data as Go's decoder makes it."""
    if isinstance(value, Mapping) and not isinstance(value, GoMap):
        return GoMap({key: wrapped(item) for key, item in value.items()})
    return [wrapped(item) for item in value] if isinstance(value, list | tuple) else value


def text_map(value: Mapping[str, object]) -> GoMap:
    """A `map[string]string`."""
    return GoMap(value, "string", "")


def is_nil(value: object) -> bool:
    """Whether there is no value at all: null, the word `nil`, what a map lacks."""
    return value is None or value is MISSING or value is UNTYPED_NIL or value is INVALID


def behind(value: object) -> object:
    """What a pointer points to; anything else itself."""
    return value.target if isinstance(value, Pointer) else value


def go_type(value: object) -> str:
    """As the verb `%T` names it."""
    if is_nil(value):
        return "<nil>"
    if isinstance(value, GoMap):
        return f"map[string]{value.item}"
    if isinstance(value, Pointer):
        return "*" + go_type(value.target)
    named = getattr(value, "go_type", None)
    if isinstance(named, str):
        return named
    for python, name in _TYPES.items():
        if isinstance(value, python):
            return name
    return type(value).__name__


_TYPES: dict[type, str] = {
    bool: "bool",
    int: "int",
    float: "float64",
    complex: "complex128",
    str: "string",
    list: "[]interface {}",
    NilPointer: "*interface {}",
}
