"""From an instance's configuration and files to the machine that the hypervisor is asked to run."""

from dataclasses import dataclass

from lima.domain.config import InstanceConfig
from lima.domain.disks import attached_format
from lima.domain.errors import DiskNotFoundError, WrongStateError
from lima.domain.host import HostFacts
from lima.domain.instance import FileName, quote
from lima.domain.machine_spec import DirectBoot, DiskFormat, DiskSpec, Firmware, MachineSpec, audio_device
from lima.domain.mount_devices import shares
from lima.domain.networks import mac_address
from lima.ports.disk_store import DiskStore
from lima.ports.image_store import DiskTool
from lima.ports.instance_store import InstanceStore


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanMachine:
    """Looks at which files the instance has and states the machine. Raises: WrongStateError, ImageFormatError,
    DiskNotFoundError."""

    store: InstanceStore
    disks: DiskTool
    additional: DiskStore
    facts: HostFacts

    async def __call__(self, name: str, config: InstanceConfig, *, accelerator: str, ssh_port: int) -> MachineSpec:
        directory = self.store.directory(name)
        cpu_types = dict(config.qemu.cpu_type)
        return MachineSpec(
            name=name,
            directory=directory,
            arch=config.arch,
            cpus=config.cpus,
            memory_bytes=config.memory_bytes,
            accelerator=accelerator,
            mac_address=mac_address(self.facts.machine_id, directory),
            ssh_host_port=ssh_port,
            cpu_model=cpu_types.get(config.arch) or None,
            disk=await self._disk(name),
            iso=self._path(name, FileName.ISO),
            additional_disks=tuple([await self._additional(disk.name) for disk in config.additional_disks]),
            seed_iso=self._path(name, FileName.CIDATA_ISO),
            shares=shares(config.mounts, directory),
            direct_boot=self._direct_boot(name),
            firmware=Firmware(legacy_bios=config.legacy_bios, code=self._path(name, FileName.EFI_CODE)),
            display=config.display,
            vnc_display=config.vnc_display,
            audio_device=audio_device(config.audio_device, self.facts.os),
            wants_agent_port=not config.plain,
        )

    def _path(self, name: str, file: str) -> str | None:
        return f"{self.store.directory(name)}/{file}" if self.store.has(name, file) else None

    async def _disk(self, name: str) -> DiskSpec | None:
        path = self._path(name, FileName.DISK)
        if path is None:
            return None
        if problem := self.store.base_problem(name):
            raise WrongStateError(
                f"instance {quote(name)}: {problem}",
                hint="the file below the disk was changed; restore it, or delete the instance and create it again",
            )
        info = await self.disks.inspect(path)
        return DiskSpec(path=path, format=DiskFormat.QCOW2 if info.format == "qcow2" else DiskFormat.RAW)

    async def _additional(self, name: str) -> DiskSpec:
        disk = self.additional.look(name)
        if disk is None:
            raise DiskNotFoundError(name)
        found = await self.disks.inspect(disk.path, format=disk.recorded_format)
        return DiskSpec(path=disk.path, format=attached_format(disk, found))

    def _direct_boot(self, name: str) -> DirectBoot | None:
        kernel = self._path(name, FileName.KERNEL)
        if kernel is None:
            return None
        cmdline = (self.store.read(name, FileName.KERNEL_CMDLINE) or b"").decode(errors="replace").strip()
        return DirectBoot(kernel=kernel, initrd=self._path(name, FileName.INITRD), cmdline=cmdline)
