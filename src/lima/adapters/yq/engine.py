"""The YamlQuery port on yaqpy."""

import json
import re
from collections.abc import Callable
from typing import Any

from yaqpy.api import Yq
from yaqpy.core.model.node import Kind, Node, Style
from yaqpy.options import JsonOptions, Limits, Options, SecurityPolicy, YamlOptions

from lima.adapters.yq import operators  # noqa: F401  adds `eval`, and says that `load` is disabled
from lima.adapters.yq.bounds import bounded
from lima.adapters.yq.layout import MARK, marked, unmarked
from lima.domain.errors import YqError
from lima.domain.instance import quote
from lima.domain.yq_formats import FORMATS

_LIMITS = Limits(
    max_input_bytes=8 * 1024 * 1024,
    max_depth=200,
    max_alias_expansion=100_000,
    max_steps=2_000_000,
    timeout_seconds=20.0,
)
_YAML = Options(security=SecurityPolicy.strict(), limits=_LIMITS, yaml=YamlOptions())
_EDIT = Options(security=SecurityPolicy.strict(), limits=_LIMITS, yaml=YamlOptions(compact_sequence_indent=True))
_JSON = Options(
    security=SecurityPolicy.strict(),
    limits=_LIMITS,
    input_format="json",
    output_format="json",
    unwrap_scalar=True,
    json=JsonOptions(indent=0),
    indent=0,
)
_DEEPER_LINE = re.compile(r"^[ \t]", re.MULTILINE)
_MAX_EXPRESSION = 64 * 1024


class YaqpyQuery:
    """Nothing of the host is in reach of an expression."""

    def __init__(self) -> None:
        self._yq = Yq(_YAML, environ={})

    def edit(self, expression: str, text: str) -> str:
        """Raises: YqError."""
        text = text.replace("\r\n", "\n")

        def run() -> str:
            documents = self._documents(marked(text), _EDIT)
            if not documents:
                self._yq.compile(expression)
                return text
            for document in documents:
                _keep_foot(document, mark=f"\n{MARK}")
            results = self._yq.evaluate_nodes(expression, documents, options=_EDIT)
            _unfold(results)
            return unmarked(self._yq.dump(results, options=_EDIT))

        return _guarded(expression, run)

    def query(self, expression: str, text: str) -> str:
        """Raises: YqError."""

        def run() -> str:
            documents = self._documents(text, _YAML)
            for document in documents:
                _keep_foot(document)
            results = self._yq.evaluate_nodes(expression, documents, options=_YAML)
            _unfold(results)
            found = self._yq.dump(results, options=_YAML)
            return found if found.endswith("\n") or not found else found + "\n"

        return _guarded(expression, run)

    def rewrite(self, expression: str, text: str | None, *, file_format: str) -> str:
        """Raises: YqError, also for a format that is not known."""
        if file_format not in FORMATS:
            raise YqError(f"yq format `{file_format}` is not supported ({', '.join(FORMATS)} are)")
        options = Options(
            security=SecurityPolicy.strict(),
            limits=_LIMITS,
            input_format=file_format,
            output_format=file_format,
            null_input=text is None,
        )
        return _guarded(expression, lambda: self._yq.evaluate(expression, text or "", options=options))

    def query_json(self, expression: str, lines: str) -> str:
        """Raises: YqError."""

        def run() -> str:
            return "".join(self._record(expression, line) for line in lines.splitlines() if line.strip())

        return _guarded(expression, run)

    def _record(self, expression: str, line: str) -> str:
        data = json.dumps(_without_empty(json.loads(line)), ensure_ascii=False)
        output = self._yq.evaluate(expression, data, options=_JSON).rstrip("\n")
        return " ".join(output.split("\n")) + "\n" if output else ""

    def _documents(self, text: str, options: Options) -> list[Node]:
        return self._yq.load(text, options=options)


def _keep_foot(document: Node, *, mark: str = "") -> None:
    """A comment at the end of a document belongs to its last entry, so that what is added comes after it."""
    if document.kind is Kind.MAPPING and document.content and document.foot_comment:
        document.content[-2].foot_comment = document.foot_comment + mark
        document.foot_comment = ""


def _unfold(nodes: list[Node]) -> None:
    """The library writes folded texts (`>`) with deeper lines in such a way that they read otherwise."""
    for node in nodes:
        if node.style & Style.FOLDED and _DEEPER_LINE.search(node.value):
            node.style = Style.LITERAL
        _unfold(node.content)


def _without_empty(value: Any) -> Any:
    """Empty mappings go, and those that are empty without them."""
    if isinstance(value, dict):
        return {key: item for key, inner in value.items() if (item := _without_empty(inner)) != {}}
    return [_without_empty(item) for item in value] if isinstance(value, list) else value


def _guarded(expression: str, run: Callable[[], str]) -> str:
    if len(expression) > _MAX_EXPRESSION:
        raise YqError(f"the yq expression is longer than {_MAX_EXPRESSION} characters")
    try:
        with bounded():
            return run()
    except Exception as error:
        reason = str(error) or type(error).__name__
        refused = "disabled" in reason or "unknown operator" in reason
        hint = "`limactl yq-restrictions` says what is not available" if refused else ""
        raise YqError(f"yq expression {quote(expression)}: {reason}", hint=hint) from error
