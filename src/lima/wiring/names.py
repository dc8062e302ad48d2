"""What there is to be named on a command line, for completion: without the container, which would double the time."""

from lima.wiring import factories, factories_disks, factories_light, factories_templates


def instances() -> tuple[str, ...]:
    """Names of instances."""
    return factories_light.store(factories_light.lima_home()).names()


def templates() -> tuple[str, ...]:
    """Names of templates, without those that are parts of others."""
    facts = factories.host_facts(factories.host_inspector())
    source = factories_templates.template_source(facts, factories_templates.host_files())
    return tuple(name for name, _ in source.names() if not name.startswith("_") and "/_" not in name)


def host_size() -> tuple[int, int]:
    """Processors, and bytes of memory."""
    facts = factories.host_facts(factories.host_inspector())
    return facts.cpus, facts.memory_bytes


def disks() -> tuple[str, ...]:
    """Names of additional disks."""
    facts = factories.host_facts(factories.host_inspector())
    return factories_disks.disk_store(facts, factories.processes()).names()
