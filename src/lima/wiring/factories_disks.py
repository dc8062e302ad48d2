"""Factories of additional disks: one small function an object, the import inside."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lima.adapters.filesystem.disks import FilesystemDiskStore
    from lima.adapters.filesystem.instances import FilesystemInstanceStore
    from lima.adapters.qemu.disks import QemuDiskTool
    from lima.adapters.system.clock import SystemClock
    from lima.adapters.system.processes import SystemProcessTable
    from lima.application.claim_disks import ClaimDisks
    from lima.application.create_disk import CreateDisk
    from lima.application.delete_disk import DeleteDisk
    from lima.application.find_disk_use import FindDiskUse
    from lima.application.import_disk import ImportDisk
    from lima.application.list_disks import ListDisks
    from lima.application.release_disks import ReleaseDisks
    from lima.application.resize_disk import ResizeDisk
    from lima.application.resolve_instance import ResolveInstance
    from lima.application.unlock_disk import UnlockDisk
    from lima.domain.host import HostFacts
    from lima.ports.events import EventSink


def disk_store(facts: HostFacts, table: SystemProcessTable) -> FilesystemDiskStore:
    from lima.adapters.filesystem.disks import FilesystemDiskStore

    return FilesystemDiskStore(facts.lima_home, table)


def find_disk_use(instances: FilesystemInstanceStore) -> FindDiskUse:
    from lima.application.find_disk_use import FindDiskUse

    return FindDiskUse(instances=instances)


def claim_disks(disks: FilesystemDiskStore, instances: FilesystemInstanceStore, find_use: FindDiskUse) -> ClaimDisks:
    from lima.application.claim_disks import ClaimDisks

    return ClaimDisks(disks=disks, instances=instances, find_use=find_use)


def release_disks(disks: FilesystemDiskStore, instances: FilesystemInstanceStore) -> ReleaseDisks:
    from lima.application.release_disks import ReleaseDisks

    return ReleaseDisks(disks=disks, instances=instances)


def create_disk(
    disks: FilesystemDiskStore, tool: QemuDiskTool, table: SystemProcessTable, *, progress: EventSink
) -> CreateDisk:
    from lima.application.create_disk import CreateDisk

    return CreateDisk(disks=disks, tool=tool, processes=table, progress=progress)


def import_disk(
    disks: FilesystemDiskStore,
    tool: QemuDiskTool,
    table: SystemProcessTable,
    the_clock: SystemClock,
    *,
    progress: EventSink,
) -> ImportDisk:
    from lima.application.import_disk import ImportDisk

    return ImportDisk(disks=disks, tool=tool, processes=table, clock=the_clock, progress=progress)


def list_disks(disks: FilesystemDiskStore, tool: QemuDiskTool, find_use: FindDiskUse) -> ListDisks:
    from lima.application.list_disks import ListDisks

    return ListDisks(disks=disks, tool=tool, find_use=find_use)


def resize_disk(
    disks: FilesystemDiskStore, tool: QemuDiskTool, find_use: FindDiskUse, *, progress: EventSink
) -> ResizeDisk:
    from lima.application.resize_disk import ResizeDisk

    return ResizeDisk(disks=disks, tool=tool, find_use=find_use, progress=progress)


def delete_disk(
    disks: FilesystemDiskStore,
    instances: FilesystemInstanceStore,
    table: SystemProcessTable,
    find_use: FindDiskUse,
    resolve: ResolveInstance,
    *,
    progress: EventSink,
) -> DeleteDisk:
    from lima.application.delete_disk import DeleteDisk

    return DeleteDisk(
        disks=disks, instances=instances, processes=table, find_use=find_use, resolve=resolve, progress=progress
    )


def unlock_disk(disks: FilesystemDiskStore, find_use: FindDiskUse, *, progress: EventSink) -> UnlockDisk:
    from lima.application.unlock_disk import UnlockDisk

    return UnlockDisk(disks=disks, find_use=find_use, progress=progress)
