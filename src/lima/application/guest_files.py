"""Read a file of a guest over ssh, in pieces and up to a limit: what a guest sends is bounded."""

from lima.domain.errors import RemoteCommandError
from lima.ports.transport import Transport

PIECE = 512 * 1024
_READ = 'LC_ALL=C; export LC_ALL; tail -c "+$2" "$1" | head -c "$3"'


class MissingFileError(RemoteCommandError):
    """The file is not there. Stays within the application."""


async def read_guest_file(transport: Transport, path: str, *, limit: int, as_root: bool = False) -> bytes:
    """The whole file. As the user first; as root where that is refused, or at once with `as_root`.

    Raises: MissingFileError; RemoteCommandError for one that is larger than `limit`, no file, or cannot be read; and
    what the transport raises.
    """
    content = b""
    while len(content) <= limit:
        sudo = ("sudo", "-n") if as_root else ()
        argv = (*sudo, "sh", "-c", _READ, "sh", path, str(len(content) + 1), str(PIECE))
        result = await transport.run(argv)
        # sudo may warn of a host name that it cannot resolve, and still do it
        said = result.stderr.decode(errors="replace").strip().splitlines()
        complaint = "\n".join(line for line in said if result.exit_code != 0 or not line.startswith("sudo:"))
        if "Permission denied" in complaint and not as_root:
            as_root = True
            continue
        if complaint or result.exit_code != 0:
            kind = MissingFileError if "No such file or directory" in complaint else RemoteCommandError
            last = complaint.rpartition("\n")[2] or f"exit code {result.exit_code}"
            raise kind(
                f"`{path}` of the guest cannot be read: {last[:300]}",
                remote_exit_code=result.exit_code,
                stderr=complaint[-2000:],
            )
        content += result.stdout[:PIECE]
        if len(result.stdout) < PIECE:
            return content
    raise RemoteCommandError(f"`{path}` of the guest is larger than {limit // 1024**2} MiB", remote_exit_code=0)
