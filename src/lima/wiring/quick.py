"""The quick path: `list` and `shell` without asyncio, the container or YAML, on the same factories as everything else."""

from __future__ import annotations

import os

from lima.wiring import factories_light

TYPE_CHECKING = False  # of typing, which costs 6 ms (docs/decisions/0008)
if TYPE_CHECKING:
    from typing import Any

    from lima.application.list_instances import ListInstances
    from lima.application.run_shell import RunShell
    from lima.domain.record import Summary
    from lima.ports.instance_store import InstanceStore


def list_instances() -> ListInstances:
    """`list`, ready to be called."""
    home = factories_light.lima_home()
    return factories_light.list_instances(home, summarise=summarise)


def run_shell() -> RunShell:
    """`shell`, ready to be called."""
    return factories_light.run_shell(factories_light.lima_home(), ssh_variable=os.environ.get("SSH", ""))


def store() -> InstanceStore:
    """The instances."""
    return factories_light.store(factories_light.lima_home())


def host_fields() -> dict[str, str]:
    """The four deprecated keys of a record."""
    return factories_light.host_fields(factories_light.lima_home())


def formatted(template: str, shown: dict[str, Any]) -> str:
    """A text of `--format` on an object of `list --json`. Raises: GoTemplateError."""
    from lima.domain.errors import GoTemplateError

    try:
        return factories_light.render_record(template, shown)
    except GoTemplateError as error:
        invalid = "invalid go template: " if error.stage == "parse" else ""
        hint = error.hint or "`limactl list --list-fields` shows the fields"
        raise GoTemplateError(invalid + error.message, stage=error.stage, hint=hint) from error


def query_json(expression: str, line: str) -> str:
    """A yq expression on an object of `list --json`, its results on one line. Raises: YqError."""
    from lima.wiring import factories_templates

    return factories_templates.yaml_query().query_json(expression, line)


def as_yaml(values: list[dict[str, Any]], expression: str) -> str:
    """A YAML document for each, or what a yq expression makes of them all. Raises: YqError."""
    from lima.wiring import factories_templates

    text = "---\n".join(factories_templates.write_yaml(value) for value in values)
    return factories_templates.yaml_query().query(expression, text) if expression and values else text


def summary(name: str) -> Summary:
    """What `shell` needs of an instance's configuration."""
    cache = factories_light.summary_cache(factories_light.lima_home())
    known = cache.get(name)
    if known is None:
        known = summarise(name)
        cache.put(name, known)
        cache.flush()
    return known


def summarise(name: str) -> Summary:
    """Resolve the configuration: this is where YAML and msgspec come in, once an edit."""
    from lima.wiring import factories, factories_templates

    # by hand: the container's library alone would double the time
    facts = factories.host_facts(factories.host_inspector())
    instances = factories.store(facts)
    survey = factories_templates.survey_host(factories_templates.host_files(), facts)
    parser = factories_templates.template_parser()
    resolve = factories_templates.resolve_instance(instances, parser, facts, survey)
    return factories.summarise_instance(instances, resolve)(name)


YQ_STEP = "yq-step"
"""The word by which the program starts itself for one file of a provision step."""


def serve_yq_step() -> int:
    """Rewrite one file, from standard input to standard output; the exit status."""
    from lima.adapters.yq.child import serve

    return serve()


def run_yq(words: list[str]) -> int:
    """The command line of yq itself; the exit status."""
    from lima.adapters.yq.command import run_yq

    return run_yq(words)
