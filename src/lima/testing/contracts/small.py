"""Rules of the small ports."""

from collections.abc import Callable
from typing import Protocol

import pytest

from lima.domain.errors import StorageError
from lima.domain.events import AgentStatus
from lima.domain.progress import Level, Note, ProgressEvent, StageFinished, StageProgress, StageStarted
from lima.domain.record import Summary
from lima.ports.agent_client import HostAgentClient
from lima.ports.agent_feed import AgentEventLog, PortAllocator
from lima.ports.events import EventSink
from lima.ports.host import HostInspector
from lima.ports.host_agent import AgentLogs
from lima.ports.host_outbox import HostOutbox
from lima.ports.image_builder import ImageBuilder
from lima.ports.share_locations import ShareLocations
from lima.ports.ssh_client import SshClient
from lima.ports.ssh_keys import SshKeys
from lima.ports.summary_cache import SummaryCache


class EventSinkContract:
    """Fixture: `subject`."""

    @pytest.fixture
    def subject(self) -> EventSink:
        raise NotImplementedError("give the suite its subject")

    def test_it_takes_every_kind_of_event_and_any_text(self, subject: EventSink) -> None:
        hostile = "[red]\x1b[31m`%s` {} \N{SNOWMAN}\n"
        events: tuple[ProgressEvent, ...] = (
            StageStarted(stage="a", title=hostile),
            StageProgress(stage="a", done=1, total=0, unit="B", detail=""),
            StageProgress(stage="a", done=1, total=2, unit="B", detail=""),
            StageProgress(stage="unknown", detail=hostile),
            StageFinished(stage="a", title=hostile, seconds=1.0),
            StageFinished(stage="a", title=hostile, seconds=1.0, ok=False, detail=hostile),
            *(Note(message=hostile, level=level) for level in Level),
        )
        for event in events:
            subject.emit(event)


class AgentLogsWriter(Protocol):
    """What a test makes host agents say."""

    def write(self, name: str, line: bytes, note: Note) -> None:
        """The agent of an instance says one thing in each of its logs."""
        ...

    def begin_anew(self, name: str) -> None:
        """The instance starts again: its logs are new and empty."""
        ...


class AgentLogsContract:
    """Fixtures: `subject` and `writer`."""

    @pytest.fixture
    def subject(self) -> AgentLogs:
        raise NotImplementedError("give the suite its subject")

    @pytest.fixture
    def writer(self) -> AgentLogsWriter:
        raise NotImplementedError("give the suite who writes")

    def test_each_line_is_told_once_and_to_whom_it_belongs(self, subject: AgentLogs, writer: AgentLogsWriter) -> None:
        assert subject.events("a") == ()
        writer.write("a", b"1", Note(message="one", level=Level.WARNING))
        writer.write("b", b"2", Note(message="two"))
        assert [subject.events(name) for name in "aba"] == [(b"1",), (b"2",), ()]
        writer.write("a", b"3", Note(message="three"))
        assert subject.events("a") == (b"3",)
        assert subject.records("a") == (Note(message="one", level=Level.WARNING), Note(message="three"))

    def test_what_is_skipped_is_not_told(self, subject: AgentLogs, writer: AgentLogsWriter) -> None:
        writer.write("a", b"1", Note(message="one"))
        subject.skip("a")
        subject.skip("nobody")
        writer.write("a", b"2", Note(message="two"))
        assert subject.events("a") == (b"2",)
        assert subject.records("a") == (Note(message="two"),)

    def test_new_logs_are_read_from_their_start(self, subject: AgentLogs, writer: AgentLogsWriter) -> None:
        writer.write("a", b"1", Note(message="one"))
        subject.skip("a")
        writer.begin_anew("a")
        writer.write("a", b"2", Note(message="two"))
        assert subject.events("a") == (b"2",)
        assert subject.records("a") == (Note(message="two"),)


class PortAllocatorContract:
    """Fixture: `subject`."""

    @pytest.fixture
    def subject(self) -> PortAllocator:
        raise NotImplementedError("give the suite its subject")

    def test_a_free_port_is_an_unprivileged_port(self, subject: PortAllocator) -> None:
        assert 1024 <= subject.free_tcp_port() < 65536


class SummaryCacheContract:
    """Fixtures: `subject` and `reopened` (another object on the same cache); the instance `a` exists."""

    @pytest.fixture
    def subject(self) -> SummaryCache:
        raise NotImplementedError("give the suite its subject")

    @pytest.fixture
    def reopened(self, subject: SummaryCache) -> SummaryCache:
        return subject

    def test_what_was_put_is_got_even_by_another(self, subject: SummaryCache, reopened: SummaryCache) -> None:
        assert subject.get("a") is None
        summary = Summary(cpus=2, arch="x86_64", param={"k": "v"}, config={"cpus": 2})
        subject.put("a", summary)
        subject.flush()
        subject.flush()
        assert subject.get("a") == summary
        assert reopened.get("a") == summary
        assert reopened.get("b") is None


class HostInspectorContract:
    """Fixture: `subject`."""

    @pytest.fixture
    def subject(self) -> HostInspector:
        raise NotImplementedError("give the suite its subject")

    def test_the_facts_are_complete_and_stay(self, subject: HostInspector) -> None:
        facts = subject.facts()
        assert facts.user
        assert facts.machine_id
        assert min(facts.cpus, facts.memory_bytes) > 0
        assert facts.lima_home.startswith("/")
        assert subject.facts() == facts

    def test_what_is_missing_comes_with_a_command_where_one_is_known(self, subject: HostInspector) -> None:
        report = subject.tools()
        assert all(tool.needed_for for tool in report.tools)
        assert not report.may_install or report.install_command
        assert "\n" not in report.install_command


class SshKeysContract:
    """Fixture: `subject`."""

    @pytest.fixture
    def subject(self) -> SshKeys:
        raise NotImplementedError("give the suite its subject")

    async def test_the_identity_is_made_once(self, subject: SshKeys) -> None:
        assert await subject.identity() == await subject.identity()
        assert subject.authorized(with_dot_ssh=False)[0].startswith("ssh-ed25519 ")

    async def test_every_host_key_is_another(self, subject: SshKeys) -> None:
        first, second = await subject.new_host_key(), await subject.new_host_key()
        assert first != second
        assert first.public.startswith("ssh-ed25519 ")
        assert first.private.startswith("-----BEGIN ")
        assert len(first.public.split()) == 2


class SshClientContract:
    """Fixture: `subject`."""

    @pytest.fixture
    def subject(self) -> SshClient:
        raise NotImplementedError("give the suite its subject")

    def test_it_knows_its_version_and_says_it_again(self, subject: SshClient) -> None:
        assert subject.command
        assert subject.version() > (0, 0, 0)
        assert subject.version() == subject.version()
        assert isinstance(subject.has_fast_aes(), bool)


class AgentEventLogContract:
    """Fixture: `subject`. `published` reads what came out."""

    @pytest.fixture
    def subject(self) -> AgentEventLog:
        raise NotImplementedError("give the suite its subject")

    def published(self, subject: AgentEventLog) -> list[AgentStatus]:
        """What was published so far."""
        raise NotImplementedError("say how the events are read")

    def test_events_come_out_in_order(self, subject: AgentEventLog) -> None:
        said = [AgentStatus(ssh_local_port=1), AgentStatus(running=True, ssh_local_port=1), AgentStatus(exiting=True)]
        for status in said:
            subject.publish(status)
        assert self.published(subject) == said


class HostAgentClientContract:
    """Fixture: `subject`; nobody listens where it asks."""

    @pytest.fixture
    def subject(self) -> HostAgentClient:
        raise NotImplementedError("give the suite its subject")

    def test_everybody_asked_is_accounted_for(self, subject: HostAgentClient) -> None:
        answers = subject.ask({"a": "/nosuch/a.sock", "b": "/nosuch/b.sock"}, deadline_s=0.2)
        assert set(answers) == {"a", "b"}
        assert not any(answer.answered for answer in answers.values())
        assert subject.ask({}) == {}


class ImageBuilderContract:
    """Fixture: `subject`, which knows `bootstrap:tiny`."""

    @pytest.fixture
    def subject(self) -> ImageBuilder:
        raise NotImplementedError("give the suite its subject")

    def test_it_knows_its_own_locations(self, subject: ImageBuilder) -> None:
        assert subject.handles("bootstrap:tiny")
        assert not subject.handles("https://a.test/disk.qcow2")
        assert not subject.handles("/disk.qcow2")

    def test_equal_recipes_have_equal_keys_and_others_others(self, subject: ImageBuilder) -> None:
        key = subject.key("bootstrap:tiny", "x86_64")
        assert key == subject.key("bootstrap:tiny", "x86_64")
        assert len(key) == 64
        assert key != subject.key("bootstrap:tiny", "aarch64")
        assert subject.description("bootstrap:tiny", "x86_64")


class HostOutboxContract:
    """Fixtures: `subject`, `folder` (absolute, writable, without a link in it), `read` (a path's content or None)."""

    @pytest.fixture
    def subject(self) -> HostOutbox:
        raise NotImplementedError("give the suite its subject")

    @pytest.fixture
    def folder(self) -> str:
        raise NotImplementedError("give the suite a folder")

    @pytest.fixture
    def read(self) -> Callable[[str], bytes | None]:
        raise NotImplementedError("give the suite a way to look")

    def test_a_file_is_there_with_its_folders_and_is_replaced(
        self, subject: HostOutbox, folder: str, read: Callable[[str], bytes | None]
    ) -> None:
        path = f"{folder}/a/b/file.yaml"
        subject.put(path, b"one")
        subject.put(path, b"two")
        assert read(path) == b"two"

    def test_taking_away_twice_is_no_error(
        self, subject: HostOutbox, folder: str, read: Callable[[str], bytes | None]
    ) -> None:
        path = f"{folder}/file"
        subject.put(path, b"")
        subject.take_away(path)
        subject.take_away(path)
        subject.take_away(f"{folder}/never/was")
        assert read(path) is None

    @pytest.mark.parametrize("path", ["{}/../escaped", "relative", "/", ""])
    def test_paths_that_lead_elsewhere_are_refused(self, subject: HostOutbox, folder: str, path: str) -> None:
        with pytest.raises(StorageError):
            subject.put(path.format(folder), b"x")
        with pytest.raises(StorageError):
            subject.take_away(path.format(folder))


class ShareLocationsContract:
    """Fixtures: `subject`; `folder`, an absolute path, with an empty directory `there` and a file `file` in it."""

    @pytest.fixture
    def subject(self) -> ShareLocations:
        raise NotImplementedError("give the suite its subject")

    @pytest.fixture
    def folder(self) -> str:
        raise NotImplementedError("give the suite a folder")

    def test_what_is_there_is_left_as_it_is(self, subject: ShareLocations, folder: str) -> None:
        assert not subject.ensure(f"{folder}/there")

    def test_what_is_missing_is_made_once(self, subject: ShareLocations, folder: str) -> None:
        assert subject.ensure(f"{folder}/a/b")
        assert not subject.ensure(f"{folder}/a/b")
        assert not subject.ensure(f"{folder}/a")

    @pytest.mark.parametrize("path", ["file", "file/below"])
    def test_what_is_no_directory_is_refused(self, subject: ShareLocations, folder: str, path: str) -> None:
        with pytest.raises(StorageError, match="cannot be"):
            subject.ensure(f"{folder}/{path}")
