"""Carry out a yq provision step: the guest asks, the expression is evaluated here, the file is written there.

The guest's boot script waits at a FIFO of its own for one line, `ok` or `failed MESSAGE`, and then reports the step as
any other. The file belongs to the guest: what is wrong with it is the step's failure, never the host agent's.
"""

import asyncio
from dataclasses import dataclass

from lima.application.guest_files import MissingFileError, read_guest_file
from lima.domain.config import InstanceConfig, Provision, ProvisionMode
from lima.domain.errors import LimaError, RemoteCommandError
from lima.domain.guest_progress import clean_tail
from lima.domain.progress import Level, Note
from lima.domain.requirements import next_pause
from lima.domain.yq_formats import format_of
from lima.ports.clock import Clock
from lima.ports.events import EventSink
from lima.ports.file_rewriter import FileRewriter
from lima.ports.transport import Transport

MAX_BYTES = 1024**2
ANSWER_S = 100.0
"""The guest waits 120 s."""
FIFO = "/run/lima-yq"

_WRITE = """\
set -eu
path=$1 owner=$2 permissions=$3
user=${owner%%:*}
folder=$(dirname "$path")
[ -d "$folder" ] || sudo -n -u "$user" mkdir -p "$folder"
sudo -n -u "$user" tee "$path" >/dev/null
chown "$owner" "$path"
chmod "$permissions" "$path"
"""
"""As its owner, so that no more is overwritten than the owner may; standard input is the new content."""
_ANSWER = 'printf "%s\\n" "$1" | timeout 10 tee "$2" >/dev/null'


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerYq:
    """Never raises: whatever goes wrong is the answer."""

    rewriter: FileRewriter
    clock: Clock
    log: EventSink

    async def __call__(self, transport: Transport, config: InstanceConfig, name: str) -> None:
        """`name` is what the guest called the step; one that the template does not have is not answered."""
        index = _index(config, name)
        if index is None:
            self._say(f"The guest asks for `{name[:60]}`, which is no yq step of this instance", Level.WARNING)
            return
        try:
            async with asyncio.timeout(ANSWER_S):
                await self._connected(transport)
                answer = await self._carry_out(transport, config.provision[index])
                fifo = f"{FIFO}/{index:08d}"
                await transport.run(("sudo", "-n", "sh", "-c", _ANSWER, "sh", answer, fifo))
        except TimeoutError:
            self._say(f"The yq step `{name}` took longer than {ANSWER_S:.0f} s", Level.WARNING)
        except LimaError as error:
            self._say(f"The yq step `{name}` could not be answered: {error.message}", Level.WARNING)

    async def _connected(self, transport: Transport) -> None:
        """Whoever awaits readiness makes the connection."""
        pause = 0.0
        while not await transport.is_connected():
            pause = next_pause(pause)
            await self.clock.sleep(pause)

    async def _carry_out(self, transport: Transport, step: Provision) -> str:
        try:
            text = await _current(transport, step.path)
            kind = format_of(step.path, step.format)
            changed = await self.rewriter.rewrite(step.expression, text, file_format=kind)
            await _write(transport, step, changed)
        except LimaError as error:
            return "failed " + clean_tail(error.message).replace("\n", " ")[:1000]
        return "ok"

    def _say(self, message: str, level: Level) -> None:
        self.log.emit(Note(message=message, level=level))


def _index(config: InstanceConfig, name: str) -> int | None:
    names = {f"yq/{at:08d}": at for at, step in enumerate(config.provision) if step.mode is ProvisionMode.YQ}
    return names.get(name)


async def _current(transport: Transport, path: str) -> str | None:
    """The file as it is, None where there is none."""
    try:
        content = await read_guest_file(transport, path, limit=MAX_BYTES, as_root=True)
    except MissingFileError:
        return None
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise RemoteCommandError(f"`{path}` of the guest is no text", remote_exit_code=0) from error


async def _write(transport: Transport, step: Provision, text: str) -> None:
    argv = ("sudo", "-n", "sh", "-c", _WRITE, "sh", step.path, step.owner, step.permissions)
    result = await transport.run(argv, stdin=text.encode())
    if result.exit_code != 0:
        complaint = clean_tail(result.stderr.decode(errors="replace")) or f"exit code {result.exit_code}"
        raise RemoteCommandError(
            f"`{step.path}` of the guest cannot be written: {complaint}", remote_exit_code=result.exit_code
        )
