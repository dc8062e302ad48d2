"""Folders served as SFTP, each client on a thread and a socket pair of its own."""

import asyncio
import logging
import os
import resource
import socket
import sys
import threading

from lima.adapters.sftp.beneath import Beneath
from lima.adapters.sftp.folder import Folder
from lima.adapters.sftp.session import Session
from lima.adapters.sftp.wire import Owners, ProtocolError
from lima.domain.errors import StorageError
from lima.ports.folder_server import SharedFolder

MAX_DESCRIPTORS = 16384
MAX_HANDLES = 1024
"""Open files of one client, where this process may have eight times as many."""
SOCKET_BUFFER = 1 << 20
SWITCH_S = 0.0005
"""After so long a thread that computes lets another one go on. At Python's own 5 ms a busy event loop (forwarded ports)
would hold back each request of a mount as long: a twentieth of the throughput."""

logger = logging.getLogger(__name__)


class SftpFolderServer:
    """Serves as the user that runs it."""

    async def serve(self, folder: SharedFolder) -> "SftpService":
        sys.setswitchinterval(SWITCH_S)
        # the folder may lie on a network that does not answer
        below = await asyncio.to_thread(_open, folder)
        owners = Owners(here=(os.geteuid(), os.getegid()), there=folder.guest_owner)
        served = Folder(
            below,
            root=os.fsencode(folder.location),
            is_writable=folder.is_writable,
            owners=owners,
            max_handles=min(MAX_HANDLES, _descriptors() // 8),
        )
        return SftpService(folder.location, served)


class SftpService:
    """One client's."""

    def __init__(self, name: str, folder: Folder) -> None:
        self._name = name
        self._server_end, self._client_end = socket.socketpair()
        for end in (self._server_end, self._client_end):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER)
        self._session = Session(self._server_end, folder)
        self._loop = asyncio.get_running_loop()
        self._over: asyncio.Future[str] = self._loop.create_future()
        threading.Thread(target=self._run, name=f"sftp {name}", daemon=True).start()

    def take_client_end(self) -> int:
        return self._client_end.detach()

    async def ended(self) -> str:
        return await asyncio.shield(self._over)

    def close(self) -> None:
        self._client_end.close()
        self._session.end()

    def _run(self) -> None:
        complaint = ""
        try:
            self._session.run()
        except ProtocolError as error:
            complaint = str(error)
        except Exception:
            logger.exception("the SFTP server of %s has a bug", self._name)
            complaint = "the server has a bug, see the log"
        try:
            self._loop.call_soon_threadsafe(self._tell, complaint)
        except RuntimeError:
            logger.debug("nobody waits any more for the server of %s", self._name)

    def _tell(self, complaint: str) -> None:
        if not self._over.done():
            self._over.set_result(complaint)


def _open(folder: SharedFolder) -> Beneath:
    try:
        return Beneath(folder.location, follows_links=folder.follows_links)
    except OSError as error:
        raise StorageError(f"cannot share `{folder.location}`: {error.strerror}") from error


def _descriptors() -> int:
    """How many this process may have, raised where that is allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MAX_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return MAX_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft
