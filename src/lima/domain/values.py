"""The base of values that `list` meets, with or without a summary. Light: it imports nothing.

A dataclass costs 0.4 ms where it is defined, and the first of them 18 ms (docs/decisions/0008). These values do the
little that is needed: keyword-only, frozen, equal by content. Everywhere else values are dataclasses.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self, dataclass_transform
else:

    def dataclass_transform(**_kwargs):  # noqa: ANN003, ANN201
        return lambda cls: cls


@dataclass_transform(frozen_default=True, kw_only_default=True)
class Value:
    """Fields are the annotated names of the class, defaults what they are set to."""

    _names: "tuple[str, ...]" = ()
    _defaults: "dict[str, Any]" = {}  # noqa: RUF012  replaced for each class, never changed

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls._names = tuple(cls.__dict__.get("__annotations__", ()))
        cls._defaults = {name: cls.__dict__[name] for name in cls._names if name in cls.__dict__}

    def __init__(self, **values: "Any") -> None:
        fields = {**self._defaults, **values}
        if len(fields) != len(self._names) or not all(name in fields for name in self._names):
            missing = [name for name in self._names if name not in fields]
            unknown = [name for name in values if name not in self._names]
            raise TypeError(f"{type(self).__name__}: missing {missing}, unknown {unknown}")
        self.__dict__.update(fields)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: {name} cannot be set")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: {name} cannot be deleted")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.__dict__ == self.__dict__

    def __hash__(self) -> int:
        return hash(tuple(self.__dict__[name] for name in self._names))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={self.__dict__[name]!r}' for name in self._names)})"

    def but(self, **changes: "Any") -> "Self":
        """The same with these fields changed."""
        return type(self)(**{**self.__dict__, **changes})
