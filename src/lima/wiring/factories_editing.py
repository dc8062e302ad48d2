"""Factories of what edits templates and instances. As in `factories`: the import inside."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from lima.adapters.codec.yaml_patch import YamlTextPatcher
    from lima.adapters.codec.yaml_reader import YamlTemplateParser
    from lima.adapters.filesystem.instances import FilesystemInstanceStore
    from lima.adapters.terminal.dialogue import TerminalDialogue
    from lima.adapters.yq.engine import YaqpyQuery
    from lima.application.compare_instance import CompareInstance
    from lima.application.draft_template import DraftTemplate
    from lima.application.edit_by_hand import EditByHand
    from lima.application.edit_file import EditFile
    from lima.application.edit_instance import EditInstance
    from lima.application.edit_text import EditText
    from lima.application.embed_template import EmbedTemplate
    from lima.application.observe_instance import ObserveInstance
    from lima.application.resolve_instance import ResolveInstance
    from lima.application.review_template import ReviewTemplate
    from lima.domain.host import HostFacts
    from lima.ports.events import EventSink
    from lima.ports.template_reader import TemplateParser, TemplateSource


def text_patcher() -> YamlTextPatcher:
    from lima.adapters.codec.yaml_patch import YamlTextPatcher

    return YamlTextPatcher()


def dialogue() -> TerminalDialogue:
    from lima.adapters.terminal.dialogue import TerminalDialogue

    return TerminalDialogue()


def edit_text(query: Callable[[], YaqpyQuery], patcher: Callable[[], YamlTextPatcher]) -> EditText:
    from lima.application.edit_text import EditText

    return EditText(query=query, patcher=patcher)


def edit_by_hand(terminal: TerminalDialogue, facts: HostFacts) -> EditByHand:
    from lima.adapters.filesystem.user_config import read_user_config
    from lima.application.edit_by_hand import EditByHand

    return EditByHand(dialogue=terminal, facts=facts, user_config=lambda file: read_user_config(facts.lima_home, file))


def draft_template(embed: EmbedTemplate, parser: TemplateParser, edit: EditText, facts: HostFacts) -> DraftTemplate:
    from lima.application.draft_template import DraftTemplate

    return DraftTemplate(embed=embed, parser=parser, edit=edit, facts=facts)


def review_template(
    terminal: TerminalDialogue,
    drafts: DraftTemplate,
    edit: EditByHand,
    templates: TemplateSource,
    *,
    progress: EventSink,
) -> ReviewTemplate:
    from lima.application.review_template import ReviewTemplate

    return ReviewTemplate(dialogue=terminal, drafts=drafts, edit=edit, templates=templates, progress=progress)


def edit_instance(
    instances: FilesystemInstanceStore,
    observe: ObserveInstance,
    resolve: ResolveInstance,
    parser: YamlTemplateParser,
    edit: EditText,
    facts: HostFacts,
    *,
    progress: EventSink,
) -> EditInstance:
    from lima.application.edit_instance import EditInstance

    return EditInstance(
        store=instances, observe=observe, resolve=resolve, parser=parser, edit=edit, facts=facts, progress=progress
    )


def edit_file(
    embed: EmbedTemplate,
    resolve: ResolveInstance,
    parser: TemplateParser,
    edit: EditText,
    facts: HostFacts,
    *,
    progress: EventSink,
) -> EditFile:
    from lima.application.edit_file import EditFile

    return EditFile(embed=embed, resolve=resolve, parser=parser, edit=edit, facts=facts, progress=progress)


def compare_instance(
    instances: FilesystemInstanceStore, templates: TemplateSource, embed: EmbedTemplate, parser: TemplateParser
) -> CompareInstance:
    from lima.application.compare_instance import CompareInstance

    return CompareInstance(store=instances, templates=templates, embed=embed, parser=parser)
