"""`show-ssh` and `tunnel`: ways into a guest for other programs."""

import subprocess
import sys
from typing import Annotated

from cyclopts import Parameter

from lima.application.open_tunnel import directions
from lima.domain.errors import CommandError
from lima.domain.instance import FileName, check_instance_name, hostname
from lima.domain.sshconfig import FORMATS
from lima.entrypoints.cli.context import current
from lima.entrypoints.cli.running import Interrupted, run
from lima.wiring.container import Container


def show_ssh(instance: str, /, *, output: Annotated[str, Parameter(name=("--format", "-f"))] = "cmd") -> int:
    """Show the ssh command line of an instance. Deprecated: `ssh -F DIR/ssh.config lima-NAME` needs no options.

    Parameters
    ----------
    instance
        Name of the instance.
    output
        cmd, args, options (one a line) or config (a part of a configuration file).
    """
    check_instance_name(instance)
    if output not in FORMATS:
        raise CommandError(f"unknown format: `{output}`", hint=f"one of {', '.join(FORMATS)}")
    config = f"{Container().store().directory(instance)}/{FileName.SSH_CONFIG}"
    instead = f"`ssh -F {config} {hostname(instance)}`"
    current()[1].record("warning", f"`limactl show-ssh` is deprecated. Instead, use {instead}.")
    try:
        text = run(lambda container, _sink: container.show_ssh()(instance, output))
    except Interrupted as interrupted:
        return interrupted.exit_code
    sys.stdout.write(text)
    return 0


def tunnel(
    instance: str,
    /,
    *,
    kind: Annotated[str, Parameter(name="--type")] = "socks",
    socks_port: int = 0,
) -> int:
    """Open a SOCKS proxy on this host that leads into the network of an instance. It ends with the instance.

    Parameters
    ----------
    instance
        Name of the instance, which runs.
    kind
        socks
    socks_port
        Port of the proxy, 1024 to 65535; 0 is any that is free.
    """
    check_instance_name(instance)
    current()[1].record("warning", "`limactl tunnel` is experimental")
    container = Container()
    command = container.open_tunnel()(instance, kind=kind, port=socks_port)
    # what ssh has to say goes where messages go: stdout belongs to the directions
    done = subprocess.run(command.argv, stdin=subprocess.DEVNULL, stdout=2, check=False)
    if done.returncode != 0:
        return done.returncode if done.returncode > 0 else 255
    sys.stdout.write(directions(container.host_facts().os, instance, command.port))
    return 0
