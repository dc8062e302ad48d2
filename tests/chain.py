"""The way of a template as the program goes it: real readers and engines, on a host that holds nothing but texts."""

from dataclasses import dataclass, field

from lima.adapters.codec.networks_reader import YamlNetworksParser
from lima.adapters.codec.yaml_reader import YamlTemplateParser
from lima.adapters.codec.yaml_writer import write_value
from lima.adapters.gotemplate.engine import GotplTemplates
from lima.application.copy_template import CopyMode, CopyTemplate
from lima.application.embed_template import EmbedTemplate
from lima.application.resolve_instance import ResolveInstance
from lima.application.survey_host import SurveyHost
from lima.testing import fakes
from lima.testing.fakes.host_files import FakeHostFiles
from tests.resolving import VERSION
from tests.strategies import JANE

TEMPLATE = "/t/template.yaml"


@dataclass
class Chain:
    """`texts`: templates and scripts by absolute path. `config`: files of LIMA_HOME/_config by name."""

    texts: dict[str, str] = field(default_factory=dict)
    config: dict[str, bytes] = field(default_factory=dict)

    def filled(self, text: str) -> str:
        """Embedded and filled. Raises: LimaError."""
        return self.copied(text, CopyMode.FILL)

    def copied(self, text: str, mode: CopyMode) -> str:
        """What `limactl template copy` prints of a template. Raises: LimaError."""
        return self._copy({**self.texts, TEMPLATE: text})(TEMPLATE, mode).text

    def problems(self, text: str) -> tuple[str, ...]:
        """What `limactl template validate` says. Raises: LimaError."""
        return self._copy({**self.texts, TEMPLATE: text}).validate(TEMPLATE, fill=True).problems

    def _copy(self, texts: dict[str, str]) -> CopyTemplate:
        source, parser = fakes.FakeTemplateSource(texts), YamlTemplateParser()
        files = FakeHostFiles()
        survey = SurveyHost(files=files, networks=YamlNetworksParser(), facts=JANE, version=VERSION)
        resolve = ResolveInstance(
            store=fakes.FakeInstanceStore(),
            parser=parser,
            facts=JANE,
            version=VERSION,
            user_config=self.config.get,
            survey=survey,
            engine=GotplTemplates(to_yaml=write_value).expand,
        )
        return CopyTemplate(
            source=source,
            embed=EmbedTemplate(source=source, parser=parser, facts=JANE),
            resolve=resolve,
            write=write_value,
        )
