"""The TemplateParser port for YAML texts."""

from lima.adapters.codec.yaml_tree import read_tree
from lima.adapters.codec.yaml_writer import write_tree
from lima.domain.decoding import decode
from lima.domain.errors import TemplateSyntaxError
from lima.domain.template import Template
from lima.domain.tree import Tree, plain
from lima.ports.template_reader import ParsedTemplate

_MAX_SENTENCES = 20


class YamlTemplateParser:
    """Reads a lima.yaml. Only the first document counts; an empty one is a template with nothing set."""

    def parse(self, text: str, *, origin: str) -> ParsedTemplate:
        """Raises: TemplateSyntaxError for anything that is not a template, whatever the text."""
        return self.decode(self._tree(text, origin, comments=False))

    def read(self, text: str, *, origin: str) -> Tree:
        """Raises: TemplateSyntaxError."""
        return self._tree(text, origin, comments=True)

    def write(self, tree: Tree) -> str:
        """Two spaces, dashes not indented."""
        return write_tree(tree)

    def decode(self, tree: Tree) -> ParsedTemplate:
        """Raises: TemplateSyntaxError, with all misfits."""
        decoded = decode(plain(tree.root), Template)
        if decoded.value is None:
            places = [tree.place(misfit.path) for misfit in decoded.misfits[:_MAX_SENTENCES]]
            sentences = [
                f"[{place.line}:{place.column}] {misfit.message}"
                for place, misfit in zip(places, decoded.misfits, strict=False)
            ]
            first = places[0]
            error = TemplateSyntaxError("\n".join(sentences), line=first.line, column=first.column)
            raise _labelled(error, first.origin or tree.origin)
        warnings = []
        for key in decoded.unknown[:_MAX_SENTENCES]:
            place = tree.place(key.path)
            warnings.append(f"{key} ({place.origin}:{place.line})")
        if len(decoded.unknown) > _MAX_SENTENCES:
            warnings.append(f"{len(decoded.unknown) - _MAX_SENTENCES} more unknown keys ({tree.origin})")
        return ParsedTemplate(template=decoded.value, warnings=tuple(warnings))

    def _tree(self, text: str, origin: str, *, comments: bool) -> Tree:
        try:
            return read_tree(text, origin=origin, comments=comments)
        except TemplateSyntaxError as error:
            raise _labelled(error, origin) from error


def _labelled(error: TemplateSyntaxError, origin: str) -> TemplateSyntaxError:
    return TemplateSyntaxError(
        f"failed to unmarshal YAML ({origin}): {error.message}",
        line=error.line,
        column=error.column,
        hint=error.hint or (f"correct line {error.line} of {origin}" if error.line else f"correct {origin}"),
    )
