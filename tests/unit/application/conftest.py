"""A world of fakes, and the use cases on it."""

from dataclasses import dataclass, field

import pytest

from lima.adapters.codec.yaml_patch import YamlTextPatcher
from lima.adapters.yq.engine import YaqpyQuery
from lima.application.create_instance import CreateInstance
from lima.application.delete_instance import DeleteInstance
from lima.application.draft_template import DraftTemplate
from lima.application.edit_by_hand import EditByHand
from lima.application.edit_instance import EditInstance
from lima.application.edit_text import EditText
from lima.application.embed_template import EmbedTemplate
from lima.application.fetch_nerdctl import FetchNerdctl
from lima.application.find_disk_use import FindDiskUse
from lima.application.observe_instance import ObserveInstance
from lima.application.prepare_instance import PrepareInstance
from lima.application.release_disks import ReleaseDisks
from lima.application.resolve_instance import ResolveInstance
from lima.application.restart_instance import RestartInstance
from lima.application.review_template import ReviewTemplate
from lima.application.run_playbooks import RunPlaybooks
from lima.application.start_instance import StartInstance
from lima.application.stop_instance import StopInstance
from lima.domain.defaults import Survey
from lima.domain.template import ContainerdSection, File, Image, Template
from lima.testing import fakes
from lima.testing.fakes.hosts import FACTS
from tests.resolving import no_engine, surroundings

VERSION = "2.2.0-py0.1.0"


def template(*locations: str, **fields: object) -> Template:
    """Without containerd, where it is not asked for."""
    fields.setdefault("containerd", ContainerdSection(user=False))
    return Template(images=tuple(Image(location=location, arch="x86_64") for location in locations), **fields)  # type: ignore[arg-type]


@dataclass
class World:
    store: fakes.FakeInstanceStore = field(default_factory=fakes.FakeInstanceStore)
    processes: fakes.FakeProcessTable = field(default_factory=fakes.FakeProcessTable)
    client: fakes.FakeHostAgentClient = field(default_factory=fakes.FakeHostAgentClient)
    images: fakes.FakeImageStore = field(default_factory=fakes.FakeImageStore)
    additional: fakes.FakeDiskStore = field(default_factory=fakes.FakeDiskStore)
    disks: fakes.FakeDiskTool = field(default_factory=fakes.FakeDiskTool)
    clock: fakes.FakeClock = field(default_factory=fakes.FakeClock)
    sink: fakes.FakeEventSink = field(default_factory=fakes.FakeEventSink)
    source: fakes.FakeTemplateSource = field(default_factory=fakes.FakeTemplateSource)
    parser: fakes.FakeTemplateParser = field(
        default_factory=lambda: fakes.FakeTemplateParser({"default": template("https://a.test/disk.qcow2")})
    )
    runner: fakes.FakeProcessRunner = field(default_factory=fakes.FakeProcessRunner)
    user_files: dict[str, bytes] = field(default_factory=dict)
    dialogue: fakes.FakeDialogue = field(default_factory=fakes.FakeDialogue)
    preflight_error: Exception | None = None

    def __post_init__(self) -> None:
        self.nerdctl = FetchNerdctl(files=self.images)
        self.launcher = fakes.FakeHostAgentLauncher(self.store, self.processes)
        self.processes.on_signal = self._forget

    def _forget(self, process: object, number: int) -> None:
        for table in (self.store.agents, self.store.drivers):
            for name in [name for name, known in table.items() if known == process]:
                del table[name]
                if table is self.store.agents and number != 9:
                    # an agent that is asked to stop ends its guest
                    driver = self.store.drivers.pop(name, None)
                    if driver is not None:
                        self.processes.alive.pop(driver.pid, None)

    @property
    def resolve(self) -> ResolveInstance:
        return ResolveInstance(
            store=self.store, parser=self.parser, facts=FACTS, version=VERSION, user_config=lambda _file: None,
            survey=lambda _filled: Survey(surroundings=surroundings()), engine=no_engine,
        )  # fmt: skip

    @property
    def embed(self) -> EmbedTemplate:
        return EmbedTemplate(source=self.source, parser=self.parser, facts=FACTS)

    @property
    def edit_text(self) -> EditText:
        """yq itself: it touches nothing, and no fake would know its language."""
        return EditText(query=YaqpyQuery, patcher=YamlTextPatcher)

    @property
    def draft(self) -> DraftTemplate:
        return DraftTemplate(embed=self.embed, parser=self.parser, edit=self.edit_text, facts=FACTS)

    @property
    def review(self) -> ReviewTemplate:
        by_hand = EditByHand(dialogue=self.dialogue, facts=FACTS, user_config=self.user_files.get)
        return ReviewTemplate(
            dialogue=self.dialogue, drafts=self.draft, edit=by_hand, templates=self.source, progress=self.sink
        )

    @property
    def edit(self) -> EditInstance:
        return EditInstance(
            store=self.store, observe=self.observe, resolve=self.resolve, parser=self.parser, edit=self.edit_text,
            facts=FACTS, progress=self.sink,
        )  # fmt: skip

    @property
    def observe(self) -> ObserveInstance:
        return ObserveInstance(store=self.store, client=self.client)

    @property
    def prepare(self) -> PrepareInstance:
        return PrepareInstance(store=self.store, images=self.images, disks=_Disks(self), nerdctl=self.nerdctl)

    @property
    def create(self) -> CreateInstance:
        async def preflight(_config: object) -> None:
            if self.preflight_error is not None:
                raise self.preflight_error

        return CreateInstance(
            store=self.store, processes=self.processes, templates=self.source, draft=self.draft, review=self.review,
            resolve=self.resolve, prepare=self.prepare,
            preflight=preflight, facts=FACTS, version=VERSION, progress=self.sink,
        )  # fmt: skip

    @property
    def find_disk_use(self) -> FindDiskUse:
        return FindDiskUse(instances=self.store)

    @property
    def release_disks(self) -> ReleaseDisks:
        return ReleaseDisks(disks=self.additional, instances=self.store)

    @property
    def stop(self) -> StopInstance:
        return StopInstance(
            store=self.store, processes=self.processes, observe=self.observe, release_disks=self.release_disks,
            progress=self.sink,
        )  # fmt: skip

    @property
    def start(self) -> StartInstance:
        return StartInstance(
            store=self.store, processes=self.processes, observe=self.observe, resolve=self.resolve, create=self.create,
            edit=self.edit, prepare=self.prepare, stop=self.stop, launcher=self.launcher, clock=self.clock, progress=self.sink,
            run_playbooks=RunPlaybooks(
                store=self.store, runner=self.runner, clock=self.clock, progress=self.sink
            ),
        )  # fmt: skip

    @property
    def restart(self) -> RestartInstance:
        return RestartInstance(
            store=self.store,
            observe=self.observe,
            stop=self.stop,
            start=self.start,
            edit=self.edit,
            progress=self.sink,
        )

    @property
    def delete(self) -> DeleteInstance:
        return DeleteInstance(
            store=self.store, processes=self.processes, observe=self.observe, stop=self.stop, progress=self.sink
        )


class _Disks:
    """The disks' tool, whose files the store has as well."""

    def __init__(self, world: World) -> None:
        self._world = world

    def __getattr__(self, name: str) -> object:
        tool = getattr(self._world.disks, name)

        async def call(path: str, **arguments: object) -> object:
            result = await tool(path, **arguments)
            if name.startswith("create"):
                instance, _, file = path.removeprefix("/home/jane/.lima/").partition("/")
                self._world.store.write(instance, file, b"disk")
            return result

        return call


@pytest.fixture
def world() -> World:
    return World()


__all__ = ["File", "World", "template"]
