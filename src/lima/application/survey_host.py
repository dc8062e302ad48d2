"""What the host says about a filled template: the paths it names, its playbooks, its networks."""

from lima.domain.defaults import Playbook, Survey
from lima.domain.errors import LocatorError, TemplateSyntaxError
from lima.domain.host import HostFacts
from lima.domain.host_paths import PathKind
from lima.domain.networks import KnownNetworks
from lima.domain.template import Template
from lima.domain.validation import Surroundings, named_paths
from lima.domain.values import Value
from lima.ports.host_files import HostFiles
from lima.ports.template_reader import NetworksParser

MAX_PLAYBOOK_BYTES = 4 * 1024 * 1024
_MAX_NETWORKS_BYTES = 4 * 1024 * 1024


class SurveyHost(Value):
    """Never raises: what cannot be read is part of the answer."""

    files: HostFiles
    networks: NetworksParser
    facts: HostFacts
    version: str

    def __call__(self, filled: Template) -> Survey:
        surroundings = Surroundings(
            tool_version=self.version,
            host_os=self.facts.os,
            paths={path: self.files.state(path) for path in named_paths(filled)},
            networks=self._networks(filled),
        )
        playbooks = dict.fromkeys(step.playbook for step in filled.provision or () if step.playbook)
        texts = {path: self._playbook(path) for path in playbooks} if filled.param else {}
        return Survey(surroundings=surroundings, playbooks=texts)

    def _networks(self, filled: Template) -> KnownNetworks:
        path = f"{self.facts.lima_home}/_config/networks.yaml"
        if not any(network.lima for network in filled.networks or ()):
            return KnownNetworks()
        if self.files.state(path).kind is PathKind.MISSING:
            return KnownNetworks()
        try:
            content = self.files.read(path, _MAX_NETWORKS_BYTES)
            return self.networks.parse(content.decode(errors="surrogateescape"), origin=path)
        except (LocatorError, TemplateSyntaxError) as error:
            return KnownNetworks(problem=f"cannot parse `{path}`: {error.message}")

    def _playbook(self, path: str) -> Playbook:
        try:
            return Playbook(text=self.files.read(path, MAX_PLAYBOOK_BYTES).decode(errors="replace"))
        except LocatorError as error:
            return Playbook(problem=error.message)
