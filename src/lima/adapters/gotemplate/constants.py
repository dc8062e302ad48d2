"""What Go refuses of a template's constants, and the engine lets pass: `nil` as a command, numbers beyond `int`.

Go refuses them where it gets to them; here they are refused wherever they stand.
"""

from collections.abc import Iterator

import gotpl
from gotpl.compile.instructions import CompiledPipeline, Operand, OperandKind, Program
from gotpl.runtime.values import number_value

_MOST = 2**63 - 1


def check(template: gotpl.Template) -> None:
    """Raises: TemplateExecutionError."""
    for program in (template._program, *template._namespace.values()):  # noqa: SLF001, the library shows them nowhere
        for pipeline in _pipelines(program):
            for command in pipeline.commands:
                if command.arguments[0].kind is OperandKind.NIL:
                    raise gotpl.TemplateExecutionError("nil is not a command")
                for operand in command.arguments:
                    _check_number(operand)


def _check_number(operand: Operand) -> None:
    if operand.kind is OperandKind.NUMBER:
        value = number_value(operand.value, is_complex=False)
        if isinstance(value, int) and not -_MOST - 1 <= value <= _MOST:
            raise gotpl.TemplateExecutionError(f"{value} overflows int")


def _pipelines(program: Program) -> Iterator[CompiledPipeline]:
    for instruction in program.instructions:
        argument = instruction.argument
        pipeline = argument if isinstance(argument, CompiledPipeline) else getattr(argument, "pipeline", None)
        if isinstance(pipeline, CompiledPipeline):
            yield from _nested(pipeline)


def _nested(pipeline: CompiledPipeline) -> Iterator[CompiledPipeline]:
    yield pipeline
    for command in pipeline.commands:
        for operand in command.arguments:
            if operand.pipeline is not None:
                yield from _nested(operand.pipeline)
