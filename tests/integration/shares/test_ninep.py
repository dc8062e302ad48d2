"""Raw requests to QEMU's 9p server, as a kernel that is the guest's own may send them: no kernel cleans up what is asked here.

The server runs with the command line of our driver, as root and as an ordinary user; one machine for each, which shares
one directory in every way there is.
"""

import contextlib
import os
import stat
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from tests.shares.machine import Machine, machine, machine_folder
from tests.shares.ninep import (
    DEVICES,
    MSIZE,
    NO_FID,
    NO_TAG,
    ROOT,
    Change,
    Kind,
    NinepClient,
    Refused,
    message,
    text,
)
from tests.shares.qtest import MachineDied
from tests.shares.virtio import FROM_DEVICE, INDIRECT, NEXT, DeviceBroken, Piece, VirtioDevice, virtio_functions
from tests.shares.world import NOBODY, PASSWORDS, SECRET, USERS, World, new_world

from lima.domain.mount_devices import mount_tag, shares
from lima.domain.mount_plan import HostMount, MountPlan, NinePOptions

pytestmark = pytest.mark.needs_qemu

MODELS = ("none", "mapped-xattr")
"""Those that are defaults; a third one keeps owners in files of its own."""
WAYS = [(model, writable) for model in (*MODELS, "mapped-file") for writable in (True, False)]


@dataclass
class Served:
    """A machine with the share in all its ways, by security model and whether it is writable; there anew when it died."""

    world: World
    user: int | None
    is_root: bool
    clients: dict[tuple[str, bool], NinepClient] = field(default_factory=dict)
    machine: Machine = field(init=False)
    _open: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def begin(self) -> None:
        folder = self._open.enter_context(machine_folder(self.user))
        mounts = tuple(
            HostMount(
                location=self.world.share,
                mount_point=f"/mnt/{model}-{writable}",
                writable=writable,
                ninep=NinePOptions(security_model=model),
            )
            for model, writable in WAYS
        )
        plan = MountPlan(type="9p", mounts=mounts)
        self.machine = self._open.enter_context(machine(shares(plan, folder), folder, user=self.user))
        found = virtio_functions(self.machine.qtest, *DEVICES)
        devices = [VirtioDevice(function, index) for index, function in enumerate(found)]
        tags = {device.config(2, 21).decode(): device for device in devices}
        for way, mount in zip(WAYS, mounts, strict=True):
            self.clients[way] = NinepClient(tags[mount_tag(mount)], forbidden=(SECRET, PASSWORDS))

    def end(self) -> None:
        self._open.close()

    def again(self) -> None:
        self.end()
        self.begin()


@pytest.fixture(scope="module", params=USERS)
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    user = USERS[request.param]
    with new_world(owner=user) as world:
        served = Served(world, user, is_root=request.param == "root")
        try:
            served.begin()
            yield served
        finally:
            served.end()


@dataclass
class Share:
    """A client with a new session, and the world as it was."""

    client: NinepClient
    world: World
    model: str
    is_root: bool

    @property
    def trusts_root(self) -> bool:
        """The guest's root is the host's, which a start warns of."""
        return self.is_root and self.model == "none"


@contextlib.contextmanager
def fresh(served: Served, model: str, *, writable: bool) -> Iterator[Share]:
    """Whatever is asked, nothing outside has changed at the end, nothing dangerous lies inside, and QEMU lives."""
    world, client = served.world, served.clients[model, writable]
    world.furnish()
    before = world.seen_outside()
    client.begin()
    try:
        yield Share(client, world, model, served.is_root)
        assert served.machine.is_alive, served.machine.said
    finally:
        if not served.machine.is_alive:
            served.again()
    assert world.seen_outside() == before, "something outside the share was touched"
    assert world.dangers() == []


@pytest.fixture(params=MODELS)
def share(served: Served, request: pytest.FixtureRequest) -> Iterator[Share]:
    with fresh(served, request.param, writable=True) as share:
        yield share


@pytest.fixture(params=MODELS)
def read_only(served: Served, request: pytest.FixtureRequest) -> Iterator[Share]:
    with fresh(served, request.param, writable=False) as share:
        yield share


@pytest.fixture
def client(served: Served) -> Iterator[NinepClient]:
    with fresh(served, "none", writable=True) as share:
        yield share.client


Act = Callable[[NinepClient], object]


def test_who_means_well_is_served(share: Share) -> None:
    """Else the refusals below would prove nothing."""
    found = share.client
    assert found.content(b"folder", b"file") == b"inside\n"
    new = found.lcreate(b"new")
    assert found.write(new, b"hello") == 5
    with open(share.world.inside("new"), "rb") as file:
        assert file.read() == b"hello"
    found.renameat(b"new", b"other", to=found.walk(b"folder"))
    assert found.content(b"folder", b"other") == b"hello"
    assert {b"folder", b"far", b"fifo"} <= found.names(ROOT)


def test_the_alarm_rings(share: Share) -> None:
    """Whoever reads what lies outside is heard of."""
    with open(share.world.inside("file"), "wb") as file:
        file.write(SECRET)
    with pytest.raises(AssertionError, match="outside its share"):
        share.client.content(b"file")


def test_who_serves_is_who_was_asked_to(served: Served) -> None:
    owner = os.geteuid() if served.user is None else served.user
    assert os.stat(f"/proc/{served.machine.process.pid}").st_uid == owner


# --- what is refused --------------------------------------------------------------------------------------------------

READING: dict[str, Act] = {
    "/etc/passwd": lambda c: c.walk(b"/etc/passwd"),
    "etc/passwd": lambda c: c.walk(b"etc/passwd"),
    "nothing, etc, passwd": lambda c: c.walk(b"", b"etc", b"passwd"),
    "up": lambda c: c.walk(b"..", b"outside", b"file"),
    "down and up": lambda c: c.walk(b"folder", b"..", b"..", b"outside", b"file"),
    "up in one name": lambda c: c.walk(b"../outside/file"),
    "down and up in one name": lambda c: c.walk(b"folder/../../outside/file"),
    "up before a NUL": lambda c: c.walk(b"..\0", b"outside"),
    "a path before a NUL": lambda c: c.walk(b"far-folder/file\0"),
    "up from a file": lambda c: c.walk(b"..", b"outside", start=c.walk(b"file")),
    "through a link": lambda c: c.walk(b"far-folder", b"file"),
    "through a link inside": lambda c: c.walk(b"near-folder", b"..", b"..", b"outside", b"file"),
    "through a link of /proc": lambda c: c.walk(b"magic", b"file"),
    "through a link, from it": lambda c: c.walk(b"file", start=c.walk(b"far-folder")),
    "a link": lambda c: c.lopen(c.walk(b"far")),
    "a relative link": lambda c: c.lopen(c.walk(b"far-relative")),
    "a link to a folder": lambda c: c.lopen(c.walk(b"far-folder"), os.O_DIRECTORY),
    "a link of /proc": lambda c: c.lopen(c.walk(b"magic")),
    "a link to itself": lambda c: c.lopen(c.walk(b"loop")),
    "a link with O_PATH": lambda c: c.lopen(c.walk(b"far"), os.O_PATH),
    "a link with every flag": lambda c: c.lopen(c.walk(b"far"), 0xFFFF_FFFF),
    "a link for writing": lambda c: c.lopen(c.walk(b"far"), os.O_WRONLY),
    "a link, cut off": lambda c: c.lopen(c.walk(b"far"), os.O_RDWR | os.O_TRUNC),
    "a link, made": lambda c: c.lopen(c.walk(b"far"), os.O_RDWR | os.O_CREAT),
    "a link, created over": lambda c: c.lcreate(b"far", flags=os.O_RDWR | os.O_CREAT | os.O_TRUNC),
    "a link to a folder, created over": lambda c: c.mkdir(b"far-folder"),
    "a link, bound over": lambda c: c.symlink(b"far", b"x"),
    "a new file behind a link": lambda c: c.lcreate(b"new", folder=c.walk(b"far-folder")),
    "a new folder behind a link": lambda c: c.mkdir(b"new", folder=c.walk(b"far-folder")),
    "a new link behind a link": lambda c: c.symlink(b"new", b"x", folder=c.walk(b"far-folder")),
    "a new pipe behind a link": lambda c: c.mknod(b"new", stat.S_IFIFO, folder=c.walk(b"far-folder")),
    "a hard link behind a link": lambda c: c.link(c.walk(b"file"), b"new", folder=c.walk(b"far-folder")),
    "moved behind a link": lambda c: c.renameat(b"file", b"new", to=c.walk(b"far-folder")),
    "moved behind a link by fid": lambda c: c.rename(c.walk(b"file"), b"new", folder=c.walk(b"far-folder")),
    "caught from behind a link": lambda c: c.renameat(b"file", b"caught", folder=c.walk(b"far-folder")),
    "deleted behind a link": lambda c: c.unlinkat(b"file", folder=c.walk(b"far-folder")),
    "a pipe": lambda c: c.lopen(c.walk(b"fifo")),
    "a pipe for writing": lambda c: c.lopen(c.walk(b"fifo"), os.O_WRONLY),
    "the share itself deleted": lambda c: c.remove(ROOT),
    "the share itself moved": lambda c: c.rename(ROOT, b"x", folder=c.walk(b"folder")),
    "a fid of nobody": lambda c: c.lopen(12345),
    "a fid that is none": lambda c: c.walk(b"file", start=NO_FID),
    "a hard link of a fid of nobody": lambda c: c.link(12345, b"caught"),
    "read without being opened": lambda c: c.read(c.walk(b"file")),
    "a folder read without being opened": lambda c: c.ask(Kind.READDIR, struct.pack("<IQI", ROOT, 0, 4096)),
}


@pytest.mark.parametrize("act", READING.values(), ids=READING)
def test_no_request_leads_out(share: Share, act: Act) -> None:
    with pytest.raises(Refused):
        act(share.client)
    assert not os.path.lexists(share.world.inside("caught"))


def test_nor_where_owners_are_kept_in_files(served: Served) -> None:
    with fresh(served, "mapped-file", writable=True) as share:
        for act in READING.values():
            with pytest.raises(Refused):
                act(share.client)
        assert not os.path.lexists(share.world.inside("caught"))


NAMES = (
    b"", b".", b"..", b"/", b"/tmp/new", b"../outside/new", b"../outside/file", b"folder/../../outside/file", b"folder/file",
    b"far-folder/new", b"far-folder/file", b"./new", b"..\0x", b"../outside/new\0.txt", b"/" * 4000, b"x" * 300,
)  # fmt: skip
NAMING: dict[str, Callable[[NinepClient, bytes], object]] = {
    "create": lambda c, name: c.lcreate(name),
    "mkdir": lambda c, name: c.mkdir(name),
    "symlink": lambda c, name: c.symlink(name, b"x"),
    "mknod": lambda c, name: c.mknod(name, stat.S_IFIFO | 0o600),
    "link": lambda c, name: c.link(c.walk(b"file"), name),
    "rename": lambda c, name: c.rename(c.walk(b"file"), name),
    "rename to": lambda c, name: c.renameat(b"file", name),
    "rename from": lambda c, name: c.renameat(name, b"caught"),
    "unlink": lambda c, name: c.unlinkat(name),
    "rmdir": lambda c, name: c.unlinkat(name, 0x200),
    "unlink with every flag": lambda c, name: c.unlinkat(name, 0xFFFF_FFFF),
}


@pytest.mark.parametrize("act", NAMING.values(), ids=NAMING)
def test_a_name_is_a_name(share: Share, act: Callable[[NinepClient, bytes], object]) -> None:
    found = sorted(os.listdir(share.world.share))
    for name in NAMES:
        with pytest.raises(Refused):
            act(share.client, name)
    assert sorted(os.listdir(share.world.share)) == found
    assert share.client.content(b"folder", b"file") == b"inside\n"


@pytest.mark.needs_root
@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_WRONLY, os.O_RDWR | os.O_TRUNC, os.O_RDWR | os.O_NONBLOCK])
def test_a_device_of_the_host_is_not_opened(share: Share, flags: int) -> None:
    path = share.world.inside("null")
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("no devices are made here")
    os.chmod(path, 0o666)
    try:
        with pytest.raises(Refused):
            share.client.lopen(share.client.walk(b"null"), flags)
        with pytest.raises(Refused):
            share.client.setattr(share.client.walk(b"null"), Change(size=0))
    finally:
        os.unlink(path)


# --- what may be done, and stays inside -------------------------------------------------------------------------------

LINKS = (b"far", b"far-relative", b"far-folder", b"magic", b"loop")
CONTAINED: dict[str, Callable[[NinepClient, bytes], object]] = {
    "mode": lambda c, name: c.setattr(c.walk(name), Change(mode=0o777)),
    "owner": lambda c, name: c.setattr(c.walk(name), Change(owner=(NOBODY, NOBODY))),
    "size": lambda c, name: c.setattr(c.walk(name), Change(size=0)),
    "times": lambda c, name: c.setattr(c.walk(name), Change(times=(1, 1))),
    "attribute": lambda c, name: c.xattr(c.walk(name), b"user.x"),
    "new attribute": lambda c, name: c.set_xattr(c.walk(name), b"user.x", b"y"),
    "new access list": lambda c, name: c.set_xattr(c.walk(name), b"system.posix_acl_access", bytes(28)),
    "where it leads": lambda c, name: c.readlink(c.walk(name)),
    "hard link": lambda c, name: c.link(c.walk(name), b"caught"),
    "rename": lambda c, name: c.renameat(name, b"caught"),
    "move": lambda c, name: c.rename(c.walk(name), b"caught"),
    "unlink": lambda c, name: c.unlinkat(name),
    "rmdir": lambda c, name: c.unlinkat(name, 0x200),
    "remove": lambda c, name: c.remove(c.walk(name)),
}


@pytest.mark.parametrize("act", CONTAINED.values(), ids=CONTAINED)
def test_what_is_done_to_a_link_is_not_done_to_what_it_leads_to(
    share: Share, act: Callable[[NinepClient, bytes], object]
) -> None:
    for name in LINKS:
        share.world.furnish()
        with contextlib.suppress(Refused):
            act(share.client, name)
        caught = share.world.inside("caught")
        assert os.path.islink(caught) or not os.path.lexists(caught)


def test_above_the_share_is_the_share(share: Share) -> None:
    found = share.client
    above = found.walked(b"..", b"..", fid=found.new_fid())
    assert set(above) == {found.attach(found.new_fid())}
    assert b"outside" not in found.names(found.walk(b"..", b"folder", b"..", b".."))


@pytest.mark.parametrize("tree", [b"/", b"/etc", b"..", b"../outside", b"/etc/passwd", b"x" * 5000])
def test_every_tree_is_the_share(share: Share, tree: bytes) -> None:
    found = share.client
    fid = found.new_fid()
    found.attach(fid, tree=tree, user=b"root", uid=0)
    assert b"folder" in found.names(fid)


def test_a_link_shows_itself(share: Share) -> None:
    mode, size = share.client.getattr(share.client.walk(b"far"))
    assert stat.S_ISLNK(mode)
    assert size == len(os.readlink(share.world.inside("far")))


@pytest.mark.parametrize(
    "target", [b"/etc/passwd", b"../outside/file", b"folder/../../outside/file", b"/proc/self/root"]
)
def test_a_link_that_the_guest_makes_leads_nowhere(share: Share, target: bytes) -> None:
    found = share.client
    found.symlink(b"made", target)
    assert found.readlink(found.walk(b"made")) == target
    for act in (
        lambda: found.lopen(found.walk(b"made")),
        lambda: found.lopen(found.walk(b"made"), os.O_RDWR | os.O_TRUNC),
        lambda: found.walk(b"made", b"etc"),
        lambda: found.lcreate(b"made", flags=os.O_RDWR | os.O_CREAT),
        lambda: found.lcreate(b"new", folder=found.walk(b"made")),
        lambda: found.setattr(found.walk(b"made"), Change(size=0)),
    ):
        # where owners are mapped, a link is a file with a text in it for the host: it opens, and holds that text
        with contextlib.suppress(Refused):
            act()
            assert share.model != "none"
    found.link(found.walk(b"made"), b"caught")
    assert os.path.islink(share.world.inside("caught")) == (share.model == "none")


NODES = {"character": (stat.S_IFCHR, (1, 3)), "block": (stat.S_IFBLK, (7, 0)), "no device": (stat.S_IFCHR, (0, 0))}


@pytest.mark.parametrize(("kind", "number"), NODES.values(), ids=NODES)
def test_devices_that_the_guest_makes_are_none(share: Share, kind: int, number: tuple[int, int]) -> None:
    made = share.world.inside("made")
    try:
        share.client.mknod(b"made", kind | 0o666, number)
    except Refused:
        assert not os.path.lexists(made)
        return
    if share.trusts_root:
        assert stat.S_IFMT(os.lstat(made).st_mode) == kind
        with pytest.raises(Refused):
            share.client.lopen(share.client.walk(b"made"))
        os.unlink(made)
    elif number != (0, 0):
        assert stat.S_ISREG(os.lstat(made).st_mode)


def test_set_id_programs_that_the_guest_makes(share: Share) -> None:
    """Owners that are mapped are for the guest alone. Where they are not, the file is the serving user's own."""
    found, made = share.client, [share.world.inside("made"), share.world.inside("file")]
    found.lcreate(b"made", mode=0o6755)
    found.setattr(found.walk(b"file"), Change(mode=0o6755))
    if share.model == "none":
        assert {os.stat(path).st_uid for path in made} == {share.world.owner or os.geteuid()}
        for path in made:
            os.unlink(path)
    else:
        assert {os.stat(path).st_mode & 0o6000 for path in made} == {0}


@pytest.mark.parametrize("name", [b"security.capability", b"trusted.x", b"system.x", b"user.virtfs.uid", b"x", b""])
def test_attributes_that_mean_something_to_the_host_are_not_set(share: Share, name: bytes) -> None:
    with contextlib.suppress(Refused):
        share.client.set_xattr(share.client.walk(b"file"), name, bytes(20))
    set_ones = set(os.listxattr(share.world.inside("file")))
    # where this is not how owners are kept, it means nothing
    assert set_ones <= (set() if share.model == "mapped-xattr" else {"user.virtfs.uid"})


@pytest.mark.parametrize("model", MODELS)
def test_nobody_slips_out_while_a_folder_becomes_a_link(served: Served, model: str) -> None:
    """As another process of the guest may do it meanwhile."""
    with fresh(served, model, writable=True) as share, share.world.swapping():
        found, deadline = share.client, time.monotonic() + 30
        turns = reached = 0
        while turns < 40 or (not reached and time.monotonic() < deadline):
            turns += 1
            for act in (
                lambda: found.content(b"door", b"file"),
                lambda: found.lopen(found.walk(b"door", b"file"), os.O_RDWR | os.O_TRUNC),
                lambda: found.lcreate(b"new", folder=found.walk(b"door")),
                lambda: found.unlinkat(b"new", folder=found.walk(b"door")),
                lambda: found.setattr(found.walk(b"door", b"file"), Change(mode=0o600)),
                lambda: found.link(found.walk(b"door", b"file"), b"caught"),
                lambda: found.content(b"caught"),
                lambda: found.unlinkat(b"caught"),
            ):
                with contextlib.suppress(Refused):
                    act()
                    reached += 1
        assert reached, "the race was never won by anybody"


# --- shares that are read-only ----------------------------------------------------------------------------------------

CHANGES: dict[str, Act] = {
    "open for writing": lambda c: c.lopen(c.walk(b"file"), os.O_WRONLY),
    "open for both": lambda c: c.lopen(c.walk(b"file"), os.O_RDWR),
    "open for neither": lambda c: c.lopen(c.walk(b"file"), os.O_WRONLY | os.O_RDWR),
    "open and cut off": lambda c: c.lopen(c.walk(b"file"), os.O_RDONLY | os.O_TRUNC),
    "create": lambda c: c.lcreate(b"new"),
    "create what is there": lambda c: c.lcreate(b"file", flags=os.O_RDWR | os.O_CREAT | os.O_TRUNC),
    "mkdir": lambda c: c.mkdir(b"new"),
    "symlink": lambda c: c.symlink(b"new", b"file"),
    "mknod": lambda c: c.mknod(b"new", stat.S_IFREG | 0o644),
    "link": lambda c: c.link(c.walk(b"file"), b"new"),
    "rename": lambda c: c.rename(c.walk(b"file"), b"new"),
    "renameat": lambda c: c.renameat(b"file", b"new"),
    "unlink": lambda c: c.unlinkat(b"file"),
    "rmdir": lambda c: c.unlinkat(b"folder", 0x200),
    "remove": lambda c: c.remove(c.walk(b"file")),
    "write": lambda c: c.write(c.lopen(c.walk(b"file")), b"x"),
    "mode": lambda c: c.setattr(c.walk(b"file"), Change(mode=0o777)),
    "owner": lambda c: c.setattr(c.walk(b"file"), Change(owner=(12, 12))),
    "size": lambda c: c.setattr(c.walk(b"file"), Change(size=0)),
    "times": lambda c: c.setattr(c.walk(b"file"), Change(times=(1, 1))),
    "attribute": lambda c: c.set_xattr(c.walk(b"file"), b"user.x", b"y"),
}


@pytest.mark.parametrize("act", CHANGES.values(), ids=CHANGES)
def test_a_read_only_share_refuses_every_change(read_only: Share, act: Act) -> None:
    before = read_only.world.seen_inside()
    with pytest.raises(Refused):
        act(read_only.client)
    assert read_only.world.seen_inside() == before


# --- the older dialect ------------------------------------------------------------------------------------------------

SYMLINK, DEVICE, SET_UID = 0x0200_0000, 0x0080_0000, 0x0008_0000


def stat_with_name(name: bytes) -> bytes:
    """What Twstat of 9P2000.u takes: nothing but a new name."""
    body = (
        struct.pack("<HI", 0xFFFF, 0xFFFF_FFFF)
        + b"\xff" * 13
        + b"\xff" * 20
        + text(name)
        + 4 * text(b"")
        + b"\xff" * 12
    )
    return struct.pack("<HH", len(body) + 2, len(body)) + body


OLDER: dict[str, Act] = {
    "a link": lambda c: c.open(c.walk(b"far")),
    "a link, cut off": lambda c: c.open(c.walk(b"far"), 0x11),
    "create outside": lambda c: c.create(b"../outside/new", 0o644),
    "create above": lambda c: c.create(b"..", 0o644),
    "create over a link": lambda c: c.create(b"far", 0o644),
    "rename above": lambda c: c.ask(Kind.WSTAT, struct.pack("<I", c.walk(b"file")) + stat_with_name(b"..")),
    "a hard link of nobody": lambda c: c.create(b"new", 0x0100_0000, b"12345"),
    "no device": lambda c: c.create(b"new", DEVICE | 0o666, b"x y z"),
}


@pytest.mark.parametrize("act", OLDER.values(), ids=OLDER)
def test_nor_in_the_older_dialect(share: Share, act: Act) -> None:
    share.client.begin(version=b"9P2000.u")
    with pytest.raises(Refused):
        act(share.client)


def test_the_one_request_that_ends_qemu_ends_nothing_else(served: Served) -> None:
    """A rename to a path, by Twstat: QEMU 7.2 asserts that nobody asks for it, QEMU 10 refuses it."""
    with fresh(served, "none", writable=True) as share:
        share.client.begin(version=b"9P2000.u")
        body = struct.pack("<I", share.client.walk(b"file")) + stat_with_name(b"../outside/new")
        try:
            with pytest.raises(Refused):
                share.client.ask(Kind.WSTAT, body)
        except MachineDied:
            served.again()
        assert os.path.exists(share.world.inside("file"))


def test_links_and_devices_of_the_older_dialect(share: Share) -> None:
    found = share.client
    found.begin(version=b"9P2000.u")
    found.create(b"made", SYMLINK, f"{share.world.outside}/file".encode())
    with contextlib.suppress(Refused):
        found.read(found.open(found.walk(b"made")))
    if not share.trusts_root:
        with contextlib.suppress(Refused):
            found.create(b"device", DEVICE | 0o666, b"c 1 3")


# --- requests that are none -------------------------------------------------------------------------------------------


def raw(kind: int, body: bytes = b"", *, size: int | None = None, room: int = MSIZE) -> Act:
    return lambda c: c.send(message(kind, body, size=size), room)


def descriptors(*pieces: Piece) -> Act:
    """As they are: `message` lies where the first one may point to."""

    def act(c: NinepClient) -> None:
        at = c.device.write(message(Kind.WALK, struct.pack("<IIH", ROOT, 1, 0)))
        c.device.submit([Piece(piece.address or at, piece.length, piece.flags, piece.following) for piece in pieces])

    return act


WALK = struct.pack("<IIH", ROOT, 1, 0)
GARBAGE: dict[str, Act] = {
    "no size": raw(Kind.WALK, WALK, size=0),
    "a size that ends in the header": raw(Kind.WALK, WALK, size=6),
    "a size that ends in the body": raw(Kind.WALK, WALK, size=10),
    "a size beyond the message": raw(Kind.WALK, WALK, size=4096),
    "a size beyond msize": raw(Kind.WALK, WALK, size=MSIZE + 1),
    "the largest size": raw(Kind.WALK, WALK, size=0xFFFF_FFFF),
    "three bytes": lambda c: c.send(b"abc"),
    "nothing at all": lambda c: c.send(b""),
    "a message beyond msize": raw(Kind.WRITE, struct.pack("<IQI", 1, 0, 2 * MSIZE) + bytes(2 * MSIZE)),
    "no room for an answer": raw(Kind.WALK, WALK, room=0),
    "room for half a header": raw(Kind.WALK, WALK, room=3),
    "room for half an answer": raw(Kind.GETATTR, struct.pack("<IQ", ROOT, 0x7FF), room=40),
    "a kind that is none": raw(1),
    "the largest kind": raw(255, bytes(100)),
    "an answer": raw(Kind.WALK + 1, WALK),
    "an error": raw(Kind.LERROR, bytes(4)),
    "seventeen names": raw(Kind.WALK, struct.pack("<IIH", ROOT, 1, 17) + 17 * text(b"folder")),
    "65,535 names that are not there": raw(Kind.WALK, struct.pack("<IIH", ROOT, 1, 0xFFFF)),
    "sixteen names, one of them cut": raw(Kind.WALK, struct.pack("<IIH", ROOT, 1, 16) + 15 * text(b"x") + b"\xff\xffx"),
    "a name beyond the message": raw(Kind.WALK, struct.pack("<IIHH", ROOT, 1, 1, 0xFFFF) + b"file"),
    "a walk onto itself": raw(Kind.WALK, struct.pack("<IIH", ROOT, ROOT, 1) + text(b"..")),
    "a walk onto no fid": raw(Kind.WALK, struct.pack("<IIH", ROOT, NO_FID, 0)),
    "read far beyond msize": lambda c: c.read(c.lopen(c.walk(b"file")), 0, 0xFFFF_FFFF),
    "read at the largest offset": lambda c: c.read(c.lopen(c.walk(b"file")), 2**64 - 1, 100),
    "read with no room": lambda c: c.send(
        message(Kind.READ, struct.pack("<IQI", c.lopen(c.walk(b"file")), 0, 0xFFFF_FFFF)), 11
    ),
    "list far beyond msize": lambda c: c.ask(Kind.READDIR, struct.pack("<IQI", c.lopen(c.walk()), 0, 0xFFFF_FFFF)),
    "list from the largest offset": lambda c: c.ask(
        Kind.READDIR, struct.pack("<IQI", c.lopen(c.walk()), 2**64 - 1, 4096)
    ),
    "list with no room": lambda c: c.send(message(Kind.READDIR, struct.pack("<IQI", c.lopen(c.walk()), 0, 4096)), 20),
    "write more than is sent": lambda c: c.ask(
        Kind.WRITE, struct.pack("<IQI", c.lopen(c.walk(b"file"), os.O_RDWR), 0, 0xFFFF_FFFF) + b"x"
    ),
    "write at the largest offset": lambda c: c.write(c.lopen(c.walk(b"file"), os.O_RDWR), b"x", 2**64 - 1),
    "cut to the largest size": lambda c: c.setattr(c.walk(b"file"), Change(size=2**64 - 1)),
    "an attribute of the largest size": lambda c: c.ask(
        Kind.XATTRCREATE, struct.pack("<I", c.walk(b"file")) + text(b"user.x") + struct.pack("<QI", 2**64 - 1, 0)
    ),
    "an attribute beyond what is kept": lambda c: c.ask(
        Kind.XATTRCREATE, struct.pack("<I", c.walk(b"file")) + text(b"user.x") + struct.pack("<QI", 65537, 0)
    ),
    "no msize": lambda c: c.begin(msize=0),
    "an msize below the least": lambda c: c.begin(msize=100),
    "the largest msize": lambda c: c.begin(msize=0xFFFF_FFFF),
    "a version that is none": raw(Kind.VERSION, struct.pack("<I", MSIZE) + text(b"9P1066")),
    "a version beyond the message": raw(Kind.VERSION, struct.pack("<IH", MSIZE, 0xFFFF) + b"9P"),
    "a second share on the same fid": lambda c: c.attach(ROOT),
    "authentication": raw(Kind.AUTH, struct.pack("<I", 5) + text(b"root") + text(b"") + struct.pack("<I", 0)),
    "a flush of itself": raw(Kind.FLUSH, struct.pack("<H", 1)),
    "a flush of nothing": raw(Kind.FLUSH, struct.pack("<H", NO_TAG)),
    "descriptors in a ring": descriptors(Piece(0, 17, NEXT, 1), Piece(0, 64, FROM_DEVICE | NEXT, 0)),
    "a descriptor beyond memory": descriptors(Piece(1 << 40, 4096, NEXT, 1), Piece(0, 64, FROM_DEVICE)),
    "an answer beyond memory": descriptors(Piece(0, 17, NEXT, 1), Piece(1 << 40, 4096, FROM_DEVICE)),
    "an answer over the registers": descriptors(Piece(0, 17, NEXT, 1), Piece(0xE000_0000, 4096, FROM_DEVICE)),
    "a descriptor of 4 GiB": descriptors(Piece(0, 0xFFFF_FFFF, NEXT, 1), Piece(0, 64, FROM_DEVICE)),
    "a descriptor after the last": descriptors(Piece(0, 17, NEXT, 60_000)),
    "an indirect descriptor": descriptors(Piece(0, 17, INDIRECT)),
    "an answer before its request": descriptors(Piece(0, 64, FROM_DEVICE | NEXT, 1), Piece(0, 17)),
    "a descriptor of no length": descriptors(Piece(0, 0, NEXT, 1), Piece(0, 64, FROM_DEVICE)),
}


@pytest.mark.parametrize("act", GARBAGE.values(), ids=GARBAGE)
def test_garbage_ends_nothing_but_its_session(client: NinepClient, act: Act) -> None:
    """An error, a device that wants to be reset, or an answer that is harmless; after a reset it works again."""
    with contextlib.suppress(Refused, DeviceBroken):
        act(client)
    client.begin()
    assert client.content(b"folder", b"file") == b"inside\n"


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.FLUSH], ids=lambda kind: kind.name)
def test_a_request_that_is_cut_short_is_refused(client: NinepClient, kind: Kind) -> None:
    for length in range(0, 24, 3):
        with contextlib.suppress(DeviceBroken):
            found, _ = client.send(message(kind, bytes(length)))
            assert found in {Kind.LERROR + 1, Kind.ERROR + 1, kind + 1}
    client.begin()
    assert client.content(b"file") == b"inside\n"


def test_nothing_is_answered_before_the_first_word(served: Served) -> None:
    client = served.clients["none", True]
    client.device.start(queues=1, requests=0)
    for kind, body in ((Kind.ATTACH, struct.pack("<II", 0, NO_FID) + 2 * text(b"") + bytes(4)), (Kind.WALK, WALK)):
        with contextlib.suppress(Refused, DeviceBroken):
            client.ask(kind, body)
    client.begin()
    assert client.content(b"file") == b"inside\n"
