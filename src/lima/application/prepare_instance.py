"""Give an instance its disk: obtain the image, link it, put an overlay over it, grow it after an edit."""

from dataclasses import dataclass

from lima.application.fetch_nerdctl import FetchNerdctl
from lima.domain.config import InstanceConfig
from lima.domain.errors import DownloadError, ImageBuildError, ImageError, LimaError, WrongStateError
from lima.domain.image import FileRef, ImageRef, StoredImage, host_of
from lima.domain.instance import FileName, quote
from lima.domain.progress import Level, Note
from lima.domain.sizes import format_size
from lima.ports.events import EventSink
from lima.ports.image_store import DiskTool, ImageStore
from lima.ports.instance_store import InstanceStore

NO_IMAGES = (
    "no images are configured (did you set --image-variant or --arch-variant to a value not present in the template?)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareInstance:
    """Idempotent: finishes what an interrupted run left. The caller holds the instance's lock.

    Raises: ImageError (the last entry's, where several failed), StorageError, MissingToolError, WrongStateError.
    """

    store: InstanceStore
    images: ImageStore
    disks: DiskTool
    nerdctl: FetchNerdctl

    async def __call__(self, name: str, config: InstanceConfig, *, progress: EventSink) -> None:
        self.store.adopt_legacy_layout(name)
        await self._firmware(name, config, progress)
        await self._disk(name, config, progress)
        await self._nerdctl(name, config, progress)

    async def _disk(self, name: str, config: InstanceConfig, progress: EventSink) -> None:
        if self.store.has(name, FileName.DISK):
            await self._grow(name, config, progress)
            return
        stored = await self._obtain(config, progress)
        progress.emit(Note(message=f"Using {stored.description}"))
        await self._install(name, config, stored)

    async def _firmware(self, name: str, config: InstanceConfig, progress: EventSink) -> None:
        """The UEFI code image that the template names, once. One that cannot be had is a warning: the hypervisor then
        looks for the host's own. Source: reference, runtime §3.4."""
        if self.store.has(name, FileName.EFI_CODE):
            return
        for entry in config.firmware_images:
            if entry.arch != config.arch or entry.vm_type not in ("", config.vm_type):
                continue
            image = ImageRef(disk=FileRef(location=entry.location, digest=entry.digest), arch=entry.arch)
            try:
                stored = await self.images.obtain(image, progress=progress)
            except ImageError as error:
                progress.emit(Note(message=f"firmware: {error.message}", level=Level.WARNING))
                continue
            if stored.disk is not None:
                self.store.link_image(name, {FileName.EFI_CODE: stored.disk})
                return

    async def _nerdctl(self, name: str, config: InstanceConfig, progress: EventSink) -> None:
        """The archive that the seed carries. One that cannot be had now is no failure: what the instance has already
        is used again, and without any the guest runs as well."""
        if not config.containerd.is_on:
            self.store.remove(name, FileName.NERDCTL)
            return
        archive = await self.nerdctl(config, progress=progress)
        if archive.path:
            self.store.link_image(name, {FileName.NERDCTL: archive.path}, is_base=False)
        elif archive.why_not and not self.store.has(name, FileName.NERDCTL):
            level = Level.WARNING if config.containerd.is_asked else Level.INFO
            progress.emit(Note(message=f"nerdctl will be absent in the guest: {archive.why_not}", level=level))

    async def _obtain(self, config: InstanceConfig, progress: EventSink) -> StoredImage:
        """The first entry that can be had, as upstream chooses them. Source: reference, config §1.3, image choice.

        A host that did not answer is not asked again for its other entries.
        """
        failures: list[LimaError] = []
        skipped: list[str] = []
        unreachable: set[str] = set()
        first: ImageRef | None = None
        for image in config.images:
            if image.arch != config.arch:
                skipped.append(
                    f"skipped to download: {quote(image.disk.location)}: unsupported arch: {quote(image.arch)}"
                )
                continue
            first = first or image
            if (image.variant, image.arch_variant) != (first.variant, first.arch_variant):
                skipped.append(
                    f"skipped to download: variant mismatch (expected {quote(first.variant)}, got {quote(image.variant)})"
                )
                continue
            if host_of(image.disk.location) in unreachable:
                continue
            try:
                return await self.images.obtain(image, progress=progress)
            except ImageError as error:
                failures.append(error)
                if isinstance(error, DownloadError) and error.unreachable_host:
                    unreachable.add(error.unreachable_host)
                progress.emit(Note(message=error.message, level=Level.WARNING))
        if len(failures) == 1:
            raise failures[0]
        if failures:
            message = "\n".join(error.message for error in failures)
            hint = failures[-1].hint or "check the `images:` section"
            if isinstance(failures[-1], ImageBuildError):
                raise ImageBuildError(message, log_tail=failures[-1].log_tail, hint=hint)
            raise ImageError(message, hint=hint)
        raise ImageError("\n".join(skipped) or NO_IMAGES, hint="check the `images:` section of the template")

    async def _install(self, name: str, config: InstanceConfig, stored: StoredImage) -> None:
        """Link everything first, `disk` last: its presence says that the instance is complete."""
        files: dict[str, str] = {}
        if stored.disk is not None:
            files[FileName.ISO if stored.disk_format == "iso" else FileName.BASEDISK] = stored.disk
        if stored.kernel is not None:
            files[FileName.KERNEL] = stored.kernel
        if stored.initrd is not None:
            files[FileName.INITRD] = stored.initrd
        self.store.link_image(name, files)
        if stored.cmdline:
            self.store.write(name, FileName.KERNEL_CMDLINE, stored.cmdline.encode(), mode=0o644)
        disk = f"{self.store.directory(name)}/{FileName.DISK}"
        if FileName.BASEDISK not in files:
            await self.disks.create_empty(disk, size_bytes=config.disk_bytes)
            return
        base = await self.disks.inspect(f"{self.store.directory(name)}/{FileName.BASEDISK}")
        _refuse_shrinking(name, config.disk_bytes, base.virtual_size)
        await self.disks.create_overlay(
            disk, backing=FileName.BASEDISK, backing_format=base.format, size_bytes=config.disk_bytes
        )

    async def _grow(self, name: str, config: InstanceConfig, progress: EventSink) -> None:
        path = f"{self.store.directory(name)}/{FileName.DISK}"
        info = await self.disks.inspect(path)
        if info.virtual_size == config.disk_bytes:
            return
        _refuse_shrinking(name, config.disk_bytes, info.virtual_size)
        before, after = format_size(info.virtual_size), format_size(config.disk_bytes)
        progress.emit(Note(message=f"Resize instance {name}'s disk from {before} to {after}"))
        await self.disks.grow(path, format=info.format, size_bytes=config.disk_bytes)


def _refuse_shrinking(name: str, wanted: int, present: int) -> None:
    if wanted < present:
        raise WrongStateError(
            f"instance {quote(name)}: disk shrinking is not supported"
            f" (`disk: {format_size(wanted)}`, the image has {format_size(present)})",
            hint=f"set `disk:` to {format_size(present)} or more",
        )
