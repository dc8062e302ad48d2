"""The ImageBuilder for `bootstrap:` locations."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Mapping

from lima.adapters.bootstrap import debian, tiny
from lima.adapters.bootstrap.apt import Mirror, PrivateApt, find_mirror, refuse_full_disk
from lima.adapters.bootstrap.files import skeleton_files
from lima.adapters.bootstrap.initramfs import rootfs_initramfs
from lima.adapters.bootstrap.loaders import BootLoader
from lima.adapters.bootstrap.modules import ModuleTree
from lima.adapters.bootstrap.stages import Stages
from lima.domain.bootstrap import Boot, BootstrapRecipe, Kind, is_bootstrap, parse_bootstrap, recipe_digest
from lima.domain.errors import ImageBuildError, StorageError
from lima.domain.host import HostFacts
from lima.ports.events import EventSink
from lima.ports.image_builder import BuiltImage
from lima.ports.process_runner import ProcessRunner

REVISION = 3
"""Raised whenever the same recipe gives another image."""
HOST_SETTINGS = ("acquire::http", "acquire::check-valid-until", "acquire::check-date")
"""apt's settings of this host that hold for its mirror wherever packages of it go: proxies, and how old its lists may be."""

UNPACK_AND_WRITE = """\
set -eu
trap 'rm -rf "$ROOT"' EXIT
mkdir -m 0755 "$ROOT"
tar -xpf "$ARCHIVE" -C "$ROOT" --numeric-owner --exclude='./dev/*'
( sh -c "$FINISH" )
mke2fs -q -F -t ext4 -L rootfs -E root_owner=0:0,lazy_itable_init=1 -d "$ROOT" "$RAW"
"""
"""From the archive to a file system; in a user namespace where we are not root, so that all owners can be kept."""


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
        return await self._build_debian(recipe, into, work, apt, mirror, stages)

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

    async def _build_debian(
        self, recipe: BootstrapRecipe, into: str, work: str, apt: PrivateApt, mirror: Mirror, stages: Stages
    ) -> BuiltImage:
        debian.refuse_foreign(recipe, self._facts.arch)
        debian.refuse_firmware(recipe)
        debian.refuse_mixture(recipe)
        with stages.stage("image.kernel", "Fetching the kernel"):
            kernel_root = await self._kernel(recipe, work, apt)
        with stages.stage("image.rootfs", f"Installing Debian {recipe.suite}"):
            archive = await self._rootfs(recipe, work, apt, stages)
        raw = os.path.join(work, "disk.raw")
        with stages.stage("image.disk", "Writing the file system"):
            await self._file_system(recipe, work, mirror, archive=archive, kernel_root=kernel_root, raw=raw)
        initrd = os.path.join(into, "initrd")
        kernel = os.path.join(into, "kernel")
        with open(initrd, "wb") as file:
            file.write(rootfs_initramfs(kernel_root, os.path.join(self._guest_dir, "initramfs", "root")))
        os.replace(tiny.kernel_path(kernel_root), kernel)
        command_line = debian.cmdline(recipe)
        if recipe.boot is not Boot.DIRECT:
            with stages.stage("image.loader", f"Installing the boot loader ({recipe.boot})"):
                loader = BootLoader(self._runner, work)
                raw = await loader.install(recipe.boot, raw, kernel=kernel, initrd=initrd, cmdline=command_line)
        with stages.stage("image.compress", "Compressing the disk"):
            disk = os.path.join(into, "disk")
            await self._tool(
                "qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-c", "-o", "compression_type=zstd", raw, disk
            )
        if recipe.boot is not Boot.DIRECT:
            return BuiltImage(disk=disk, disk_format="qcow2", kernel=None, initrd=None, cmdline="")
        return BuiltImage(disk=disk, disk_format="qcow2", kernel=kernel, initrd=initrd, cmdline=command_line)

    async def _kernel(self, recipe: BootstrapRecipe, work: str, apt: PrivateApt) -> str:
        """The kernel's packages, unpacked and not installed: their scripts would build an initramfs that nobody needs."""
        packages = await apt.kernel(debian.KERNEL_PACKAGES[recipe.arch])
        archives = await apt.download((*packages, "busybox-static"), into=os.path.join(work, "debs"))
        root = os.path.join(work, "kernel")
        await apt.unpack(archives, into=root)
        return root

    async def _rootfs(self, recipe: BootstrapRecipe, work: str, apt: PrivateApt, stages: Stages) -> str:
        archive = os.path.join(work, "rootfs.tar")
        settings = os.path.join(work, "apt-settings")
        dump = await self._runner.run(("apt-config", "dump"))
        settings_of_host = [
            line for line in dump.stdout.decode(errors="replace").splitlines() if line.lower().startswith(HOST_SETTINGS)
        ]
        with open(os.open(settings, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write("\n".join(settings_of_host) + "\n")
        argv = debian.mmdebstrap_argv(
            recipe, archive, is_root=self._facts.is_root, apt_settings=settings, sources_file=apt.sources_file
        )
        # in a user namespace, mmdebstrap's root is none of ours: it needs a folder that everybody may enter
        temporary = {"TMPDIR": work} if self._facts.is_root else {"TMPDIR": self._facts.temp_dir}
        await self._tool(*argv, on_line=stages.detail, env={"SOURCE_DATE_EPOCH": "0", **temporary})
        return archive

    async def _file_system(
        self, recipe: BootstrapRecipe, work: str, mirror: Mirror, *, archive: str, kernel_root: str, raw: str
    ) -> None:
        """Unpack, finish and write the root file system, as root of a user namespace where we are not root."""
        with open(raw, "wb") as file:
            file.truncate(debian.IMAGE_BYTES)
        environment = {
            "ROOT": os.path.join(work, "rootfs"),
            "ARCHIVE": archive,
            "RAW": raw,
            "FINISH": debian.finish_script(recipe, mirror),
            "FIRSTBOOT": os.path.join(self._guest_dir, "firstboot"),
            "KERNEL": kernel_root,
            "VERSION": ModuleTree(kernel_root).version,
        }
        namespace = () if self._facts.is_root else ("unshare", "--map-root-user", "--map-auto")
        await self._tool(*namespace, "sh", "-c", UNPACK_AND_WRITE, env=environment)

    async def _tool(
        self, *argv: str, env: Mapping[str, str] | None = None, on_line: Callable[[str], None] | None = None
    ) -> None:
        done = await self._runner.run(argv, env=env, on_line=on_line)
        if done.exit_code == 0:
            return
        refuse_full_disk(done)
        raise ImageBuildError(
            f"building the image failed: `{argv[0]}` ended with exit code {done.exit_code}: {done.complaint}",
            log_tail=done.log_tail,
            hint="the lines above are its last; is the package mirror reachable and the disk large enough?",
        )

    def _builder_digest(self) -> str:
        digest = hashlib.sha256(str(REVISION).encode())
        for folder in ("initramfs", "firstboot"):
            for path, content, mode in skeleton_files(os.path.join(self._guest_dir, folder)):
                digest.update(f"{folder}/{path} {mode:o} {len(content)}\n".encode() + content)
        return digest.hexdigest()
