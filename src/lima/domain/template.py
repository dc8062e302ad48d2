"""The shape of lima.yaml as it is written: every field optional."""

from lima.domain.model import Model


class Template(Model, frozen=True, kw_only=True):
    """A template as it was written; `defaults.fill` closes the gaps."""
