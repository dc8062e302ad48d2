"""The GoTemplates port on gotpl."""

from collections.abc import Callable, Mapping
from typing import Any

import gotpl

from lima.adapters.gotemplate.functions import functions
from lima.adapters.gotemplate.records import Record, instance_shape
from lima.domain.errors import GoTemplateError

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
        self._functions = functions(to_yaml)

    def expand(self, text: str, variables: Mapping[str, object]) -> str:
        """Raises: GoTemplateError."""
        data = {
            name: gotpl.TypedMap(value, "", "string", "string") if isinstance(value, Mapping) else value
            for name, value in variables.items()
        }
        return self._rendered(text, data, {})

    def format(self, text: str, data: object, *, record: bool) -> str:
        """Raises: GoTemplateError."""
        if record and isinstance(data, Mapping):
            data = Record(data, instance_shape())
        return self._rendered(text, data, self._functions)

    def _rendered(self, text: str, data: object, added: dict[str, Callable[..., object]]) -> str:
        sandbox = gotpl.SandboxPolicy(
            allow_functions=added, allow_custom_lookup=True, max_template_chars=MAX_TEXT, default_budget=_BUDGET
        )
        try:
            template = gotpl.Environment(functions=added, sandbox=sandbox, budget=_BUDGET).from_string(text)
        except Exception as error:
            raise GoTemplateError(_sentence(error), stage="parse") from error
        try:
            return template.render(data)
        except Exception as error:
            raise GoTemplateError(_sentence(error)) from error


def _sentence(error: Exception) -> str:
    return str(error) or type(error).__name__
