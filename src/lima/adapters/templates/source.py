"""The TemplateSource port: template directories, files, standard input and, through `fetch`, the web."""

import difflib
import os
import posixpath
from collections.abc import Callable
from dataclasses import dataclass

from lima.adapters.templates.github import Ask, github_url
from lima.domain.errors import LocatorError
from lima.domain.github import WARNING as GITHUB_WARNING
from lima.domain.host import HostFacts
from lima.domain.host_paths import PathKind
from lima.domain.instance import quote
from lima.domain.locator import (
    LocatorKind,
    TemplateLocator,
    absolute_path,
    image_template,
    parse_locator,
    rewritten_template_url,
    scheme_of,
    suggested_name,
    template_file_name,
)
from lima.ports.host_files import HostFiles
from lima.ports.template_reader import ResolvedLocator, TemplateText

MAX_BYTES = 4 * 1024 * 1024
_MOST_NAMES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How locators that are no files get at their text.

    `fetch`: the bytes behind an `http(s)` URL, at most so many. `ask`: any web answer with its status, for GitHub.
    `stdin`: at most so many bytes of standard input. `plugin`: what `limactl-url-SCHEME` makes of (scheme, rest), None
    where there is no such program. All raise LocatorError.
    """

    fetch: Callable[[str, int], bytes]
    ask: Ask
    stdin: Callable[[int], bytes]
    plugin: Callable[[str, str], str | None] = lambda _scheme, _rest: None


class TemplateFiles:
    """Finds templates on this host and elsewhere.

    Args:
        facts: LIMA_HOME, the working directory, LIMA_TEMPLATES_PATH, GH_TOKEN.
        builtin_dirs: the directories of templates that come with us, the first match wins.
        files: the host's files.
        reach: everything else.
    """

    def __init__(self, facts: HostFacts, *, builtin_dirs: tuple[str, ...], files: HostFiles, reach: Reach) -> None:
        self._facts = facts
        self._files = files
        self._reach = reach
        own = facts.env("LIMA_TEMPLATES_PATH")
        self._dirs = (
            tuple(directory for directory in own.split(os.pathsep) if directory)
            if own
            else (f"{facts.lima_home}/_templates", *builtin_dirs)
        )

    def resolve(self, locator: str) -> ResolvedLocator:
        """Schemes that stand for others, rewritten until nothing changes. Raises: LocatorError."""
        seen: list[str] = []
        warnings: list[str] = []
        while locator not in seen:
            seen.append(locator)
            new = rewritten_template_url(locator)
            scheme = scheme_of(locator)
            if new != locator:
                warnings.append(f"Template locator {quote(locator)} should be written {quote(new)} since Lima v2.0")
            elif scheme == "github":
                token = self._facts.env("GH_TOKEN") or self._facts.env("GITHUB_TOKEN")
                new = github_url(locator, ask=self._reach.ask, token=token)
                warnings.append(GITHUB_WARNING)
            elif scheme not in ("", "template") and not locator.startswith("bootstrap:"):
                new = self._reach.plugin(scheme, locator.partition(":")[2]) or locator
            if new == locator:
                return ResolvedLocator(locator=locator, warnings=tuple(dict.fromkeys(warnings)))
            locator = new
        raise LocatorError(f"custom locator {quote(locator)} has a redirect loop")

    def read(self, locator: str) -> TemplateText:
        """The text that a locator names, at most 4 MiB. Raises: LocatorError."""
        resolved = self.resolve(locator)
        parsed = parse_locator(resolved.locator)
        if parsed.kind is LocatorKind.IMAGE:
            text, warnings = image_template(parsed.value, self._facts)
            origin = parsed.value
        else:
            origin, content = self._content(parsed)
            text, warnings = _decoded(content, origin), ()
        return TemplateText(
            text=text,
            origin=origin,
            suggested_name=self._name(parsed),
            warnings=resolved.warnings + warnings,
            locator=resolved.locator,
        )

    def _content(self, parsed: TemplateLocator) -> tuple[str, bytes]:
        match parsed.kind:
            case LocatorKind.TEMPLATE:
                path = self._find(parsed.value)
                return path, self._files.read(path, MAX_BYTES + 1)
            case LocatorKind.HTTP:
                return parsed.value, self._reach.fetch(parsed.value, MAX_BYTES + 1)
            case LocatorKind.STDIN:
                return "-", self._reach.stdin(MAX_BYTES + 1)
            case _:
                path = absolute_path(parsed.value, self._facts)
                return path, self._read_named(path)

    def exists(self, path: str) -> bool:
        """Whether there is a file at an absolute host path."""
        return self._files.state(path).kind is PathKind.FILE

    def names(self) -> tuple[tuple[str, str], ...]:
        """All templates by name, sorted, with their locations; the first directory that has a name wins."""
        found: dict[str, str] = {}
        for directory in self._dirs:
            for file in self._files.below(directory):
                if file.endswith(".yaml") and not posixpath.basename(file).startswith("."):
                    found.setdefault(file.removesuffix(".yaml"), f"{directory}/{file}")
        return tuple(sorted(found.items()))

    def _name(self, parsed: TemplateLocator) -> str:
        try:
            return suggested_name(parsed, host_arch=self._facts.arch)
        except LocatorError:
            return ""

    def _find(self, name: str) -> str:
        relative = template_file_name(name).lstrip("/")
        for directory in self._dirs:
            path = f"{directory}/{relative}"
            if self._files.state(path).kind is PathKind.FILE:
                return path
        raise LocatorError(f"template {quote(relative)} not found", hint=self._advice(name))

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
            return self._files.read(path, MAX_BYTES + 1)
        except LocatorError as error:
            stem = posixpath.basename(path).removesuffix(".yml").removesuffix(".yaml")
            missing = self._files.state(path).kind is PathKind.MISSING
            hint = f"did you mean `template:{stem}`?" if missing and stem in dict(self.names()) else _PATH_HINT
            raise LocatorError(error.message, hint=hint) from error


_PATH_HINT = "an argument with `/`, `:` or a .yaml ending names a template; others name an instance"


def _decoded(content: bytes, origin: str) -> str:
    """Bytes that are no UTF-8 come through as surrogates, and the parser says where they are."""
    if len(content) > MAX_BYTES:
        raise LocatorError(f"exceeded the limit ({MAX_BYTES} bytes): {origin}", hint="a template is a short YAML text")
    return content.decode("utf-8", errors="surrogateescape")
