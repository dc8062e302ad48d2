"""The GoTemplates port on gotpl."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import gotpl

from lima.adapters.gotemplate.builtins import builtins
from lima.adapters.gotemplate.constants import check
from lima.adapters.gotemplate.functions import functions
from lima.adapters.gotemplate.records import Record, instance_shape
from lima.adapters.gotemplate.values import GoMap, Uint32, text_map, wrapped
from lima.domain.errors import GoTemplateError

_NOT_ALLOWED = re.compile(r"(?:attribute|method|property) '([^']*)' is not allowed")
MAX_TEXT = 1024 * 1024
_BUDGET = gotpl.ExecutionBudget(
    max_output_chars=4 * 1024 * 1024, max_iterations=100_000, max_template_depth=100, max_function_calls=100_000
)


class GotplTemplates:
    """Fields of Python objects are out of a template's reach; output, iterations and depth are bounded.

    Args:
        to_yaml: writes plain data as YAML, for the function `yaml`.
    """

    def __init__(self, *, to_yaml: Callable[[Any], str]) -> None:
        self._own = builtins()
        self._all = self._own | functions(to_yaml)

    def expand(self, text: str, variables: Mapping[str, object]) -> str:
        """Raises: GoTemplateError."""
        return self._rendered(text, GoMap({name: _variable(value) for name, value in variables.items()}), self._own)

    def format(self, text: str, data: object, *, record: bool) -> str:
        """Raises: GoTemplateError."""
        is_record = record and isinstance(data, Mapping)
        value = Record(data, instance_shape()) if is_record and isinstance(data, Mapping) else wrapped(data)
        shown = self._rendered(text, value, self._all)
        return shown.encode(errors="surrogateescape").decode(errors="replace")

    def _rendered(self, text: str, data: object, added: dict[str, Callable[..., object]]) -> str:
        sandbox = gotpl.SandboxPolicy(
            allow_functions=added, allow_custom_lookup=True, max_template_chars=MAX_TEXT, default_budget=_BUDGET
        )
        try:
            template = gotpl.Environment(functions=added, sandbox=sandbox, budget=_BUDGET).from_string(
                text, name="format"
            )
        except Exception as error:
            raise GoTemplateError(_sentence(error), stage="parse") from error
        try:
            check(template)
            return template.render(data)
        except Exception as error:
            raise GoTemplateError(_sentence(error)) from error


def _variable(value: object) -> object:
    if isinstance(value, Mapping):
        return text_map(value)
    return Uint32(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _sentence(error: Exception) -> str:
    return _NOT_ALLOWED.sub(r"can't evaluate field \1", str(error)) or type(error).__name__
