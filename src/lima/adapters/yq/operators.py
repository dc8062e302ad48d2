"""The operators of yq that the library only knows by name: `load`, `load_str` and their kin, `eval`.

Importing this module is what adds them, to the evaluator of expressions and to `limactl yq` alike; files are read only
where the policy allows it. Source: the documentation of yq, version 4.
"""

import yaqpy.core.operators as library
from yaqpy.core.engine.context import Context
from yaqpy.core.engine.navigator import Navigator
from yaqpy.core.lang.ast import ExprNode
from yaqpy.core.lang.parser import parse_expression
from yaqpy.core.lang.prefs import DecoderPrefs
from yaqpy.core.model.node import Node
from yaqpy.core.operators.codecs import _decode_with_format
from yaqpy.errors import EvaluationError, SecurityError

_MOST_BYTES = 8 * 1024 * 1024


def load(nav: Navigator, ctx: Context, expr: ExprNode) -> Context:
    """The value of each file that the argument names."""
    prefs = expr.operation.prefs
    kind = prefs.format if isinstance(prefs, DecoderPrefs) else "yaml"
    return ctx.child([_decode_with_format(nav, text, kind) for text in _texts(nav, ctx, expr)])


def load_string(nav: Navigator, ctx: Context, expr: ExprNode) -> Context:
    """The text of each file that the argument names."""
    return ctx.child([Node.string(text) for text in _texts(nav, ctx, expr)])


def evaluate(nav: Navigator, ctx: Context, expr: ExprNode) -> Context:
    """What the expressions give that the argument holds as texts."""
    texts = nav.evaluate(ctx.readonly_clone(), expr.rhs).nodes
    parsed = [parse_expression(text.value, nav.env.operators.get) for text in texts]
    return ctx.child(
        [
            found
            for node in ctx.nodes
            for expression in parsed
            for found in nav.evaluate(ctx.single_child(node), expression).nodes
        ]
    )


def system(nav: Navigator, ctx: Context, expr: ExprNode) -> Context:  # noqa: ARG001  the signature of an operator
    """Never: an expression runs no programs here."""
    raise SecurityError("system operations have been disabled", capability="system")


def _texts(nav: Navigator, ctx: Context, expr: ExprNode) -> list[str]:
    if not nav.env.security.allow_file:
        raise SecurityError("file operations have been disabled", capability="file")
    texts = []
    for node in ctx.nodes:
        names = nav.evaluate(ctx.single_readonly_child(node), expr.rhs).nodes
        if not names or names[0].guess_tag() == "!!null":
            raise EvaluationError("load: the expression for the file's name gives nothing")
        try:
            with open(names[0].value, "rb") as file:
                content = file.read(_MOST_BYTES + 1)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise EvaluationError(f"failed to load {names[0].value}: {reason}") from error
        if len(content) > _MOST_BYTES:
            raise EvaluationError(f"failed to load {names[0].value}: more than {_MOST_BYTES} bytes")
        texts.append(content.decode("utf-8-sig", errors="replace"))
    return texts


def _add() -> None:
    """The command line of the library takes no registry of ours, so the shared one is replaced."""
    registry = library.builtin_registry().copy()
    registry.bind("LOAD", load)
    registry.bind("LOAD_STRING", load_string)
    registry.bind("EVAL", evaluate)
    registry.bind("SYSTEM", system)
    library._builtin = registry.freeze()  # noqa: SLF001


_add()
