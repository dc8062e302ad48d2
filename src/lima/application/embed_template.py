"""One template out of many: its bases and script files read and merged in. Source: reference, config §2.2."""

from dataclasses import dataclass, field

from lima.domain import embedding
from lima.domain.combining import combined
from lima.domain.errors import LocatorError, TemplateInvalidError, TemplateSyntaxError
from lima.domain.host import HostFacts
from lima.domain.instance import quote
from lima.domain.locator import absolute_locator, parse_locator, suggested_name
from lima.domain.tree import Path, Tree
from lima.ports.template_reader import TemplateParser, TemplateSource, TemplateText

_HAS_DIGEST = "has specified a digest; digest support is not yet implemented"


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """`text` is what a new instance stores; unchanged where there was nothing to embed. `tree` knows where each of
    its values was written, base templates included."""

    text: str
    tree: Tree
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedOptions:
    """`default_base`: the user's `_config/base.yaml` goes first. `external_only`: `template:` bases and files stay."""

    default_base: bool = True
    external_only: bool = False


@dataclass(slots=True)
class _Job:
    """What one embedding keeps in mind: which files it has included, what it said, whether anything changed."""

    options: EmbedOptions
    included: set[str] = field(default_factory=set)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedTemplate:
    """Raises: LocatorError, TemplateSyntaxError, TemplateInvalidError (a loop, a base that does not fit)."""

    source: TemplateSource
    parser: TemplateParser
    facts: HostFacts

    def __call__(self, template: TemplateText, options: EmbedOptions | None = None) -> Embedded:
        job = _Job(options=options or EmbedOptions(), warnings=list(template.warnings))
        read = self.parser.read(template.text, origin=template.origin)
        self.parser.decode(read)
        tree = self._with_default_base(read) if job.options.default_base else read
        tree = combined(self._embedded(tree, template.locator or template.origin, job))
        if tree is read:
            return Embedded(text=template.text, tree=tree, warnings=tuple(job.warnings))
        text = self._written(tree, template.origin)
        return Embedded(text=text, tree=tree, warnings=tuple(job.warnings))

    def absolute(self, template: TemplateText) -> Embedded:
        """Nothing embedded, but every relative locator made absolute (`template copy` without flags)."""
        read = self.parser.read(template.text, origin=template.origin)
        tree = self._relocated(read, template.locator or template.origin)
        text = template.text if tree is read else self.parser.write(tree)
        return Embedded(text=text, tree=tree, warnings=template.warnings)

    def _with_default_base(self, tree: Tree) -> Tree:
        path = f"{self.facts.lima_home}/_config/base.yaml"
        if not self.source.exists(path):
            return tree
        return embedding.with_bases(tree, (path, *(base.locator for base in embedding.bases(tree))))

    def _relocated(self, tree: Tree, locator: str) -> Tree:
        return embedding.relocated(tree, lambda text: absolute_locator(text, parent=locator, facts=self.facts))

    def _embedded(self, tree: Tree, locator: str, job: _Job) -> Tree:
        tree = self._relocated(tree, locator)
        origin = tree.origin
        skipped: list[str] = []
        while len(bases := embedding.bases(tree)) > len(skipped):
            base = bases[len(skipped)]
            if job.options.external_only and base.locator.startswith("template:"):
                skipped.append(base.locator)
                continue
            if skipped:
                raise TemplateInvalidError(
                    (f"cannot embed template {quote(base.locator)} after not embedding {quote(skipped[-1])}",)
                )
            other = self._base(base, origin, job)
            rest = tuple(later.locator for later in bases[1:])
            kept = tuple(left.locator for left in embedding.bases(other))
            merged = embedding.merged(embedding.with_bases(tree, ()), embedding.with_bases(other, ()))
            tree = embedding.with_bases(merged, (*kept, *rest))
            if len(self.parser.write(tree)) > embedding.MAX_BYTES:
                raise TemplateInvalidError(
                    (f"template {quote(origin)} embedding exceeded the size limit ({embedding.MAX_BYTES} bytes)",)
                )
        return self._with_scripts(tree, job)

    def _base(self, base: embedding.Reference, parent: str, job: _Job) -> Tree:
        if base.has_digest:
            raise TemplateInvalidError(
                (f"base {quote(base.locator)} in {quote(parent)} {_HAS_DIGEST}",),
                hint="name the base without its digest",
            )
        if base.locator in job.included:
            raise TemplateInvalidError(
                (f"base template loop detected: template {quote(base.locator)} already included",),
                hint=f"{base.place} includes it again; every template may be included once",
            )
        job.included.add(base.locator)
        read = self._read(base, job)
        other = self.parser.read(read.text, origin=read.origin)
        self.parser.decode(other)
        return self._embedded(other, read.locator or base.locator, job)

    def _with_scripts(self, tree: Tree, job: _Job) -> Tree:
        texts: dict[Path, str] = {}
        for script in embedding.scripts(tree):
            if job.options.external_only and script.locator.startswith("template:"):
                continue
            texts[script.path] = self._read(script, job).text
        return embedding.inlined(tree, texts)

    def _read(self, reference: embedding.Reference, job: _Job) -> TemplateText:
        """Raises: LocatorError, also for a file whose name is no identifier (upstream's rule)."""
        if not reference.locator:
            raise LocatorError("locator is empty", hint=f"see {reference.place}")
        try:
            resolved = self.source.resolve(reference.locator)
            suggested_name(parse_locator(resolved.locator), host_arch=self.facts.arch)
            read = self.source.read(resolved.locator)
        except LocatorError as error:
            raise LocatorError(error.message, hint=f"it is named at {reference.place}") from error
        job.warnings += [*resolved.warnings, *read.warnings]
        return read

    def _written(self, tree: Tree, origin: str) -> str:
        """The text, proven to mean what the tree says. Raises: TemplateSyntaxError."""
        text = self.parser.write(tree)
        try:
            self.parser.read(text, origin=origin)
        except TemplateSyntaxError as error:  # a bug of the writer must not reach an instance
            raise TemplateInvalidError((f"{origin}: the embedded template cannot be written: {error}",)) from error
        return text
