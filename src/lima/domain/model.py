"""The base of every value that has a wire form."""

import msgspec


class Model(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Base of the values that are read or written as YAML or JSON. Restate `frozen` and `kw_only` on every class."""
