"""The templates that come with the program, resolved as on a host that holds nothing else."""

import functools
from pathlib import Path
from typing import Any

from lima.adapters.codec.networks_reader import YamlNetworksParser
from lima.adapters.codec.yaml_reader import YamlTemplateParser
from lima.adapters.codec.yaml_writer import write_value
from lima.adapters.gotemplate.engine import GotplTemplates
from lima.adapters.templates.source import Reach, TemplateFiles
from lima.application.embed_template import Embedded, EmbedTemplate
from lima.application.resolve_instance import Examined, ResolveInstance
from lima.application.survey_host import SurveyHost
from lima.domain.host import HostFacts
from lima.domain.machine import Arch, HostOS
from lima.domain.tree import plain
from lima.testing import fakes
from lima.testing.fakes.host_files import FakeHostFiles
from tests.resolving import VERSION
from tests.strategies import JANE

FOLDER = Path(__file__).parents[1] / "templates"
PARTS = tuple(sorted(str(path.relative_to(FOLDER))[:-5] for path in FOLDER.rglob("*.yaml")))
"""All files, by the names that locators use."""
NAMES = tuple(name for name in PARTS if not name.startswith("_"))
"""Those that `--list-templates` shows."""
UPSTREAM = tuple((Path(__file__).parent / "data/templates/upstream.txt").read_text(encoding="ascii").split())
"""The names that upstream ships."""
HOSTS = {
    "vz": JANE.but(os=HostOS.DARWIN, arch=Arch.AARCH64, home="/Users/jane", lima_home="/Users/jane/.lima"),
    "wsl2": JANE.but(os=HostOS.WINDOWS),
}
"""The host that a template of this `vmType` is for; all others are resolved on Jane's Linux."""


def text(name: str) -> str:
    """A file as it is."""
    return (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")


@functools.cache
def _files() -> FakeHostFiles:
    return FakeHostFiles({f"/builtin/{name}.yaml": text(name) for name in PARTS})


def _refuse(*_: object) -> Any:
    raise AssertionError("nothing but files")


def _rawhide(scheme: str, rest: str) -> str | None:
    """In place of the program that finds the image of the day."""
    return "template:_images/fedora-44" if (scheme, rest) == ("fedora-rawhide", "_images/fedora-rawhide") else None


def source(facts: HostFacts = JANE) -> TemplateFiles:
    """Where they are looked up."""
    reach = Reach(fetch=_refuse, ask=_refuse, stdin=_refuse, plugin=_rawhide)
    return TemplateFiles(facts, builtin_dirs=("/builtin",), files=_files(), reach=reach)


@functools.cache
def embedded(name: str) -> Embedded:
    """With its bases. Raises: LimaError."""
    templates = source()
    embed = EmbedTemplate(source=templates, parser=YamlTemplateParser(), facts=JANE)
    return embed(templates.read(f"template:{name}"))


def content(name: str) -> Any:
    """The plain value of a template with its bases."""
    return plain(embedded(name).tree.root)


def architectures(name: str) -> tuple[str, ...]:
    """Those that it names: its own, or those of its images; the host's where it names none."""
    data = content(name)
    named = [data["arch"]] if "arch" in data else [image["arch"] for image in data["images"] if "arch" in image]
    return tuple(dict.fromkeys(named)) or (str(JANE.arch),)


def examined(name: str, arch: str = str(JANE.arch), *, default: str = "") -> Examined:
    """The filled template and what is wrong with it, for a guest of that architecture, with a `default.yaml`."""
    facts = HOSTS.get(content(name).get("vmType", ""), JANE)
    survey = SurveyHost(files=FakeHostFiles(), networks=YamlNetworksParser(), facts=facts, version=VERSION)
    resolve = ResolveInstance(
        store=fakes.FakeInstanceStore(),
        parser=YamlTemplateParser(),
        facts=facts,
        version=VERSION,
        user_config={"override.yaml": f"arch: {arch}\n".encode(), "default.yaml": default.encode()}.get,
        survey=survey,
        engine=GotplTemplates(to_yaml=write_value).expand,
    )
    whole = embedded(name)
    return resolve.template(whole.text, origin=name, tree=whole.tree)
