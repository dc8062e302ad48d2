"""Factories of what reads, embeds and resolves templates. As in `factories`: the import inside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from lima.domain.errors import LocatorError

if TYPE_CHECKING:
    from lima.adapters.codec.networks_reader import YamlNetworksParser
    from lima.adapters.codec.yaml_reader import YamlTemplateParser
    from lima.adapters.filesystem.host_files import LocalHostFiles
    from lima.adapters.filesystem.instances import FilesystemInstanceStore
    from lima.adapters.gotemplate.engine import GotplTemplates
    from lima.adapters.qemu.accelerator import QemuAcceleratorProbe
    from lima.adapters.templates.github import Answer
    from lima.adapters.templates.source import TemplateFiles
    from lima.adapters.yq.engine import YaqpyQuery
    from lima.application.copy_template import CopyTemplate
    from lima.application.embed_template import EmbedTemplate
    from lima.application.resolve_instance import ResolveInstance
    from lima.application.show_info import ShowInfo
    from lima.application.survey_host import SurveyHost
    from lima.domain.host import HostFacts
    from lima.ports.host_files import HostFiles
    from lima.ports.template_reader import TemplateParser, TemplateSource, TemplateText


def version() -> str:
    """The version that instances are stamped with."""
    from lima._version import __version__

    return __version__


def template_parser() -> YamlTemplateParser:
    from lima.adapters.codec.yaml_reader import YamlTemplateParser

    return YamlTemplateParser()


def networks_parser() -> YamlNetworksParser:
    from lima.adapters.codec.networks_reader import YamlNetworksParser

    return YamlNetworksParser()


def host_files() -> LocalHostFiles:
    from lima.adapters.filesystem.host_files import LocalHostFiles

    return LocalHostFiles()


def template_source(facts: HostFacts, files: HostFiles) -> TemplateFiles:
    import sys

    from lima.adapters.templates.source import Reach, TemplateFiles
    from lima.wiring.locations import data_dir

    def fetch(url: str, limit: int) -> bytes:
        from lima.adapters.templates.http import fetch_text

        return fetch_text(url, limit)

    def ask(url: str, limit: int, headers: dict[str, str]) -> Answer:
        from lima.adapters.templates import http

        return http.ask(url, limit, headers)

    def plugin(scheme: str, rest: str) -> str | None:
        from lima.adapters.system.plugins import translate_url

        return translate_url(scheme, rest)

    reach = Reach(fetch=fetch, ask=ask, stdin=lambda limit: sys.stdin.buffer.read(limit), plugin=plugin)
    return TemplateFiles(facts, builtin_dirs=(data_dir("templates"),), files=files, reach=reach)


def template_source_on(facts: HostFacts, files: HostFiles) -> TemplateFiles:
    """Templates of `files` alone, with nothing built in and nothing fetched."""
    from lima.adapters.templates.source import Reach, TemplateFiles

    def refuse(*_: object) -> NoReturn:
        raise LocatorError("there is no network here")

    return TemplateFiles(facts, builtin_dirs=(), files=files, reach=Reach(fetch=refuse, ask=refuse, stdin=refuse))


def go_templates() -> GotplTemplates:
    from lima.adapters.codec.yaml_writer import write_value
    from lima.adapters.gotemplate.engine import GotplTemplates

    return GotplTemplates(to_yaml=write_value)


def expand(text: str, variables: Mapping[str, object]) -> str:
    """The engine of Go templates, loaded when a field is beyond the simple shapes. Raises: GoTemplateError."""
    return go_templates().expand(text, variables)


def yaml_query() -> YaqpyQuery:
    from lima.adapters.yq.engine import YaqpyQuery

    return YaqpyQuery()


def write_yaml(value: object) -> str:
    """Plain data as YAML text."""
    from lima.adapters.codec.yaml_writer import write_value

    return write_value(value)


def read_plain(text: str) -> Any:
    """The plain value of a YAML text, comments aside. Raises: TemplateSyntaxError."""
    from lima.adapters.codec.yaml_tree import read_tree
    from lima.domain.tree import plain

    return plain(read_tree(text).root)


def survey_host(files: HostFiles, facts: HostFacts) -> SurveyHost:
    from lima.application.survey_host import SurveyHost

    return SurveyHost(files=files, networks=networks_parser(), facts=facts, version=version())


def embed_template(source: TemplateSource, parser: TemplateParser, facts: HostFacts) -> EmbedTemplate:
    from lima.application.embed_template import EmbedTemplate

    return EmbedTemplate(source=source, parser=parser, facts=facts)


def resolve_instance(
    instances: FilesystemInstanceStore, parser: YamlTemplateParser, facts: HostFacts, survey: SurveyHost
) -> ResolveInstance:
    from lima.adapters.filesystem.user_config import read_user_config
    from lima.application.resolve_instance import ResolveInstance

    return ResolveInstance(
        store=instances,
        parser=parser,
        facts=facts,
        version=version(),
        user_config=lambda file: read_user_config(facts.lima_home, file),
        survey=survey,
        engine=expand,
    )


def copy_template(source: TemplateFiles, embed: EmbedTemplate, resolve: ResolveInstance) -> CopyTemplate:
    from lima.application.copy_template import CopyTemplate

    return CopyTemplate(source=source, embed=embed, resolve=resolve, write=write_yaml)


def show_info(
    facts: HostFacts,
    instances: FilesystemInstanceStore,
    templates: TemplateFiles,
    probe: QemuAcceleratorProbe,
    embed: EmbedTemplate,
    resolve: ResolveInstance,
) -> ShowInfo:
    from lima.application.show_info import ShowInfo
    from lima.domain.marshalling import shown

    def filled(template: TemplateText) -> dict[str, Any]:
        embedded = embed(template)
        examined = resolve.template(embedded.text, origin=template.origin, tree=embedded.tree)
        return shown(examined.resolution.template)

    return ShowInfo(
        facts=facts,
        store=instances,
        templates=templates,
        probe=probe,
        version=version(),
        filled_default=filled,
        surroundings=_surroundings,
    )


def _surroundings() -> dict[str, Any]:
    from lima.adapters.system.plugins import installation, plugins

    places = installation()
    found = [
        {"name": plugin.name, "path": plugin.path} | ({"description": plugin.description} if plugin.description else {})
        for plugin in plugins(places)
    ]
    return {
        "plugins": found or None,
        "libexecPaths": list(places.libexec) or None,
        "sharePaths": list(places.share) or None,
    }
