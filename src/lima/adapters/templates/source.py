"""The TemplateSource port: template directories, files, standard input and, through `fetch`, the web."""

import difflib
import os
from collections.abc import Callable

from lima.domain.errors import LocatorError
from lima.domain.host import HostFacts
from lima.domain.instance import quote
from lima.domain.locator import (
    LocatorKind,
    TemplateLocator,
    absolute_path,
    image_template,
    parse_locator,
    suggested_name,
    template_file_name,
)
from lima.ports.template_reader import TemplateText

MAX_BYTES = 4 * 1024 * 1024
_MOST_NAMES = 12


class TemplateFiles:
    """Finds templates on this host and elsewhere.

    Args:
        facts: LIMA_HOME, the working directory, LIMA_TEMPLATES_PATH.
        builtin_dirs: the directories of templates that come with us, the first match wins.
        fetch: the bytes behind an `http(s)` URL, at most so many; raises LocatorError (`http.fetch_text`).
        stdin: reads at most so many bytes of standard input.
    """

    def __init__(
        self,
        facts: HostFacts,
        *,
        builtin_dirs: tuple[str, ...],
        fetch: Callable[[str, int], bytes],
        stdin: Callable[[int], bytes],
    ) -> None:
        self._facts = facts
        self._fetch = fetch
        self._stdin = stdin
        own = facts.env("LIMA_TEMPLATES_PATH")
        self._dirs = (
            tuple(directory for directory in own.split(os.pathsep) if directory)
            if own
            else (os.path.join(facts.lima_home, "_templates"), *builtin_dirs)
        )

    def read(self, locator: str) -> TemplateText:
        """The text that a locator names, at most 4 MiB. Raises: LocatorError."""
        parsed = parse_locator(locator)
        if parsed.kind is LocatorKind.IMAGE:
            text, warnings = image_template(parsed.value, self._facts)
            origin = parsed.value
        else:
            origin, content = self._content(parsed)
            text, warnings = _decoded(content, origin), ()
        return TemplateText(
            text=text, origin=origin, suggested_name=self._name(parsed), warnings=parsed.warnings + warnings
        )

    def _content(self, parsed: TemplateLocator) -> tuple[str, bytes]:
        match parsed.kind:
            case LocatorKind.TEMPLATE:
                path = self._find(parsed.value)
                return path, _read_file(path)
            case LocatorKind.HTTP:
                return parsed.value, self._fetch(parsed.value, MAX_BYTES + 1)
            case LocatorKind.STDIN:
                return "-", self._stdin(MAX_BYTES + 1)
            case _:
                path = absolute_path(parsed.value, self._facts)
                return path, self._read_named(path)

    def names(self) -> tuple[tuple[str, str], ...]:
        """All templates by name, sorted, with their locations; the first directory that has a name wins."""
        found: dict[str, str] = {}
        for directory in self._dirs:
            for folder, folders, files in os.walk(directory):
                folders.sort()
                for file in files:
                    if file.endswith(".yaml") and not file.startswith("."):
                        path = os.path.join(folder, file)
                        name = os.path.relpath(path, directory).removesuffix(".yaml").replace(os.sep, "/")
                        found.setdefault(name, path)
        return tuple(sorted(found.items()))

    def _name(self, parsed: TemplateLocator) -> str:
        try:
            return suggested_name(parsed, host_arch=self._facts.arch)
        except LocatorError:
            return ""

    def _find(self, name: str) -> str:
        relative = template_file_name(name).lstrip("/")
        for directory in self._dirs:
            path = os.path.join(directory, relative)
            if os.path.isfile(path):
                return path
        raise LocatorError(f"template {quote(name)} not found", hint=self._advice(name))

    def _advice(self, name: str) -> str:
        known = [template for template, _ in self.names() if not template.startswith("_")]
        if not known:
            return f"there are no templates in {', '.join(self._dirs)}"
        close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        if close:
            return "did you mean " + " or ".join(f"`template:{template}`" for template in close) + "?"
        more = ", …" if len(known) > _MOST_NAMES else ""
        return f"there are: {', '.join(known[:_MOST_NAMES])}{more} (all: `limactl create --list-templates`)"

    def _read_named(self, path: str) -> bytes:
        """A file that the user named; where it is missing, what else may have been meant."""
        try:
            return _read_file(path)
        except LocatorError as error:
            stem = os.path.basename(path).removesuffix(".yml").removesuffix(".yaml")
            meant = dict(self.names()).get(stem) if isinstance(error.__cause__, FileNotFoundError) else None
            hint = f"did you mean `template:{stem}`?" if meant else error.hint
            raise LocatorError(error.message, hint=hint) from error


def _read_file(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        hint = "an argument with `/`, `:` or a .yaml ending names a template; others name an instance"
        raise LocatorError(f"open {path}: {reason}", hint=hint) from error


def _decoded(content: bytes, origin: str) -> str:
    """Bytes that are no UTF-8 come through as surrogates, and the parser says where they are."""
    if len(content) > MAX_BYTES:
        raise LocatorError(f"exceeded the limit ({MAX_BYTES} bytes): {origin}", hint="a template is a short YAML text")
    return content.decode("utf-8", errors="surrogateescape")
