"""What `{{.Name}}` and the like stand for in the fields of a template. Source: reference, config §3.1."""

from collections.abc import Callable, Mapping

from lima.domain.errors import GoTemplateError
from lima.domain.gotemplate import simple
from lima.domain.host import HostFacts
from lima.domain.instance import hostname, quote
from lima.domain.values import Value

Variables = Mapping[str, object]
Expand = Callable[[str, Variables], str]
"""Go's template language in full: (text, variables) → text. Raises: GoTemplateError."""


class Naming(Value):
    """Which instance the variables are about. `directory` is its own, absolute, existing or not."""

    name: str
    directory: str
    params: Mapping[str, str] = {}
    """Those of the template itself: parameters of the default and override files reach no expansion."""


def host_variables(facts: HostFacts, naming: Naming) -> Variables:
    """For fields that name something on the host."""
    return {
        "Home": facts.home,
        "User": facts.user,
        "UID": str(facts.uid),
        "Name": naming.name,
        "Dir": naming.directory,
        "Param": naming.params,
        "GlobalTempDir": "/tmp" if facts.os != "windows" else facts.temp_dir,  # noqa: S108  what the name stands for
        "TempDir": facts.temp_dir,
        "Instance": naming.name,
        "LimaHome": facts.lima_home,
    }


def guest_variables(naming: Naming, *, home: str, user: str, uid: int) -> Variables:
    """For fields that name something in the guest."""
    return {
        "Home": home,
        "User": user,
        "UID": uid,
        "Name": naming.name,
        "Hostname": hostname(naming.name),
        "Param": naming.params,
    }


class Expander:
    """Expands fields; one that is no valid template keeps its text, with a warning, as upstream does."""

    def __init__(self, engine: Expand) -> None:
        self.engine = engine
        self.warnings: list[str] = []

    def __call__(self, text: str | None, variables: Variables, what: str) -> str:
        """`what` is what the warning calls the field."""
        if not text or "{{" not in text:
            return text or ""
        try:
            known = simple(text, variables)
            return known if known is not None else self.engine(text, variables)
        except GoTemplateError:
            self.warnings.append(f"Couldn't process {what} {quote(text)} as a template")
            return text
