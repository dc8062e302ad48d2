"""`limactl list`. Light: on the quick path."""

import os
import sys

from lima.domain.errors import LimaError
from lima.domain.record import InstanceRecord, table, to_json
from lima.entrypoints.cli.globals import GlobalOptions
from lima.entrypoints.cli.output import Log
from lima.wiring import quick


def run(names: tuple[str, ...], *, output: str, names_only: bool, all_fields: bool, options: GlobalOptions) -> int:
    """Print the instances; 1 where a name matches nothing."""
    log = Log(options)
    if names_only and output != "table":
        log.record("fatal", "option --quiet can only be used with '--format table'")
        return 1
    try:
        return _list(names, output=output, names_only=names_only, all_fields=all_fields, log=log)
    except LimaError as error:
        return log.fatal(error)


def _list(names: tuple[str, ...], *, output: str, names_only: bool, all_fields: bool, log: Log) -> int:
    store = quick.store()
    present = store.names()
    if not present and not names:
        log.record("warning", "No instance found. Run `limactl create` to create an instance.")
        return 0
    unmatched = tuple(name for name in names if name not in present)
    for name in unmatched:
        log.record("warning", f"No instance matching {name} found.")
    if names_only:
        sys.stdout.write("".join(f"{name}\n" for name in names or present if name in present))
    elif not names or len(unmatched) < len(names):
        listing = quick.list_instances()(names)
        _print(listing.records, output, all_fields=all_fields)
        for record in listing.records:
            if record.errors:
                log.record("warning", f"instance `{record.name}` has errors", errors="; ".join(record.errors))
    if unmatched:
        log.record("fatal", "unmatched instances")
        return 1
    return 0


def _print(records: tuple[InstanceRecord, ...], output: str, *, all_fields: bool) -> None:
    if output == "json":
        import json

        host = _host_fields()
        for record in records:
            value = _without_empty_maps(to_json(record, host=host))
            sys.stdout.write(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")
        return
    width = os.get_terminal_size().columns if sys.stdout.isatty() else None
    home = os.environ.get("HOME", "")
    sys.stdout.write(table(records, home=home, width=width, host_arch=os.uname().machine, all_fields=all_fields))


def _host_fields() -> dict[str, str]:
    from lima.wiring import factories_light

    home = factories_light.lima_home()
    return {
        "HostOS": "darwin" if sys.platform == "darwin" else "linux",
        "HostArch": os.uname().machine,
        "LimaHome": home,
        "IdentityFile": f"{home}/_config/user",
    }


def _without_empty_maps(value: object) -> object:
    if isinstance(value, dict):
        cleaned = {key: _without_empty_maps(item) for key, item in value.items()}
        return {key: item for key, item in cleaned.items() if item != {}}
    if isinstance(value, list):
        return [_without_empty_maps(item) for item in value]
    return value
