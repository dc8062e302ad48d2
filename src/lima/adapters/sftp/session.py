"""One conversation with an SFTP client: requests in, answers out, in the order of the requests."""

import contextlib
import socket
import struct
from collections.abc import Callable

from lima.adapters.sftp import wire
from lima.adapters.sftp.folder import Folder
from lima.adapters.sftp.wire import Fields, Kind, ProtocolError, Status

ANSWERS_AT_ONCE = 128 * 1024
"""Bytes of answers that are put together while there are requests to read."""
PIECES_AT_ONCE = 256
"""Of them; a system call takes 1024."""
_HEAD = struct.Struct(">IB")


class Session:
    """Blocks: runs on a thread of its own, and ends when the client does or its socket is shut down."""

    def __init__(self, link: socket.socket, folder: Folder) -> None:
        self._link = link
        self._folder = folder
        self._has_begun = False

    def end(self) -> None:
        """From any thread: `run` returns soon. Twice is no error."""
        with contextlib.suppress(OSError):
            self._link.shutdown(socket.SHUT_RDWR)

    def run(self) -> None:
        """Serve until the end. Raises: ProtocolError, where the client spoke something else."""
        buffer = bytearray(2 * (wire.MAX_MESSAGE + 4))
        view = memoryview(buffer)
        begin = end = 0
        try:
            with contextlib.suppress(OSError):  # the client went
                while count := self._link.recv_into(view[end:]):
                    begin = self._serve(view[: end + count], begin)
                    end += count
                    if begin:
                        view[: end - begin] = view[begin:end]
                        begin, end = 0, end - begin
        finally:
            self._folder.close()
            self.end()
            self._link.close()

    def _serve(self, data: memoryview, at: int) -> int:
        """Answer all requests that are complete. Returns where the first one begins that is not."""
        answers: list[bytes] = []
        size = 0
        try:
            while len(data) - at >= 5:
                length, kind = _HEAD.unpack_from(data, at)
                if not 5 <= length <= wire.MAX_MESSAGE:
                    raise ProtocolError(f"a message of {length} bytes")
                if len(data) - at < 4 + length:
                    break
                answer = self.answer(kind, data[at + 5 : at + 4 + length])
                at += 4 + length
                for piece in answer:
                    answers.append(piece)
                    size += len(piece)
                if size > ANSWERS_AT_ONCE or len(answers) > PIECES_AT_ONCE:
                    self._send(answers, size)
                    answers, size = [], 0
        finally:
            if answers:
                self._send(answers, size)
        return at

    def _send(self, answers: list[bytes], size: int) -> None:
        # not put together first: what was read of a file is copied by nobody but the kernel
        sent = self._link.sendmsg(answers)
        if sent < size:
            self._link.sendall(b"".join(answers)[sent:])

    def answer(self, kind: int, body: memoryview) -> tuple[bytes, ...]:
        """The answer to one request, in pieces. Raises: ProtocolError, and nothing else."""
        fields = Fields(body)
        if not self._has_begun:
            if kind != Kind.INIT:
                raise ProtocolError(f"a request ({kind}) before the first word")
            self._has_begun = True
            fields.u32()
            return (wire.version(),)
        number = fields.u32()
        try:
            if kind == Kind.READ:
                return _read(self._folder, number, fields)
            serve = _REQUESTS.get(kind, _unknown)
            return (serve(self._folder, number, fields),)
        except OSError as error:
            return (wire.status(number, wire.status_of(error), error.strerror or ""),)


_Request = Callable[[Folder, int, Fields], bytes]


def _open(folder: Folder, number: int, fields: Fields) -> bytes:
    return _handle(number, folder.open(fields.text(), fields.u32(), fields.attributes()))


def _open_folder(folder: Folder, number: int, fields: Fields) -> bytes:
    return _handle(number, folder.open_folder(fields.text()))


def _read(folder: Folder, number: int, fields: Fields) -> tuple[bytes, ...]:
    """What was read stays as it is, behind its head."""
    data = folder.read(fields.text(), fields.u64(), wanted := fields.u32())
    if not data and wanted:
        return (wire.status(number, Status.EOF),)
    return wire.data_head(number, len(data)), data


def _names(folder: Folder, number: int, fields: Fields) -> bytes:
    entries = folder.names(fields.text())
    if not entries:
        return wire.status(number, Status.EOF)
    return _listed(number, entries)


def _stat(folder: Folder, number: int, fields: Fields) -> bytes:
    return wire.reply(Kind.ATTRS, number, folder.stat(fields.text()))


def _lstat(folder: Folder, number: int, fields: Fields) -> bytes:
    return wire.reply(Kind.ATTRS, number, folder.lstat(fields.text()))


def _fstat(folder: Folder, number: int, fields: Fields) -> bytes:
    return wire.reply(Kind.ATTRS, number, folder.handle_stat(fields.text()))


def _read_link(folder: Folder, number: int, fields: Fields) -> bytes:
    return _listed(number, [_bare(folder.read_link(fields.text()))])


def _real_path(folder: Folder, number: int, fields: Fields) -> bytes:
    return _listed(number, [_bare(folder.real_path(fields.text()))])


def _extended(folder: Folder, number: int, fields: Fields) -> bytes:
    return _EXTENDED.get(fields.text(), _unknown)(folder, number, fields)


def _unknown(folder: Folder, number: int, fields: Fields) -> bytes:  # noqa: ARG001 - one of _Request
    return wire.status(number, Status.OP_UNSUPPORTED)


def _space(folder: Folder, number: int, fields: Fields) -> bytes:
    return wire.reply(Kind.EXTENDED_REPLY, number, folder.space(fields.text()))


def _handle_space(folder: Folder, number: int, fields: Fields) -> bytes:
    return wire.reply(Kind.EXTENDED_REPLY, number, folder.handle_space(fields.text()))


def _limits(folder: Folder, number: int, fields: Fields) -> bytes:  # noqa: ARG001 - one of _Request
    sizes = (wire.MAX_MESSAGE, wire.MAX_DATA, wire.MAX_DATA, folder.max_handles)
    return wire.reply(Kind.EXTENDED_REPLY, number, struct.pack(">4Q", *sizes))


def _doing(act: Callable[[Folder, Fields], None]) -> _Request:
    """A request that is answered by its status."""

    def serve(folder: Folder, number: int, fields: Fields) -> bytes:
        act(folder, fields)
        return wire.status(number, Status.OK)

    return serve


def _handle(number: int, name: bytes) -> bytes:
    return wire.reply(Kind.HANDLE, number, wire.string(name))


def _bare(name: bytes) -> bytes:
    return wire.name_entry(name, struct.pack(">I", 0))


def _listed(number: int, entries: list[bytes]) -> bytes:
    return wire.reply(Kind.NAME, number, struct.pack(">I", len(entries)) + b"".join(entries))


_REQUESTS: dict[int, _Request] = {
    Kind.OPEN: _open,
    Kind.CLOSE: _doing(lambda folder, fields: folder.close_handle(fields.text())),
    Kind.WRITE: _doing(lambda folder, fields: folder.write(fields.text(), fields.u64(), fields.view())),
    Kind.LSTAT: _lstat,
    Kind.FSTAT: _fstat,
    Kind.SETSTAT: _doing(lambda folder, fields: folder.set_stat(fields.text(), fields.attributes())),
    Kind.FSETSTAT: _doing(lambda folder, fields: folder.set_handle_stat(fields.text(), fields.attributes())),
    Kind.OPENDIR: _open_folder,
    Kind.READDIR: _names,
    Kind.REMOVE: _doing(lambda folder, fields: folder.remove(fields.text())),
    Kind.MKDIR: _doing(lambda folder, fields: folder.make_folder(fields.text(), fields.attributes())),
    Kind.RMDIR: _doing(lambda folder, fields: folder.remove_folder(fields.text())),
    Kind.REALPATH: _real_path,
    Kind.STAT: _stat,
    Kind.RENAME: _doing(lambda folder, fields: folder.rename(fields.text(), fields.text(), replaces=False)),
    Kind.READLINK: _read_link,
    # OpenSSH's order, which everybody has followed: the target first
    Kind.SYMLINK: _doing(lambda folder, fields: folder.make_link(fields.text(), fields.text())),
    Kind.EXTENDED: _extended,
}
_EXTENDED: dict[bytes, _Request] = {
    b"posix-rename@openssh.com": _doing(
        lambda folder, fields: folder.rename(fields.text(), fields.text(), replaces=True)
    ),
    b"hardlink@openssh.com": _doing(lambda folder, fields: folder.hard_link(fields.text(), fields.text())),
    b"fsync@openssh.com": _doing(lambda folder, fields: folder.sync(fields.text())),
    b"statvfs@openssh.com": _space,
    b"fstatvfs@openssh.com": _handle_space,
    b"limits@openssh.com": _limits,
}
