"""The filled configuration of an instance, or of a template that is to become one."""

from collections.abc import Callable

from lima.domain.completion import Circumstances
from lima.domain.config import InstanceConfig
from lima.domain.defaults import Layers, Resolution, Survey, resolve
from lima.domain.errors import InstanceNotFoundError, TemplateInvalidError
from lima.domain.host import HostFacts
from lima.domain.instance import FileName, quote
from lima.domain.origins import Sources, located
from lima.domain.problem import Problem
from lima.domain.template import Template
from lima.domain.tree import Tree
from lima.domain.values import Value
from lima.domain.variables import Expand, Naming
from lima.ports.instance_store import InstanceStore
from lima.ports.template_reader import ParsedTemplate, TemplateParser


class Resolved(Value):
    """The configuration, the template with everything filled in (what `list --json` shows), and warnings."""

    config: InstanceConfig
    filled: Template
    warnings: tuple[str, ...]


class Examined(Value):
    """What became of a template, its problems with their places, and all warnings."""

    resolution: Resolution
    problems: tuple[Problem, ...]
    warnings: tuple[str, ...]

    def filled(self) -> Template:
        """Raises: TemplateInvalidError where a rule is broken."""
        if self.problems:
            raise TemplateInvalidError(
                tuple(str(problem) for problem in self.problems),
                hint="correct these fields, or remove them for their defaults",
            )
        return self.resolution.template


class ResolveInstance(Value):
    """Parses, merges with `default.yaml` and `override.yaml`, fills and validates.

    Raises: TemplateSyntaxError, TemplateInvalidError (all problems at once), InstanceNotFoundError.
    """

    store: InstanceStore
    parser: TemplateParser
    facts: HostFacts
    version: str
    user_config: Callable[[str], bytes | None]
    """A file of `LIMA_HOME/_config`, None where it is missing."""
    survey: Callable[[Template], Survey]
    engine: Expand

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
        origin = f"main file {quote(f'{self.store.directory(name)}/{FileName.CONFIG}')}"
        resolution, sources, warnings = self._resolve(self._naming(name), text, None, creating, origin)
        later = tuple(f"{problem}; ignored" for problem in resolution.unsupported)
        self._refuse(located(resolution.blocking, sources))
        return Resolved(config=resolution.for_start(), filled=resolution.template, warnings=warnings + later)

    def new(self, name: str, text: str, *, origin: str, tree: Tree | None = None) -> Resolved:
        """Of a template, bases embedded, that becomes instance `name`. What this version cannot do yet is refused."""
        resolution, sources, warnings = self._resolve(self._naming(name), text, tree, self.version, origin)
        refused = {problem.path for problem in resolution.unsupported}
        found = (*resolution.unsupported, *(one for one in resolution.blocking if one.path not in refused))
        self._refuse(located(found, sources))
        return Resolved(config=resolution.for_creation(), filled=resolution.template, warnings=warnings)

    def template(self, text: str, *, origin: str, tree: Tree | None = None) -> Examined:
        """Of a template that becomes no instance: broken rules are told, not raised.

        As upstream, the variables then stand for a file in LIMA_HOME itself. Source: reference, config §2.1.
        """
        home = self.facts.lima_home
        naming = Naming(name=home.rpartition("/")[2], directory=home)
        resolution, sources, warnings = self._resolve(naming, text, tree, self.version, origin)
        return Examined(resolution=resolution, problems=located(resolution.problems, sources), warnings=warnings)

    def examine(self, name: str, text: str, *, tree: Tree | None, version: str | None, origin: str) -> Examined:
        """Of a template for instance `name`, created by `version`: broken rules are told, not raised."""
        resolution, sources, warnings = self._resolve(self._naming(name), text, tree, version, origin)
        return Examined(resolution=resolution, problems=located(resolution.problems, sources), warnings=warnings)

    def _naming(self, name: str) -> Naming:
        return Naming(name=name, directory=self.store.directory(name))

    def _refuse(self, problems: tuple[Problem, ...]) -> None:
        if problems:
            raise TemplateInvalidError(
                tuple(str(problem) for problem in problems),
                hint="correct these fields, or remove them for their defaults",
            )

    def _resolve(
        self, naming: Naming, text: str, tree: Tree | None, version: str | None, origin: str
    ) -> tuple[Resolution, Sources, tuple[str, ...]]:
        tree = tree if tree is not None else self.parser.read(text, origin=origin)
        parsed = self.parser.decode(tree)
        default_tree, default = self._layer("default")
        override_tree, override = self._layer("override")
        circumstances = Circumstances(
            facts=self.facts,
            naming=Naming(name=naming.name, directory=naming.directory, params=parsed.template.param or {}),
            creating_version=version,
            config_path=f"{naming.directory}/{FileName.CONFIG}",
        )
        layers = Layers(
            template=parsed.template,
            default=default.template if default is not None else None,
            override=override.template if override is not None else None,
        )
        resolution = resolve(layers, circumstances, engine=self.engine, survey=self.survey)
        said = [part.warnings for part in (parsed, default, override) if part is not None]
        warnings = (*(sentence for sentences in said for sentence in sentences), *resolution.warnings)
        return resolution, Sources(tree, default_tree, override_tree), warnings

    def _layer(self, name: str) -> tuple[Tree | None, ParsedTemplate | None]:
        content = self.user_config(f"{name}.yaml")
        if content is None:
            return None, None
        origin = f"{name} file `{self.facts.lima_home}/_config/{name}.yaml`"
        tree = self.parser.read(content.decode(errors="surrogateescape"), origin=origin)
        return tree, self.parser.decode(tree)
