"""Packages from a Debian mirror, verified by apt itself, in directories of our own: no root, no host state touched."""

import os
import shutil
from dataclasses import dataclass

from lima.domain.bootstrap import BootstrapRecipe, without_credentials
from lima.domain.errors import ImageBuildError, MissingToolError, StorageError
from lima.domain.machine import DEBIAN_NAMES
from lima.ports.process_runner import Finished, ProcessRunner

PUBLIC_MIRROR = "http://deb.debian.org/debian"
KEYRINGS = ("/usr/share/keyrings/debian-archive-keyring.gpg", "/etc/apt/trusted.gpg.d/debian-archive-keyring.gpg")
TARGETS = "$(ORIGIN)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirror:
    """Where packages come from. `public` is what the image itself may name: no credentials."""

    url: str
    keyring: str

    @property
    def is_public_default(self) -> bool:
        """Whether this is the distribution's own mirror, whose security archive lies beside it."""
        return self.public == PUBLIC_MIRROR

    @property
    def public(self) -> str:
        """The URL without credentials."""
        return without_credentials(self.url)


async def find_mirror(recipe: BootstrapRecipe, runner: ProcessRunner, *, setting: str) -> Mirror:
    """The recipe's, else the setting's, else the host's own where it is a Debian, else the public default."""
    keyring = next((path for path in KEYRINGS if os.path.exists(path)), "")
    if not keyring:
        raise MissingToolError(
            "the Debian archive keyring is not installed; packages could not be verified",
            tools=("debian-archive-keyring",),
            hint="install the package `debian-archive-keyring`",
        )
    url = recipe.mirror or setting or await _host_mirror(runner) or PUBLIC_MIRROR
    return Mirror(url=url.rstrip("/"), keyring=keyring)


async def _host_mirror(runner: ProcessRunner) -> str:
    """The mirror that this host's apt takes Debian's main archive from; third-party sources stay out."""
    if not shutil.which("apt-get"):
        return ""
    done = await runner.run(("apt-get", "indextargets", "--format", TARGETS, "Created-By: Packages"))
    for line in done.stdout.decode(errors="replace").splitlines():
        origin, _, rest = line.partition("|")
        uri, _, release = rest.partition("|")
        # security and updates archives are other paths; the plain release is the main one
        if origin == "Debian" and "-" not in release.split("|")[0]:
            return uri
    return ""


def refuse_full_disk(done: Finished) -> None:
    """Raises: StorageError where a tool failed for want of room: another error than the one it may end with."""
    if b"No space left on device" in done.stderr + done.stdout:
        raise StorageError(
            "no space left for building the image",
            hint="make room, or point XDG_CACHE_HOME to a larger disk; what was begun has been removed",
        )


class PrivateApt:
    """apt-get with lists, cache and sources of its own below `folder`; proxies come from the host's apt settings."""

    def __init__(self, folder: str, *, mirror: Mirror, recipe: BootstrapRecipe, runner: ProcessRunner) -> None:
        self._folder = folder
        self._runner = runner
        self._mirror = mirror
        self._recipe = recipe

    async def update(self) -> None:
        """Fetch the package lists. Raises: ImageBuildError, MissingToolError."""
        for name in ("lists/partial", "cache/archives/partial", "etc"):
            os.makedirs(os.path.join(self._folder, name), exist_ok=True)
        arch = DEBIAN_NAMES[self._recipe.arch]
        # credentials stay in files of mode 0600: an argv is everybody's to read
        self._write(
            "etc/sources.list",
            f"deb [arch={arch} signed-by={self._mirror.keyring}] {self._mirror.url} {self._recipe.suite} main\n",
        )
        settings = {
            "Dir::State": self._folder,
            "Dir::State::lists": f"{self._folder}/lists",
            "Dir::State::status": "/dev/null",
            "Dir::Cache": f"{self._folder}/cache",
            "Dir::Etc::sourcelist": f"{self._folder}/etc/sources.list",
            "Dir::Etc::sourceparts": "-",
            "Dir::Etc::preferences": "-",
            "Dir::Etc::preferencesparts": "-",
            "APT::Sandbox::User": "",
            "APT::Architecture": arch,
            "Acquire::Languages": "none",
            "Acquire::Retries": "2",
        }
        lines = [f'{key} "{value}";\n' for key, value in settings.items()]
        self._write("apt.conf", "".join(lines) + f'#clear APT::Architectures;\nAPT::Architectures {{ "{arch}"; }};\n')
        done = await self._apt("apt-get", "update", "-q")
        if done.exit_code != 0:
            refuse_full_disk(done)
            raise ImageBuildError(
                f"the package lists of {self._mirror.public} ({self._recipe.suite}) cannot be had: {done.complaint}",
                log_tail=done.log_tail,
                hint="is the mirror reachable? `?mirror=URL` or LIMA_BOOTSTRAP_MIRROR names another one",
            )

    @property
    def sources_file(self) -> str:
        """A sources.list that only its owner may read."""
        return f"{self._folder}/etc/sources.list"

    async def kernel(self, package: str) -> tuple[str, ...]:
        """The packages that a kernel's name stands for: one, and from Debian 14 on those that it is cut into."""
        images = await self._dependencies(package, "linux-image-")
        if not images:
            raise ImageBuildError(f"package `{package}` of {self._recipe.suite} depends on no `linux-image-…`")
        return (images[0], *await self._dependencies(images[0], "linux-base-", "linux-binary-", "linux-modules-"))

    async def _dependencies(self, package: str, *prefixes: str) -> tuple[str, ...]:
        """What `package` depends on whose name starts with one of `prefixes`."""
        done = await self._apt("apt-cache", "depends", "--no-recommends", package)
        words = (line.split() for line in done.stdout.decode(errors="replace").splitlines())
        return tuple(word[1] for word in words if word[:1] == ["Depends:"] and word[1].startswith(prefixes))

    async def download(self, packages: tuple[str, ...], *, into: str) -> tuple[str, ...]:
        """Paths of the `.deb` files, signatures checked by apt."""
        os.makedirs(into, exist_ok=True)
        done = await self._apt("apt-get", "download", "-q", *packages, cwd=into)
        if done.exit_code != 0:
            refuse_full_disk(done)
            raise ImageBuildError(
                f"packages cannot be fetched from {self._mirror.public}: {done.complaint}",
                log_tail=done.log_tail,
                hint="is the mirror reachable? Run the command again to try once more",
            )
        return tuple(sorted(os.path.join(into, name) for name in os.listdir(into) if name.endswith(".deb")))

    async def unpack(self, archives: tuple[str, ...], *, into: str) -> None:
        """Extract packages without installing them."""
        os.makedirs(into, exist_ok=True)
        for archive in archives:
            done = await self._runner.run(("dpkg-deb", "-x", archive, into))
            if done.exit_code != 0:
                refuse_full_disk(done)
                raise ImageBuildError(
                    f"package {os.path.basename(archive)} cannot be unpacked: {done.complaint}", log_tail=done.log_tail
                )

    async def _apt(self, *argv: str, cwd: str | None = None) -> Finished:
        return await self._runner.run(argv, env={"APT_CONFIG": f"{self._folder}/apt.conf"}, cwd=cwd)

    def _write(self, name: str, text: str) -> None:
        path = os.path.join(self._folder, name)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:
            file.write(text)
