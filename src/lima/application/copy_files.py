"""The command line that copies files between the host and guests: the program itself does the copying."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass

from lima.domain.copying import Backend, Place, instances_of, parse_place, rsync_argv, scp_argv
from lima.domain.errors import CommandError, MissingToolError
from lima.domain.instance import FileName, check_instance_name, hostname
from lima.domain.status import Facts
from lima.ports.instance_store import InstanceStore
from lima.ports.process_runner import ProcessRunner


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyRequest:
    """Sources and, last, the target."""

    paths: tuple[str, ...]
    recursive: bool = False
    verbose: bool = False
    backend: Backend = Backend.AUTO


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyCommand:
    """What is to be run. `configs`: the ssh configurations of the instances; `argv` takes the path of one that has them
    all."""

    configs: tuple[str, ...]
    argv: Callable[[str], tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyFiles:
    """rsync where it is on both sides and no more than one path is in a guest, else scp.

    Raises: InstanceNotFoundError, WrongStateError (stopped), CommandError, MissingToolError.
    """

    store: InstanceStore
    runner: ProcessRunner
    check_running: Callable[[str], Facts]
    ssh: tuple[str, ...] = ("ssh",)

    async def __call__(self, request: CopyRequest) -> CopyCommand:
        places = tuple(parse_place(path) for path in request.paths)
        names = instances_of(places)
        for name in names:
            self.check_running(check_instance_name(name))
        configs = tuple(f"{self.store.directory(name)}/{FileName.SSH_CONFIG}" for name in names)
        backend = await self._choose(request.backend, places)

        def argv(config: str) -> tuple[str, ...]:
            flags = {"recursive": request.recursive, "verbose": request.verbose}
            if backend is Backend.RSYNC:
                return rsync_argv(places, ssh=shlex.join((*self.ssh, "-F", config)), **flags)
            return scp_argv(places, config=config, **flags)

        return CopyCommand(configs=configs, argv=argv)

    async def _choose(self, wanted: Backend, places: tuple[Place, ...]) -> Backend:
        in_guests = tuple(place for place in places if place.instance)
        if wanted is Backend.RSYNC:
            self._find("rsync", f"{Backend.RSYNC} not found on host")
            if not await self._is_in_guests(instances_of(places)):
                raise CommandError(
                    "rsync not available on guest(s)", hint="install it in the guest, or leave --backend out"
                )
            return Backend.RSYNC
        if wanted is Backend.AUTO and len(in_guests) < 2:
            try:
                self._find("rsync", "")
            except MissingToolError:
                self._find("scp", "neither rsync nor scp found on host")
                return Backend.SCP
            if await self._is_in_guests(instances_of(places)):
                return Backend.RSYNC
        self._find("scp", f"{Backend.SCP} not found on host")
        return Backend.SCP

    def _find(self, program: str, complaint: str) -> None:
        try:
            self.runner.find(program, purpose="copying files")
        except MissingToolError as error:
            raise MissingToolError(f"{complaint}: {error.message}", tools=error.tools, hint=error.hint) from error

    async def _is_in_guests(self, names: tuple[str, ...]) -> bool:
        for name in names:
            config = f"{self.store.directory(name)}/{FileName.SSH_CONFIG}"
            asked = (*self.ssh, "-F", config, hostname(name), "command -v rsync")
            if (await self.runner.run(asked, inherit_env=True)).exit_code != 0:
                return False
        return True
