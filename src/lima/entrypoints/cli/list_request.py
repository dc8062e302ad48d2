"""What `limactl list` was asked for. Light: on the quick path. Source: reference, cli §9."""

from lima.domain.errors import CommandError
from lima.domain.values import Value

_SWITCHES = {
    "--json": "json",
    "-q": "names_only",
    "--quiet": "names_only",
    "--all-fields": "all_fields",
    "--list-fields": "list_fields",
}
_VALUED = {"-f": "given_format", "--format": "given_format", "--yq": "yq", "-l": "filters", "--filter": "filters"}


class ListRequest(Value):
    """The flags as given; `given_format` None: none was."""

    names: tuple[str, ...] = ()
    given_format: str | None = None
    json: bool = False
    names_only: bool = False
    all_fields: bool = False
    list_fields: bool = False
    yq: tuple[str, ...] = ()
    filters: tuple[str, ...] = ()

    @property
    def output(self) -> str:
        """`table`, `json`, `yaml`, or a Go template."""
        if self.json or (self.yq and self.given_format is None):
            return "json"
        return "table" if self.given_format is None else self.given_format

    @property
    def expression(self) -> str:
        """What is evaluated on each instance; empty: nothing."""
        return " | ".join((*self.yq, ".name") if self.names_only and self.yq else self.yq)

    def check(self) -> None:
        """Raises: CommandError for flags that exclude each other."""
        given = self.given_format
        if self.json and given is not None:
            raise CommandError("option --json conflicts with option --format", hint="leave one of them out")
        if self.list_fields:
            for flag, is_given in (("format", given is not None), ("yq", self.yq), ("filter", self.filters)):
                if is_given:
                    raise CommandError(f"option --list-fields conflicts with option --{flag}")
        if self.yq and given not in (None, "json", "yaml"):
            raise CommandError("option --yq only works with --format json or yaml")
        if self.names_only and (self.json or given not in (None, "table")):
            raise CommandError("option --quiet can only be used with '--format table'")


def parse(words: list[str]) -> ListRequest | None:
    """The request; None where the full program has to look at the words: unknown flags, values that are missing."""
    values: dict[str, object] = {}
    lists: dict[str, tuple[str, ...]] = {"names": (), "yq": (), "filters": ()}
    pending = list(words)
    while pending:
        word = pending.pop(0)
        flag, has_value, value = word.partition("=")
        if not word.startswith("-"):
            lists["names"] += (word,)
        elif word in _SWITCHES:
            values[_SWITCHES[word]] = True
        elif flag in _VALUED:
            if not has_value:
                if not pending:
                    return None
                value = pending.pop(0)
            name = _VALUED[flag]
            if name in lists:
                lists[name] += (value,)
            else:
                values[name] = value
        else:
            return None
    return ListRequest(**values, **lists)  # type: ignore[arg-type]  # names and kinds are those of the tables above
