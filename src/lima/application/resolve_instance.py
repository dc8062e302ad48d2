"""The filled configuration of an instance, or of a template that is to become one."""

from collections.abc import Callable
from dataclasses import dataclass

from lima.domain.config import InstanceConfig
from lima.domain.defaults import Resolution, resolve
from lima.domain.errors import InstanceNotFoundError
from lima.domain.host import HostFacts
from lima.domain.instance import FileName, quote
from lima.domain.template import Template
from lima.ports.instance_store import InstanceStore
from lima.ports.template_reader import TemplateParser


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """The configuration, the template with everything filled in (what `list --json` shows), and warnings."""

    config: InstanceConfig
    filled: Template
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
        version = self.store.read(name, FileName.VERSION)
        creating = version.decode(errors="replace").strip() if version is not None else None
        text = content.decode(errors="surrogateescape")
        resolution, warnings = self._resolve(
            name, text, version=creating, origin=f"{self.store.directory(name)}/{FileName.CONFIG}"
        )
        later = tuple(f"{problem}; ignored" for problem in resolution.unsupported)
        return Resolved(config=resolution.for_start(), filled=resolution.template, warnings=warnings + later)

    def new(self, name: str, text: str, *, origin: str) -> Resolved:
        """Of a template that becomes instance `name`. What this version cannot do yet is refused."""
        resolution, warnings = self._resolve(name, text, version=self.version, origin=origin)
        return Resolved(config=resolution.for_creation(), filled=resolution.template, warnings=warnings)

    def _resolve(self, name: str, text: str, *, version: str | None, origin: str) -> tuple[Resolution, tuple[str, ...]]:
        parsed = self.parser.parse(text, origin=origin)
        default, default_warnings = self._layer("default.yaml")
        override, override_warnings = self._layer("override.yaml")
        resolution = resolve(
            parsed.template,
            default=default,
            override=override,
            facts=self.facts,
            instance_name=name,
            creating_version=version,
            instance_dir=self.store.directory(name),
            tool_version=self.version,
        )
        return resolution, (*parsed.warnings, *default_warnings, *override_warnings, *resolution.warnings)

    def _layer(self, file: str) -> tuple[Template | None, tuple[str, ...]]:
        content = self.user_config(file)
        if content is None:
            return None, ()
        parsed = self.parser.parse(content.decode(errors="surrogateescape"), origin=f"_config/{file}")
        return parsed.template, parsed.warnings
