"""Keep the mounts of a guest that it makes with sshfs: there before it is ready, back soon after ssh or sshfs died, gone
in reverse order at the end. Source: reference, runtime §10.2."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from lima.application.bell import Bell
from lima.domain.errors import GuestError, LimaError, UnreachableError
from lima.domain.progress import Level, Note
from lima.domain.sshfs import (
    GUARD,
    OWN_TYPES,
    SshfsMount,
    guarded,
    in_order,
    is_too_old,
    mounted,
    sshfs_argv,
    wants_nonempty,
    wants_root,
)
from lima.ports.clock import Clock
from lima.ports.events import EventSink
from lima.ports.folder_server import FolderServer, ServedFolder, SharedFolder
from lima.ports.transport import RemoteResult, Transport

MOUNT_S = 30.0
"""How long a guest may take from sshfs's start to a mount."""
UNMOUNT_S = 5.0
FIRST_PAUSE_S, LAST_PAUSE_S = 0.2, 30.0
"""Between two tries; the second only after many that failed."""
MAX_SAID = 50
MOUNTS_FILE = "/proc/self/mounts"
WHO = "id -u; id -g"
MADE = b"made"
AS_ROOT = ("sh", "-c", '[ "$(id -u)" = 0 ] || exec sudo -n "$@"; exec "$@"', "sh")
MAKE_POINT = """\
[ -d "$1" ] && exit 0
mkdir -p -- "$1" 2>/dev/null || { sudo -n mkdir -p -- "$1" && sudo -n chown "$(id -u):$(id -g)" "$1"; } || exit 1
echo made
"""
"""An ordinary user may mount on what is his."""
MAKE_GUARD = (*AS_ROOT, "mount", "-t", "tmpfs", "-o", "ro,nosuid,nodev,noexec,mode=0555,size=4k", GUARD)
REMOVE_GUARD = (*AS_ROOT, "umount", "-l")
"""Both with the mount point for a last word."""
UNMOUNT = """\
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }
as_root umount "$1" 2>/dev/null || as_root umount -l "$1" 2>/dev/null && exit 0
for program in fusermount3 fusermount; do
	command -v "$program" >/dev/null || continue
	"$program" -u "$1" 2>/dev/null && exit 0
	"$program" -u -z "$1" && exit 0
done
exit 1
"""
"""What somebody still uses goes as soon as nobody does."""
REMOVE_POINT = 'rmdir -- "$1" 2>/dev/null || sudo -n rmdir -- "$1"'
"""Never what is not empty, or mounted."""


@dataclass(slots=True, kw_only=True)
class _Kept:
    """One mount. `made_point`: its mount point is our doing; `has_guard`: so is what keeps programs from writing below it.
    `failure`: why it is not there."""

    mount: SshfsMount
    served: ServedFolder | None = None
    session: "asyncio.Future[RemoteResult] | None" = None
    made_point: bool = False
    has_guard: bool = False
    was_there: bool = False
    failure: str = ""

    @property
    def is_alive(self) -> bool:
        return self.session is not None and not self.session.done()

    async def drop(self) -> None:
        """End the session, if there is one: sshfs sees its input end, and goes."""
        session, self.session = self.session, None
        if self.served is not None:
            self.served.close()
            self.served = None
        if session is not None:
            session.cancel()
            await asyncio.gather(session, return_exceptions=True)


@dataclass(slots=True, kw_only=True)
class ShareFolders:
    """For the life of one guest. One mount at a time is made: those that others lie below come first."""

    server: Callable[[], FolderServer]
    """Made when it is first needed."""
    clock: Clock
    log: EventSink
    _kept: list[_Kept] = field(default_factory=list, init=False)
    _guest_user: tuple[int, int] | None = field(default=None, init=False)
    _transport: Transport | None = field(default=None, init=False)
    _keeper: "asyncio.Future[None] | None" = field(default=None, init=False)
    _asked: int = field(default=0, init=False)
    _answered: int = field(default=0, init=False)
    """The last time that we were asked for, and that all mounts had been looked at for."""
    _bell: Bell = field(default_factory=Bell, init=False)
    _is_new: bool = field(default=True, init=False)
    """The guest's sshfs, as far as it has not said otherwise."""
    _said: set[str] = field(default_factory=set, init=False)

    async def __call__(self, mounts: Sequence[SshfsMount], transport: Transport) -> tuple[str, ...]:
        """The ssh connection stands, for the first time or again: return when every mount does too, or cannot be made,
        with the reasons of those that cannot. From now on they are kept."""
        if self._keeper is None:
            self._kept = [_Kept(mount=mount) for mount in in_order(mounts)]
            self._transport = transport
            self._keeper = asyncio.ensure_future(self._keep(transport))
        self._asked = asked = self._asked + 1
        self._bell.ring()
        keeper = self._keeper
        keeper.add_done_callback(lambda _: self._bell.ring())
        await self._bell.until(lambda: self._answered >= asked or keeper.done())
        if keeper.done() and not keeper.cancelled():
            keeper.result()
        return tuple(kept.failure for kept in self._kept if kept.failure)

    async def watch(self) -> None:
        """Raise what the keeping of the mounts ends by, should it end before `end` is called."""
        await self._bell.until(lambda: self._keeper is not None)
        if self._keeper is not None:
            await asyncio.shield(self._keeper)

    async def end(self) -> None:
        """Unmount, last first. Doing it twice is no error; a guest that is gone is no hindrance."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
        for kept in reversed(self._kept):
            if (kept.is_alive or kept.has_guard) and self._transport is not None:
                with contextlib.suppress(LimaError, TimeoutError):
                    async with asyncio.timeout(UNMOUNT_S):
                        await self._take_away(kept, self._transport)
            await kept.drop()
        self._kept = []

    # --- keeping -----------------------------------------------------------------------------------------------------

    async def _keep(self, transport: Transport) -> None:
        pause = FIRST_PAUSE_S
        while True:
            asked = self._asked
            try:
                for kept in self._kept:
                    if not kept.is_alive and (kept.was_there or asked != self._answered):
                        await self._restore(kept, transport)
            except UnreachableError as error:
                self._say_once(f"Mounts wait for the ssh connection: {error.message}", Level.DEBUG)
                self._answer(asked)
                await self._bell.until(partial(self._is_news, asked))
                continue
            self._answer(asked)
            if await self._wait_for_loss(asked):
                await self.clock.sleep(pause)
            lost = [kept for kept in self._kept if kept.was_there and not kept.is_alive]
            pause = min(2 * pause, LAST_PAUSE_S) if any(kept.failure for kept in lost) else FIRST_PAUSE_S

    def _answer(self, asked: int) -> None:
        self._answered = asked
        self._bell.ring()

    async def _wait_for_loss(self, asked: int) -> bool:
        """Return when there is something to do: true for a mount that is lost, false where we are asked anew."""
        if any(kept.was_there and not kept.is_alive for kept in self._kept):
            return True
        sessions = [kept.session for kept in self._kept if kept.session is not None and kept.is_alive]
        news = asyncio.ensure_future(self._bell.until(partial(self._is_news, asked)))
        awaited: tuple[asyncio.Future[Any], ...] = (*sessions, news)
        try:
            await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
            return not self._is_news(asked)
        finally:
            news.cancel()

    def _is_news(self, asked: int) -> bool:
        return self._asked != asked

    async def _restore(self, kept: _Kept, transport: Transport) -> None:
        mount = kept.mount
        if kept.was_there:
            why = await _complaint_of(kept.served)
            self._say_once(f"The mount {mount.mount_point} was lost{why}, making it anew", Level.WARNING)
        await kept.drop()
        try:
            await self._mount(kept, transport)
        except UnreachableError:
            raise
        except LimaError as error:
            kept.failure = f"{mount.location} is not mounted on {mount.mount_point}: {error.message}"
            self._say_once(kept.failure, Level.ERROR)
            return
        kept.failure, kept.was_there = "", True
        for below in self._kept:
            if below.mount.is_below(mount):
                await below.drop()  # hidden by what is mounted above it now

    # --- one mount ---------------------------------------------------------------------------------------------------

    async def _mount(self, kept: _Kept, transport: Transport) -> None:
        mount = kept.mount
        table = await _mounts(transport)
        there = mounted(table).get(mount.mount_point, "")
        if there in OWN_TYPES:
            await _guest(transport, UNMOUNT, mount)  # whoever served it is gone
        elif there:
            raise GuestError(f"a file system of type {there} is mounted there already")
        kept.has_guard = mount.mount_point in guarded(table)
        if not kept.has_guard:
            done = await _guest(transport, MAKE_POINT, mount)
            kept.made_point = kept.made_point or done.stdout.strip() == MADE
            done = await transport.run((*MAKE_GUARD, mount.mount_point))
            kept.has_guard = done.exit_code == 0  # a user who may not does without
        nonempty = False
        while True:
            argv = sshfs_argv(mount, raw_links=self._is_new, nonempty=nonempty)
            try:
                await self._serve_as_allowed(kept, transport, argv)
            except GuestError as error:
                if self._is_new and is_too_old(error.message):
                    self._is_new = False
                elif not self._is_new and not nonempty and wants_nonempty(error.message):
                    nonempty = True
                else:
                    raise
            else:
                return

    async def _serve_as_allowed(self, kept: _Kept, transport: Transport, argv: tuple[str, ...]) -> None:
        if not kept.has_guard:  # on which nobody but root may mount
            try:
                await self._serve(kept, transport, argv)
            except GuestError as error:
                if not wants_root(error.message):
                    raise
            else:
                return
        await self._serve(kept, transport, (*AS_ROOT, *argv))

    async def _serve(self, kept: _Kept, transport: Transport, argv: tuple[str, ...]) -> None:
        mount = kept.mount
        folder = SharedFolder(
            location=mount.location,
            is_writable=mount.writable,
            follows_links=mount.follow_symlinks,
            guest_owner=await self._owner(transport),
        )
        kept.served = served = await self.server().serve(folder)
        kept.session = session = asyncio.ensure_future(transport.attach(argv, served.take_client_end()))
        # nobody speaks to a server whose client is gone
        session.add_done_callback(lambda _: served.close())
        try:
            await self._await_mounted(mount, session, transport)
        except BaseException:
            await kept.drop()
            raise

    async def _await_mounted(
        self, mount: SshfsMount, session: "asyncio.Future[RemoteResult]", transport: Transport
    ) -> None:
        began, pause = self.clock.monotonic(), FIRST_PAUSE_S / 2
        while mounted(await _mounts(transport)).get(mount.mount_point) not in OWN_TYPES:
            if session.done():
                raise GuestError(_complaint(await session))
            if self.clock.monotonic() - began > MOUNT_S:
                raise GuestError(f"sshfs runs, and has mounted nothing for {MOUNT_S:.0f} s")
            await self.clock.sleep(pause)
            pause = min(1.5 * pause, 2.0)

    async def _owner(self, transport: Transport) -> tuple[int, int]:
        """Numbers of the guest's user and group."""
        if self._guest_user is None:
            done = await transport.run(("sh", "-c", WHO))
            try:
                uid, gid = (int(word) for word in done.stdout.split())
            except ValueError as error:
                raise GuestError(f"the guest does not say who its user is: {_complaint(done)}") from error
            self._guest_user = uid, gid
        return self._guest_user

    async def _take_away(self, kept: _Kept, transport: Transport) -> None:
        if kept.is_alive:
            await _guest(transport, UNMOUNT, kept.mount)
            await kept.drop()
        if kept.has_guard:
            await transport.run((*REMOVE_GUARD, kept.mount.mount_point))
        if kept.made_point:
            with contextlib.suppress(GuestError):  # somebody put something there
                await _guest(transport, REMOVE_POINT, kept.mount)

    def _say_once(self, message: str, level: Level) -> None:
        if message not in self._said and len(self._said) < MAX_SAID:
            self._said.add(message)
            self.log.emit(Note(message=message, level=level))


async def _complaint_of(served: ServedFolder | None) -> str:
    """What the client did wrong, in brackets; nothing where it did not, or the server hangs in a file system."""
    if served is None:
        return ""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1):
            if complaint := await served.ended():
                return f" (its SFTP client sent {complaint})"
    return ""


async def _mounts(transport: Transport) -> str:
    """What the guest has mounted."""
    done = await transport.run(("cat", MOUNTS_FILE))
    return done.stdout.decode(errors="surrogateescape")


async def _guest(transport: Transport, script: str, mount: SshfsMount) -> RemoteResult:
    done = await transport.run(("sh", "-c", script, "sh", mount.mount_point))
    if done.exit_code != 0:
        raise GuestError(_complaint(done))
    return done


def _complaint(done: RemoteResult) -> str:
    text = done.stderr.decode(errors="replace")
    lines = ["".join(c for c in line if c.isprintable()).strip() for line in text.splitlines()]
    return "; ".join([line for line in lines if line][-3:])[:500] or f"exit status {done.exit_code}"
