"""The command line that opens a shell in a guest. Light: on the quick path. Source: reference, cli §7."""

from __future__ import annotations

from lima.domain.errors import InstanceNotFoundError, WrongStateError
from lima.domain.instance import FileName, hostname, quote
from lima.domain.shellwords import remote_script
from lima.domain.status import Facts
from lima.domain.values import Value

TYPE_CHECKING = False  # of typing, which costs 6 ms (docs/decisions/0008)
if TYPE_CHECKING:
    from lima.ports.instance_store import InstanceStore


class ShellRequest(Value):
    """What to run where. `command` empty: an interactive shell. `folders`: where it begins without a
    `workdir`, the first that is there. `has_terminal`: whether stdout is one."""

    name: str
    command: tuple[str, ...] = ()
    shell: str = ""
    workdir: str = ""
    folders: tuple[str, ...] = ()
    guest_env: tuple[tuple[str, str], ...] = ()
    has_terminal: bool = False
    send_colorterm: bool = False


class RunShell(Value):
    """Returns the argv to become: OpenSSH over the shared connection, no Python in the data path.

    Raises: InstanceNotFoundError, WrongStateError (stopped; the caller may offer to start it).
    """

    store: InstanceStore
    ssh: tuple[str, ...] = ("ssh",)

    def __call__(self, request: ShellRequest, *, configured_shell: str) -> tuple[str, ...]:
        name = request.name
        self.check_running(name)
        script = remote_script(
            request.command,
            shell=request.shell or configured_shell,
            workdir=request.workdir,
            folders=request.folders,
            env=request.guest_env,
        )
        return (
            *self.ssh,
            "-F",
            f"{self.store.directory(name)}/{FileName.SSH_CONFIG}",
            *(("-t",) if request.has_terminal else ()),
            *(("-o", "SendEnv=COLORTERM") if request.send_colorterm else ()),
            "-o",
            "LogLevel=ERROR",
            hostname(name),
            "--",
            script,
        )

    def check_running(self, name: str) -> Facts:
        """Raises: InstanceNotFoundError, WrongStateError."""
        if not self.store.exists(name):
            raise InstanceNotFoundError(
                f"instance {quote(name)} does not exist, run `limactl create {name}` to create a new instance"
            )
        facts = self.store.facts(name)
        if facts.agent is None and facts.driver is None:
            raise WrongStateError(
                f"instance {quote(name)} is stopped, run `limactl start {name}` to start the instance"
            )
        if not self.store.has(name, FileName.SSH_CONFIG):
            raise WrongStateError(
                f"instance {quote(name)} is not ready for ssh yet",
                hint=f"`limactl start {name}` waits until it is",
            )
        return facts
