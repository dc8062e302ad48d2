"""Keys made by ssh-keygen and read from ~/.ssh. Source: reference, runtime §7.1."""

import base64
import binascii
import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator

from lima.domain.errors import HypervisorError, StorageError
from lima.ports.process_runner import ProcessRunner
from lima.ports.ssh_keys import HostKey


class OpensshKeys:
    """Keys under LIMA_HOME/_config, by the ssh-keygen of this host."""

    def __init__(self, *, config_dir: str, home: str, runner: ProcessRunner) -> None:
        self._runner = runner
        self._config_dir = config_dir
        self._dot_ssh = os.path.join(home, ".ssh")
        self._identity = os.path.join(config_dir, "user")

    async def identity(self) -> str:
        if not self._is_complete():
            try:
                os.makedirs(self._config_dir, mode=0o700, exist_ok=True)
                with _exclusive(self._config_dir):
                    if not self._is_complete():
                        await self._make()
            except OSError as error:
                raise StorageError(f"cannot make the ssh key `{self._identity}`: {error.strerror}") from error
        return self._identity

    def authorized(self, *, with_dot_ssh: bool) -> tuple[str, ...]:
        files = [self._identity + ".pub", *(self._public_files() if with_dot_ssh else ())]
        keys = (_read_public_key(path) for path in files)
        return tuple(dict.fromkeys(key for key in keys if key))

    def extra_identities(self) -> tuple[str, ...]:
        private = (path.removesuffix(".pub") for path in self._public_files() if _read_public_key(path))
        return tuple(path for path in private if os.path.exists(path))

    async def new_host_key(self) -> HostKey:
        with tempfile.TemporaryDirectory(prefix="lima-hostkey-") as folder:
            path = os.path.join(folder, "key")
            await self._generate(path, comment="")
            with open(path, encoding="ascii") as private, open(path + ".pub", encoding="ascii") as public:
                return HostKey(private=private.read(), public=" ".join(public.read().split()[:2]))

    def _is_complete(self) -> bool:
        return os.path.exists(self._identity) and os.path.exists(self._identity + ".pub")

    async def _make(self) -> None:
        # made aside and renamed, private part last: a key without its public half is never taken for a pair
        aside = self._identity + ".new"
        for leftover in (aside, aside + ".pub"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(leftover)
        await self._generate(aside, comment="lima")
        os.replace(aside + ".pub", self._identity + ".pub")
        os.replace(aside, self._identity)

    async def _generate(self, path: str, *, comment: str) -> None:
        keygen = self._runner.find("ssh-keygen", purpose="making ssh keys")
        done = await self._runner.run((keygen, "-t", "ed25519", "-q", "-N", "", "-C", comment, "-f", path))
        if done.exit_code != 0:
            raise HypervisorError(
                f"ssh-keygen failed: {done.complaint}", hint=f"is `{os.path.dirname(path)}` writable?"
            )

    def _public_files(self) -> tuple[str, ...]:
        try:
            names = sorted(os.listdir(self._dot_ssh))
        except OSError:
            return ()
        return tuple(os.path.join(self._dot_ssh, name) for name in names if name.endswith(".pub"))


def _read_public_key(path: str) -> str | None:
    """The line, if the file is one sound public key: the algorithm equals the name inside the blob."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(65536).strip()
        algorithm, blob = text.split()[:2]
        raw = base64.b64decode(blob, validate=True)
    except (OSError, UnicodeDecodeError, ValueError, binascii.Error):
        return None
    if "\n" in text or raw[4 : 4 + int.from_bytes(raw[:4], "big")] != algorithm.encode():
        return None
    return text


@contextlib.contextmanager
def _exclusive(folder: str) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
