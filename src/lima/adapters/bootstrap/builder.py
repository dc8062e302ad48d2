"""The ImageBuilder for `bootstrap:` locations."""

import hashlib
import os
import tempfile

from lima.adapters.bootstrap import tiny
from lima.adapters.bootstrap.apt import PrivateApt, find_mirror
from lima.adapters.bootstrap.stages import Stages
from lima.domain.bootstrap import BootstrapRecipe, Kind, is_bootstrap, parse_bootstrap, recipe_digest
from lima.domain.errors import ImageBuildError, StorageError
from lima.domain.host import HostFacts
from lima.ports.events import EventSink
from lima.ports.image_builder import BuiltImage
from lima.ports.process_runner import ProcessRunner

REVISION = 1
"""Raised whenever the same recipe gives another image."""


class BootstrapBuilder:
    """Builds with the tools of this host; everything temporary lies in a folder beside the result."""

    def __init__(self, *, guest_dir: str, facts: HostFacts, runner: ProcessRunner) -> None:
        self._guest_dir = guest_dir
        self._facts = facts
        self._runner = runner

    def handles(self, location: str) -> bool:
        return is_bootstrap(location)

    def key(self, location: str, arch: str) -> str:
        return recipe_digest(parse_bootstrap(location, arch), builder_digest=self._builder_digest())

    def description(self, location: str, arch: str) -> str:
        return parse_bootstrap(location, arch).description

    async def build(self, location: str, *, arch: str, into: str, progress: EventSink) -> BuiltImage:
        recipe = parse_bootstrap(location, arch)
        stages = Stages(progress)
        try:
            with tempfile.TemporaryDirectory(prefix=".work-", dir=into, ignore_cleanup_errors=True) as work:
                return await self._build(recipe, into, work, stages)
        except OSError as error:
            raise StorageError(
                f"the image cannot be written below {into}: {error.strerror}",
                hint="make room, or point XDG_CACHE_HOME to a larger disk",
            ) from error

    async def _build(self, recipe: BootstrapRecipe, into: str, work: str, stages: Stages) -> BuiltImage:
        mirror = await find_mirror(recipe, self._runner, setting=self._facts.env("LIMA_BOOTSTRAP_MIRROR"))
        apt = PrivateApt(os.path.join(work, "apt"), mirror=mirror, recipe=recipe, runner=self._runner)
        with stages.stage("image.packages", f"Fetching packages ({mirror.public} {recipe.suite})"):
            await apt.update()
        if recipe.kind is Kind.TINY:
            return await self._build_tiny(recipe, into, work, apt, stages)
        raise ImageBuildError(f"cannot build {recipe.description} yet")

    async def _build_tiny(
        self, recipe: BootstrapRecipe, into: str, work: str, apt: PrivateApt, stages: Stages
    ) -> BuiltImage:
        with stages.stage("image.rootfs", "Unpacking kernel, busybox and dropbear"):
            root = await tiny.fetch(apt, recipe, work)
        with stages.stage("image.initrd", "Writing the initramfs"):
            initrd = os.path.join(into, "initrd")
            kernel = os.path.join(into, "kernel")
            with open(initrd, "wb") as file:
                file.write(tiny.initramfs(root, os.path.join(self._guest_dir, "initramfs", "tiny"), recipe))
            os.replace(tiny.kernel_path(root), kernel)
        return BuiltImage(disk=None, disk_format="", kernel=kernel, initrd=initrd, cmdline=tiny.cmdline(recipe))

    def _builder_digest(self) -> str:
        digest = hashlib.sha256(str(REVISION).encode())
        for folder in ("initramfs", "firstboot"):
            for path, content, mode in tiny.skeleton_files(os.path.join(self._guest_dir, folder)):
                digest.update(f"{folder}/{path} {mode:o} {len(content)}\n".encode() + content)
        return digest.hexdigest()
