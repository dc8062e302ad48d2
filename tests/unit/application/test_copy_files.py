"""What copies: the command lines, and which program is chosen. Source: reference, cli §8."""

import pytest

from lima.application.copy_files import CopyFiles, CopyRequest
from lima.application.run_shell import RunShell
from lima.domain.copying import Backend, Place, merged_config, parse_backend, parse_place
from lima.domain.errors import CommandError, InstanceError, InstanceNotFoundError, MissingToolError, WrongStateError
from lima.ports.process_runner import Finished
from lima.testing.fakes import FakeInstanceStore, FakeProcessRunner, FakeProcessTable

HOME = "/home/jane/.lima"
A, B = f"{HOME}/a/ssh.config", f"{HOME}/b.c/ssh.config"
RSYNC_A = ("rsync", "-a", "-q", "-e", f"ssh -F {A}", "--")
SCP_A = ("scp", "-F", A, "-q", "-3", "--")


class World:
    """Instances `a` and `b.c` that run, `stopped` that does not; rsync and scp on the host, rsync in all guests."""

    def __init__(self, *programs: str) -> None:
        self.store = FakeInstanceStore()
        self.runner = FakeProcessRunner((*programs, "ssh"))
        table = FakeProcessTable()
        for number, name in enumerate(("a", "b.c", "stopped")):
            self.store.create(name, {"lima.yaml": (b"", 0o644), "ssh.config": (b"", 0o600)})
            if name != "stopped":
                self.store.agents[name] = table.add(40 + number)
        self.copy = CopyFiles(
            store=self.store, runner=self.runner, check_running=RunShell(store=self.store).check_running
        )

    async def argv(
        self, *paths: str, recursive: bool = False, verbose: bool = False, backend: str = "auto"
    ) -> tuple[str, ...]:
        request = CopyRequest(paths=paths, recursive=recursive, verbose=verbose, backend=parse_backend(backend))
        command = await self.copy(request)
        return command.argv(command.configs[0] if command.configs else "/dev/null")

    def guests_have_no_rsync(self) -> None:
        missing = Finished(argv=(), exit_code=127, stdout=b"", stderr=b"")
        self.runner.answers[("ssh",)] = missing


@pytest.mark.parametrize(
    ("word", "place"),
    [
        ("a:/x", Place(instance="a", path="/x")),
        ("a:", Place(instance="a", path="")),
        ("a:~/x:y", Place(instance="a", path="~/x:y")),
        ("x", Place(instance="", path="x")),
        ("./x:y", Place(instance="", path="./x:y")),
        ("/x:y", Place(instance="", path="/x:y")),
    ],
)
def test_what_a_path_means(word: str, place: Place) -> None:
    assert parse_place(word) == place


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (("x", "a:"), (*RSYNC_A, "x", "lima-a:")),
        (("a:~/x", "y"), (*RSYNC_A, "lima-a:~/x", "y")),
        (("x", "y", "a:/tmp/"), (*RSYNC_A, "x", "y", "lima-a:/tmp/")),
        (("-x", "a:/t"), (*RSYNC_A, "-x", "lima-a:/t")),
        (("a:/x", "a:/y"), (*SCP_A, "lima-a:/x", "lima-a:/y")),
        (("a:/x", "b.c:/y"), (*SCP_A, "lima-a:/x", "lima-b-c:/y")),
        (("a:/x", "a:/y", "z"), (*SCP_A, "lima-a:/x", "lima-a:/y", "z")),
    ],
)
async def test_rsync_with_one_path_in_a_guest_else_scp(paths: tuple[str, ...], expected: tuple[str, ...]) -> None:
    assert await World("rsync", "scp").argv(*paths) == expected


@pytest.mark.parametrize("without", ["host", "guest"])
async def test_scp_where_rsync_is_missing_on_either_side(without: str) -> None:
    world = World("scp") if without == "host" else World("rsync", "scp")
    world.guests_have_no_rsync()
    assert await world.argv("x", "a:/y") == (*SCP_A, "x", "lima-a:/y")
    assert await world.argv("x", "a:/y", recursive=True, verbose=True) == (
        "scp", "-F", A, "-v", "-r", "-3", "--", "x", "lima-a:/y",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (("d", "a:/t"), ("d/", "lima-a:/t/")),
        (("d", "a:/t/"), ("d", "lima-a:/t/")),
        (("d/", "a:/t/"), ("d", "lima-a:/t/")),
        (("a:/d/", "t/"), ("lima-a:/d/", "t/")),
        (("a:/d", "t"), ("lima-a:/d/", "t/")),
        (("a:/d", "t/"), ("lima-a:/d/", "t")),
        (("/", "a:/t/"), ("/", "lima-a:/t/")),
    ],
)
async def test_rsync_of_folders_puts_them_where_scp_does(paths: tuple[str, ...], expected: tuple[str, ...]) -> None:
    argv = await World("rsync").argv(*paths, recursive=True, verbose=True)
    assert argv == ("rsync", "-a", "-v", "--progress", "-r", "-e", f"ssh -F {A}", "--", *expected)


async def test_a_chosen_backend_is_used_or_it_is_said_why_not() -> None:
    assert (await World("rsync", "scp").argv("x", "a:/y", backend="scp"))[0] == "scp"
    assert (await World("rsync").argv("x", "a:/y", backend="rsync"))[0] == "rsync"
    world = World("rsync", "scp")
    world.guests_have_no_rsync()
    with pytest.raises(CommandError, match=r"rsync not available on guest\(s\)"):
        await world.argv("x", "a:/y", backend="rsync")
    with pytest.raises(MissingToolError, match="rsync not found on host: "):
        await World("scp").argv("x", "a:/y", backend="rsync")
    with pytest.raises(MissingToolError, match="scp not found on host: "):
        await World("rsync").argv("x", "a:/y", backend="scp")
    with pytest.raises(MissingToolError, match="neither rsync nor scp found on host: "):
        await World().argv("x", "a:/y")
    with pytest.raises(CommandError, match="invalid backend `ftp`, must be one of: scp, rsync, auto"):
        parse_backend("ftp")


@pytest.mark.parametrize("backend", Backend)
@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        ("nope:/x", InstanceNotFoundError, "instance `nope` does not exist, run `limactl create nope`"),
        ("stopped:/x", WrongStateError, "instance `stopped` is stopped, run `limactl start stopped`"),
        ("a b:/x", InstanceError, "not a valid identifier"),
    ],
)
async def test_the_instances_must_run(backend: str, path: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        await World("rsync", "scp").argv("y", path, backend=backend)


async def test_several_instances_share_one_configuration() -> None:
    command = await World("scp").copy(CopyRequest(paths=("a:/x", "b.c:/y", "a:/z")))
    assert command.configs == (A, B)
    assert merged_config(command.configs) == f'Include "{A}"\nInclude "{B}"\n'
    assert command.argv("/tmp/merged")[:3] == ("scp", "-F", "/tmp/merged")


async def test_nothing_but_the_host() -> None:
    assert await World("scp").argv("x", "y") == ("scp", "-F", "/dev/null", "-q", "-3", "--", "x", "y")
