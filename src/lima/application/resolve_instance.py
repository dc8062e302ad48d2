"""The filled configuration of an instance, or of a template that is to become one."""

from collections.abc import Callable
from dataclasses import dataclass

from lima.domain.config import InstanceConfig
from lima.domain.defaults import fill
from lima.domain.errors import InstanceNotFoundError, TemplateInvalidError
from lima.domain.host import HostFacts
from lima.domain.instance import FileName, quote
from lima.domain.template import Template
from lima.domain.validation import unsupported, validate
from lima.ports.instance_store import InstanceStore
from lima.ports.template_reader import TemplateParser


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """The configuration, and what is worth a warning."""

    config: InstanceConfig
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolveInstance:
    """Parses, merges with `default.yaml` and `override.yaml`, fills and validates.

    Raises: TemplateSyntaxError, TemplateInvalidError (all problems at once), InstanceNotFoundError.
    """

    store: InstanceStore
    parser: TemplateParser
    facts: HostFacts
    version: str
    user_config: Callable[[str], bytes | None]
    """A file of `LIMA_HOME/_config`, None where it is missing."""

    def stored(self, name: str) -> Resolved:
        """Of an instance that exists. What this version cannot do yet is a warning: it ran somewhere before."""
        content = self.store.read(name, FileName.CONFIG)
        if content is None:
            raise InstanceNotFoundError(
                f"instance {quote(name)} does not exist",
                hint=f"run `limactl create --name={name} template:default` to create it",
            )
        creating = (self.store.read(name, FileName.VERSION) or b"").decode(errors="replace").strip()
        resolved, template = self._resolve(name, content.decode(errors="surrogateescape"), version=creating)
        later = tuple(f"{quote(name)}: {problem}; ignored" for problem in unsupported(template))
        return Resolved(config=resolved.config, warnings=resolved.warnings + later)

    def new(self, name: str, text: str, *, origin: str) -> Resolved:
        """Of a template that becomes instance `name`. What this version cannot do yet is refused."""
        resolved, template = self._resolve(name, text, version=self.version, origin=origin)
        if problems := unsupported(template):
            raise TemplateInvalidError(
                tuple(str(problem) for problem in problems),
                name=origin,
                hint="remove these fields, or use a release that supports them",
            )
        return resolved

    def _resolve(self, name: str, text: str, *, version: str, origin: str = "") -> tuple[Resolved, Template]:
        parsed = self.parser.parse(text, origin=origin or f"{self.store.directory(name)}/{FileName.CONFIG}")
        warnings = list(parsed.warnings)
        layers: dict[str, Template | None] = {}
        for file in ("default.yaml", "override.yaml"):
            content = self.user_config(file)
            layers[file] = None
            if content is not None:
                layer = self.parser.parse(content.decode(errors="surrogateescape"), origin=f"_config/{file}")
                layers[file] = layer.template
                warnings += layer.warnings
        config = fill(
            parsed.template,
            default=layers["default.yaml"],
            override=layers["override.yaml"],
            facts=self.facts,
            instance_name=name,
            creating_version=version,
            instance_dir=self.store.directory(name),
        )
        if problems := validate(parsed.template, config):
            raise TemplateInvalidError(tuple(str(problem) for problem in problems), name=origin or name)
        return Resolved(config=config, warnings=tuple(warnings)), parsed.template
