"""Factories of what is done to an instance as a whole. As in `factories`: the import inside."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lima.adapters.filesystem.instances import FilesystemInstanceStore
    from lima.adapters.qemu.disks import QemuDiskTool
    from lima.adapters.system.processes import SystemProcessTable
    from lima.adapters.system.runner import AsyncProcessRunner
    from lima.application.clone_instance import CloneInstance
    from lima.application.copy_files import CopyFiles
    from lima.application.observe_instance import ObserveInstance
    from lima.application.protect_instance import ProtectInstance
    from lima.application.rename_instance import RenameInstance
    from lima.application.reset_instance import ResetInstance
    from lima.application.run_shell import RunShell
    from lima.application.stop_instance import StopInstance
    from lima.domain.host import HostFacts
    from lima.ports.events import EventSink


def copy_files(instances: FilesystemInstanceStore, processes_runner: AsyncProcessRunner, shell: RunShell) -> CopyFiles:
    from lima.application.copy_files import CopyFiles

    return CopyFiles(store=instances, runner=processes_runner, check_running=shell.check_running, ssh=shell.ssh)


def protect_instance(instances: FilesystemInstanceStore) -> ProtectInstance:
    from lima.application.protect_instance import ProtectInstance

    return ProtectInstance(store=instances)


def clone_instance(
    instances: FilesystemInstanceStore,
    disks: QemuDiskTool,
    table: SystemProcessTable,
    facts: HostFacts,
    *,
    progress: EventSink,
) -> CloneInstance:
    from lima.application.clone_instance import CloneInstance

    return CloneInstance(store=instances, disks=disks, processes=table, host_os=facts.os, progress=progress)


def rename_instance(
    instances: FilesystemInstanceStore, table: SystemProcessTable, facts: HostFacts, *, progress: EventSink
) -> RenameInstance:
    from lima.application.rename_instance import RenameInstance

    return RenameInstance(store=instances, processes=table, host_os=facts.os, progress=progress)


def reset_instance(
    instances: FilesystemInstanceStore,
    observe: ObserveInstance,
    stop: Callable[..., StopInstance],
    *,
    progress: EventSink,
) -> ResetInstance:
    from lima.application.reset_instance import ResetInstance

    return ResetInstance(store=instances, observe=observe, stop=stop(progress=progress), progress=progress)
