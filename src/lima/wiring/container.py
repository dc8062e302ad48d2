"""The one place that says which adapter stands behind which port, for everything but the quick path.

Providers point at the factory functions of `factories`, which import inside themselves.
"""

from dependency_injector import containers, providers

from lima.wiring import (
    factories,
    factories_agent,
    factories_disks,
    factories_editing,
    factories_instances,
    factories_templates,
)


class Container(containers.DeclarativeContainer):
    """Entrypoints ask it for a use case and call it; tests pass fakes to the use case instead."""

    host_inspector = providers.Singleton(factories.host_inspector)
    host_facts = providers.Singleton(factories.host_facts, host_inspector)
    clock = providers.Singleton(factories.clock)
    processes = providers.Singleton(factories.processes)
    runner = providers.Singleton(factories.runner)
    ports = providers.Singleton(factories.ports)
    store = providers.Singleton(factories.store, host_facts)
    disk_store = providers.Singleton(factories_disks.disk_store, host_facts, processes)
    agent_client = providers.Singleton(factories.agent_client)
    agent_launcher = providers.Singleton(factories.agent_launcher, store, processes)
    agent_logs = providers.Factory(factories.agent_logs, store)
    agent_events = providers.Singleton(factories.agent_events, clock)
    resident_bytes = providers.Callable(factories.resident_bytes)
    guest_progress = providers.Singleton(factories.guest_progress)
    ssh_keys = providers.Singleton(factories.ssh_keys, host_facts, runner)
    ssh_client = providers.Singleton(factories.ssh_client, host_facts)
    template_parser = providers.Singleton(factories_templates.template_parser)
    yaml_query = providers.Singleton(factories_templates.yaml_query)
    host_files = providers.Singleton(factories_templates.host_files)
    template_source = providers.Singleton(factories_templates.template_source, host_facts, host_files)
    disk_tool = providers.Singleton(factories.disk_tool, runner)
    image_builder = providers.Singleton(factories.image_builder, host_facts, runner)
    image_store = providers.Singleton(factories.image_store, host_facts, image_builder, disk_tool, clock)
    accelerator_probe = providers.Singleton(factories.accelerator_probe, host_facts, runner)
    hypervisor = providers.Factory(factories.hypervisor, host_facts, runner)
    host_outbox = providers.Singleton(factories_agent.host_outbox)
    share_server = providers.Singleton(factories_agent.share_server, host_facts, runner, processes)
    new_name_server = providers.Singleton(factories_agent.new_name_server, host_facts)
    seed_writer = providers.Singleton(factories.seed_writer)

    survey_host = providers.Factory(factories_templates.survey_host, host_files, host_facts)
    embed_template = providers.Factory(factories_templates.embed_template, template_source, template_parser, host_facts)
    resolve_instance = providers.Factory(
        factories_templates.resolve_instance, store, template_parser, host_facts, survey_host
    )
    copy_template = providers.Factory(
        factories_templates.copy_template, template_source, embed_template, resolve_instance
    )
    observe_instance = providers.Factory(factories.observe_instance, store, agent_client)
    fetch_nerdctl = providers.Singleton(factories.fetch_nerdctl, image_store)
    prepare_instance = providers.Factory(factories.prepare_instance, store, image_store, disk_tool, fetch_nerdctl)
    text_patcher = providers.Singleton(factories_editing.text_patcher)
    dialogue = providers.Singleton(factories_editing.dialogue)
    edit_text = providers.Factory(factories_editing.edit_text, yaml_query.provider, text_patcher.provider)
    edit_by_hand = providers.Factory(factories_editing.edit_by_hand, dialogue, host_facts)
    draft_template = providers.Factory(
        factories_editing.draft_template, embed_template, template_parser, edit_text, host_facts
    )
    review_template = providers.Factory(
        factories_editing.review_template, dialogue, draft_template, edit_by_hand, template_source
    )
    edit_instance = providers.Factory(
        factories_editing.edit_instance,
        store,
        observe_instance,
        resolve_instance,
        template_parser,
        edit_text,
        host_facts,
    )
    edit_file = providers.Factory(
        factories_editing.edit_file, embed_template, resolve_instance, template_parser, edit_text, host_facts
    )
    compare_instance = providers.Factory(
        factories_editing.compare_instance, store, template_source, embed_template, template_parser
    )
    create_instance = providers.Factory(
        factories.create_instance,
        store,
        processes,
        template_source,
        draft_template,
        review_template.provider,
        resolve_instance,
        prepare_instance,
        accelerator_probe,
        host_facts,
    )
    find_disk_use = providers.Factory(factories_disks.find_disk_use, store)
    claim_disks = providers.Factory(factories_disks.claim_disks, disk_store, store, find_disk_use)
    release_disks = providers.Factory(factories_disks.release_disks, disk_store, store)
    create_disk = providers.Factory(factories_disks.create_disk, disk_store, disk_tool, processes)
    import_disk = providers.Factory(factories_disks.import_disk, disk_store, disk_tool, processes, clock)
    list_disks = providers.Factory(factories_disks.list_disks, disk_store, disk_tool, find_disk_use)
    resize_disk = providers.Factory(factories_disks.resize_disk, disk_store, disk_tool, find_disk_use)
    delete_disk = providers.Factory(
        factories_disks.delete_disk, disk_store, store, processes, find_disk_use, resolve_instance
    )
    unlock_disk = providers.Factory(factories_disks.unlock_disk, disk_store, find_disk_use)

    stop_instance = providers.Factory(factories.stop_instance, store, processes, observe_instance, release_disks)
    start_instance = providers.Factory(
        factories.start_instance,
        store,
        processes,
        observe_instance,
        resolve_instance,
        create_instance.provider,
        edit_instance.provider,
        prepare_instance,
        stop_instance.provider,
        agent_launcher,
        clock,
        runner,
    )
    restart_instance = providers.Factory(
        factories.restart_instance,
        store,
        observe_instance,
        stop_instance.provider,
        start_instance.provider,
        edit_instance.provider,
    )
    delete_instance = providers.Factory(
        factories.delete_instance, store, processes, observe_instance, stop_instance.provider
    )
    protect_instance = providers.Factory(factories_instances.protect_instance, store)
    clone_instance = providers.Factory(factories_instances.clone_instance, store, processes, host_facts)
    rename_instance = providers.Factory(factories_instances.rename_instance, store, processes, host_facts)
    reset_instance = providers.Factory(
        factories_instances.reset_instance, store, observe_instance, stop_instance.provider
    )
    summarise_instance = providers.Factory(factories.summarise_instance, store, resolve_instance)
    list_instances = providers.Factory(factories.list_instances, host_facts, summarise_instance)
    run_shell = providers.Factory(factories.run_shell, host_facts)
    copy_files = providers.Factory(factories_instances.copy_files, store, runner, run_shell)
    open_tunnel = providers.Factory(factories.open_tunnel, run_shell, ports)
    aim_ssh = providers.Factory(factories.aim_ssh, store, ssh_keys, ssh_client)
    show_ssh = providers.Factory(factories.show_ssh, store, resolve_instance, aim_ssh, ssh_client)
    watch_instances = providers.Factory(factories.watch_instances, store, agent_logs, clock)
    show_provision_report = providers.Factory(factories.show_provision_report, store)
    show_info = providers.Factory(
        factories_templates.show_info,
        host_facts,
        store,
        template_source,
        accelerator_probe,
        embed_template,
        resolve_instance,
    )
    check_host = providers.Factory(factories.check_host, host_inspector, host_facts, accelerator_probe)

    write_seed = providers.Factory(factories_agent.write_seed, store, seed_writer, ssh_keys, host_facts)
    plan_machine = providers.Factory(factories_agent.plan_machine, store, disk_tool, disk_store, host_facts)
    boot_guest = providers.Factory(
        factories_agent.boot_guest, store, plan_machine, accelerator_probe, ports, host_facts, hypervisor.provider
    )
    connect_guest = providers.Factory(factories_agent.connect_guest, store, aim_ssh, ssh_client, runner)
    file_rewriter = providers.Singleton(factories_agent.file_rewriter, runner)
    supervise = providers.Factory(
        factories_agent.supervise,
        store,
        clock,
        resolve_instance,
        claim_disks,
        release_disks,
        write_seed,
        boot_guest,
        connect_guest,
        accelerator_probe,
        guest_progress,
        hypervisor.provider,
        file_rewriter,
        new_name_server,
        host_outbox,
        host_facts,
        share_server,
    )
