"""The host's ssh agent at a fixed place in the guest, for containers. Source: reference, runtime §1.6.

A forwarded agent lives as long as the shared connection, and has another name each time.
"""

from dataclasses import dataclass

from lima.domain.config import InstanceConfig
from lima.domain.errors import LimaError
from lima.domain.progress import Level, Note
from lima.ports.events import EventSink
from lima.ports.transport import Transport

SHARED = "/run/host-services/ssh-auth.sock"
NO_AGENT = 3
SCRIPT = f'test -n "$SSH_AUTH_SOCK" || exit {NO_AGENT}; ln -sfn "$SSH_AUTH_SOCK" {SHARED}'


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareSshAgent:
    """For each new shared connection to a guest that is ready. What goes wrong is told in the log."""

    log: EventSink

    async def __call__(self, transport: Transport, config: InstanceConfig) -> None:
        if not config.ssh.forward_agent:
            return
        if config.plain:
            self._say("`ssh.forwardAgent` is ignored in plain mode", Level.WARNING)
            return
        try:
            done = await transport.run(("sh", "-c", SCRIPT))
        except LimaError as error:
            self._say(f"The ssh agent is not at {SHARED} of the guest: {error.message}", Level.WARNING)
            return
        if done.exit_code == NO_AGENT:
            self._say("`ssh.forwardAgent`: no ssh agent was given to the guest; is one running here ($SSH_AUTH_SOCK)?")
        elif done.exit_code != 0:
            complaint = done.stderr.decode(errors="replace").strip()
            self._say(f"The ssh agent is not at {SHARED} of the guest: {complaint}", Level.WARNING)

    def _say(self, message: str, level: Level = Level.INFO) -> None:
        self.log.emit(Note(message=message, level=level))
