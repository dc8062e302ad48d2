"""The TemplateParser port for YAML texts."""

from lima.adapters.codec.yaml_tree import read_document
from lima.domain.decoding import decode
from lima.domain.errors import TemplateSyntaxError
from lima.domain.template import Template
from lima.ports.template_reader import ParsedTemplate

_MAX_SENTENCES = 20


class YamlTemplateParser:
    """Reads a lima.yaml. Only the first document counts; an empty one is a template with nothing set."""

    def parse(self, text: str, *, origin: str) -> ParsedTemplate:
        """Raises: TemplateSyntaxError for anything that is not a template, whatever the text."""
        try:
            document = read_document(text)
        except TemplateSyntaxError as error:
            raise _labelled(error, origin) from error
        decoded = decode(document.data, Template)
        if decoded.value is None:
            first = document.place(decoded.misfits[0].path)
            sentences = [
                "[{}:{}] {}".format(*document.place(misfit.path), misfit.message)
                for misfit in decoded.misfits[:_MAX_SENTENCES]
            ]
            raise _labelled(TemplateSyntaxError("\n".join(sentences), line=first[0], column=first[1]), origin)
        warnings = [f"{key} ({origin}:{document.place(key.path)[0]})" for key in decoded.unknown[:_MAX_SENTENCES]]
        if len(decoded.unknown) > _MAX_SENTENCES:
            warnings.append(f"{len(decoded.unknown) - _MAX_SENTENCES} more unknown keys ({origin})")
        return ParsedTemplate(template=decoded.value, warnings=tuple(warnings))


def _labelled(error: TemplateSyntaxError, origin: str) -> TemplateSyntaxError:
    return TemplateSyntaxError(
        f"failed to unmarshal YAML ({origin}): {error.message}",
        line=error.line,
        column=error.column,
        hint=error.hint or (f"correct line {error.line} of {origin}" if error.line else f"correct {origin}"),
    )
