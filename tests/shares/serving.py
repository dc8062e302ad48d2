"""Serves directories by our virtiofsd adapter until its stdin ends: a program of its own, as the host agent of a user is.

    python -m tests.shares.serving USER

USER is `-` for the calling user, or the uid of an ordinary one: root becomes that one, who is given sub-ids in a view of
/etc of this process's own. Each line of stdin is a JSON list of what to serve from now on, in the place of what was
served before; it is answered by one of the servers' process ids, or by the reason why this host cannot have any.
"""

import asyncio
import codecs
import json
import os
import sys
import tempfile

from lima.adapters.system.host import SystemHostInspector
from lima.adapters.system.processes import SystemProcessTable
from lima.adapters.system.runner import AsyncProcessRunner
from lima.adapters.virtiofs import confine
from lima.adapters.virtiofs.confine import CLONE_NEWNS, MS_BIND, MS_PRIVATE, MS_REC, mount, unshare
from lima.adapters.virtiofs.server import VirtiofsdServer
from lima.domain.errors import LaunchFailedError, MissingToolError, UnsupportedCapabilityError
from lima.domain.process import ProcessIdentity
from lima.ports.share_server import ServedDirectory

codecs.lookup("ascii")  # loaded while this process may still read all of its interpreter
SUB_IDS = "1610612736:65536"


def become(uid: int) -> None:
    """Raises: OSError where this host lets no one do so (a container without the right)."""
    unshare(CLONE_NEWNS)
    mount("none", "/", "", MS_REC | MS_PRIVATE)
    with tempfile.NamedTemporaryFile("w", dir="/tmp") as ids:
        ids.write(f"{uid}:{SUB_IDS}\n")
        ids.flush()
        os.chmod(ids.name, 0o644)
        for kind in ("uid", "gid"):
            mount(ids.name, f"/etc/sub{kind}", "", MS_BIND)
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
    sys.executable = next((python for python in (sys.executable, "/usr/bin/python3") if os.access(python, os.X_OK)), "")
    if not sys.executable or not os.access(confine.__file__, os.R_OK):
        raise PermissionError("an ordinary user may run no Python here, or not read this project")


async def serve() -> None:
    server = VirtiofsdServer(
        facts=SystemHostInspector().facts(), runner=AsyncProcessRunner(), processes=SystemProcessTable()
    )
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    serving: list[ProcessIdentity] = []
    try:
        while line := await lines.readline():
            await asyncio.gather(*map(server.stop, serving))
            serving = [await server.serve(ServedDirectory(**directory)) for directory in json.loads(line)]
            say([process.pid for process in serving])
    finally:
        await asyncio.gather(*map(server.stop, serving))


def say(answer: object) -> None:
    print(json.dumps(answer), flush=True)


def main(user: str) -> None:
    try:
        if user != "-":
            become(int(user))
    except OSError as error:
        say(f"root becomes no ordinary user here: {error}")
        return
    try:
        asyncio.run(serve())
    except (MissingToolError, UnsupportedCapabilityError) as error:
        say(error.message)
    except LaunchFailedError as error:
        if "no user namespace is to be had" not in error.message:
            raise
        say(error.message)


if __name__ == "__main__":
    main(*sys.argv[1:])
