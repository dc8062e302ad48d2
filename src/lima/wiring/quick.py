"""The quick path: `list` and `shell` without asyncio, the container or YAML, on the same factories as everything else."""

from __future__ import annotations

import os

from lima.wiring import factories_light

TYPE_CHECKING = False  # of typing, which costs 6 ms (docs/decisions/0008)
if TYPE_CHECKING:
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
