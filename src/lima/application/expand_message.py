"""The `message` of a template, as it is shown after a start. Source: reference, config §3.4."""

from collections.abc import Mapping
from dataclasses import dataclass

from lima.application.list_instances import ListInstances
from lima.domain.errors import GoTemplateError
from lima.domain.record import to_json
from lima.ports.go_templates import GoTemplates


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpandMessage:
    """Returns the text and a warning: a message that is no valid Go template is shown as it was written.

    Expanded once; upstream expands the result again, which a parameter's value should not be able to use.
    """

    listing: ListInstances
    templates: GoTemplates
    host: Mapping[str, str]
    """The deprecated fields `HostOS`, `HostArch`, `LimaHome` and `IdentityFile`."""

    def __call__(self, name: str, text: str) -> tuple[str, str]:
        if "{{" not in text:
            return text, ""
        (record,) = self.listing((name,)).records
        try:
            return self.templates.format(text, to_json(record, host=dict(self.host)), record=True), ""
        except GoTemplateError as error:
            return text, f"cannot expand the message of instance `{name}`: {error.message}"
