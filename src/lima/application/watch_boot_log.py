"""With `--progress`: relay what a guest logs while it boots, whatever provisions it. Source: reference, runtime §1.7."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from lima.application.agent_state import AgentState
from lima.domain.errors import LimaError
from lima.domain.events import CloudInitProgress
from lima.domain.requirements import next_pause
from lima.ports.clock import Clock
from lima.ports.transport import RemoteResult, Transport

LIMIT_S = 600.0
MAX_LINES = 10_000
MAX_COLUMNS = 500

_FIND = """\
if systemctl is-enabled --quiet cloud-init-main.service 2>/dev/null; then
	echo journal cloud-init-main.service
elif [ -e /var/log/cloud-init-output.log ]; then
	# what an earlier boot left ends with this line
	last=$(sudo -n grep -n -i 'cloud-init.*finished' /var/log/cloud-init-output.log | tail -n 1 | cut -d: -f1)
	echo file /var/log/cloud-init-output.log $((${last:-0} + 1))
elif systemctl cat lima-boot.service >/dev/null 2>&1; then
	echo journal lima-firstboot.service lima-boot.service
elif [ -e /var/log/lima-init.log ]; then
	echo file /var/log/lima-init.log 1
fi
"""
_READ = 'exec sudo -n "$@" 1>&2'


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchBootLog:
    """Ends when `over` is set and all lines have been relayed; never raises."""

    clock: Clock
    state: AgentState

    async def __call__(self, transport: Transport, over: asyncio.Event) -> None:
        self._tell(active=True)
        try:
            async with asyncio.timeout(LIMIT_S):
                reason = await self._relay(transport, over)
        except TimeoutError:
            reason = f"Cloud-init monitoring ended after {LIMIT_S:.0f} s"
        except LimaError as error:
            reason = f"Cloud-init monitoring failed: {error.message}"
        self._tell(line=reason, completed=True)

    async def _relay(self, transport: Transport, over: asyncio.Event) -> str:
        pause = 0.0
        while not await transport.is_connected():
            pause = next_pause(pause)
            await self.clock.sleep(pause)
        found = (await transport.run(("sh", "-c", _FIND))).stdout.decode(errors="replace").split()
        if not found:
            await over.wait()
            return "Cloud-init monitoring: the guest keeps no log of its provisioning"
        lines = _Lines(self._tell)
        following = asyncio.ensure_future(self._read(transport, _command(found, follow=True), lines))
        try:
            await over.wait()
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
        # the last ones may not have come through yet: all of them once more, those that were shown left out
        rest = lines.rest()
        await self._read(transport, _command(found, follow=False), rest)
        return "Cloud-init monitoring completed successfully"

    async def _read(self, transport: Transport, command: tuple[str, ...], lines: "_Lines") -> RemoteResult:
        return await transport.run(("sh", "-c", _READ, "sh", *command), on_line=lines.take)

    def _tell(self, *, line: str = "", active: bool = False, completed: bool = False) -> None:
        self.state.boot_log(CloudInitProgress(log_line=line, active=active, completed=completed))


def _command(found: list[str], *, follow: bool) -> tuple[str, ...]:
    """`found` is what `_FIND` printed; the guest's words never become a command."""
    if found[0] == "journal":
        units = tuple(word for unit in found[1:3] for word in ("-u", unit))
        return ("journalctl", *units, "-b", "-o", "cat", "--no-pager", "-n", "all", *(("-f",) if follow else ()))
    start = found[2] if len(found) > 2 and found[2].isdigit() else "1"
    return ("tail", "-n", f"+{start}", *(("-f",) if follow else ()), found[1])


class _Lines:
    """Passes lines on, as many as are reasonable; the first `skip` of them have been passed on before."""

    def __init__(self, tell: Callable[..., None], *, skip: int = 0) -> None:
        self._tell = tell
        self._skip = skip
        self._taken = 0

    def take(self, line: str) -> None:
        self._taken += 1
        if self._skip < self._taken <= MAX_LINES:
            text = "".join(c for c in line[:MAX_COLUMNS] if c.isprintable())
            if text.strip():
                self._tell(line=text, active=True)

    def rest(self) -> "_Lines":
        """For reading all of them again."""
        return _Lines(self._tell, skip=self._taken)
