"""`limactl list`. Light: on the quick path; YAML, yq and Go templates are loaded where the output needs them."""

import gc
import os
import sys

from lima.application.list_instances import Listing
from lima.domain.errors import LimaError
from lima.domain.instance import FileName, quote
from lima.domain.record import FIELD_NAMES, InstanceRecord, table, to_json, without_empty_maps
from lima.entrypoints.cli.globals import GlobalOptions
from lima.entrypoints.cli.list_request import ListRequest
from lima.entrypoints.cli.output import Log
from lima.wiring import quick


def run(request: ListRequest, options: GlobalOptions) -> int:
    """Print the instances; 1 where a name matches nothing."""
    log = Log(options)
    gc.disable()  # over before there is garbage in cycles: looking for it takes a twentieth of the time
    try:
        request.check()
        if request.list_fields:
            sys.stdout.write("".join(f"{name}\n" for name in FIELD_NAMES))
            return 0
        return _list(request, log)
    except LimaError as error:
        return log.fatal(error)
    finally:
        gc.enable()


def _list(request: ListRequest, log: Log) -> int:
    names = request.names
    present = quick.store().names()
    if not present and not names:
        log.record("warning", "No instance found. Run `limactl create` to create an instance.")
        return 0
    unmatched = tuple(name for name in names if name not in present)
    for name in unmatched:
        log.record("warning", f"No instance matching {name} found.")
    if request.names_only and not request.yq and not request.filters:
        sys.stdout.write("".join(f"{name}\n" for name in names or present if name in present))
    elif not names or len(unmatched) < len(names):
        listing = quick.list_instances()(names)
        _say_what_is_half_made(listing, log)
        if names:
            unmatched += listing.vanished
        records = tuple(record for record in listing.records if _passes(record, request.filters))
        sys.stdout.write(_shown(records, request))
        for record in records:
            if record.errors:
                log.record("warning", f"instance {quote(record.name)} has errors", errors="; ".join(record.errors))
    if unmatched:
        log.record("fatal", "unmatched instances")
        return 1
    return 0


def _say_what_is_half_made(listing: Listing, log: Log) -> None:
    """Source: reference, cli §9.2."""
    if missing := next((record for record in listing.records if not record.has_config), None):
        directory, _, _ = missing.directory.rpartition("/")
        reason = f"stat {missing.directory}/{FileName.CONFIG}: no such file or directory"
        log.record("warning", f"The directory {quote(directory)} does not look like a valid Lima directory: {reason}")
    for name in listing.vanished:
        log.record("warning", f"Skipping instance {quote(name)}: it is gone (being cloned or deleted?)")


def _passes(record: InstanceRecord, filters: tuple[str, ...]) -> bool:
    """Source: reference, cli §9.4: without the deprecated keys, the message as it is, errors as texts."""
    if not filters:
        return True
    line = _line(to_json(record, host={}) | {"message": record.message})
    return all(quick.query_json(f"select({expression})", line) for expression in filters)


def _shown(records: tuple[InstanceRecord, ...], request: ListRequest) -> str:
    match request.output:
        case "json":
            return _as_json(records, request.expression)
        case "yaml":
            return quick.as_yaml([to_json(record, host=quick.host_fields()) for record in records], request.expression)
        case "table" if request.names_only:
            return "".join(f"{record.name}\n" for record in records)
        case "table":
            width = os.get_terminal_size().columns if sys.stdout.isatty() else None
            home, arch = os.environ.get("HOME", ""), os.uname().machine
            return table(records, home=home, width=width, host_arch=arch, all_fields=request.all_fields)
        case template:
            host = quick.host_fields()
            return "".join(f"{quick.formatted(template, to_json(record, host=host))}\n" for record in records)


def _as_json(records: tuple[InstanceRecord, ...], expression: str) -> str:
    host = quick.host_fields()
    lines = [_line(without_empty_maps(to_json(record, host=host))) + "\n" for record in records]
    if expression:
        lines = [quick.query_json(expression, line) for line in lines]
    is_terminal = sys.stdout.isatty() or bool(os.environ.get("_LIMA_OUTPUT_IS_TTY"))
    return "".join(_indented(line) for line in lines) if is_terminal else "".join(lines)


def _line(value: object) -> str:
    import json

    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _indented(line: str) -> str:
    """For a person: an object over several lines, anything else as it is."""
    import json

    if not line.startswith("{"):
        return line
    return json.dumps(json.loads(line), ensure_ascii=False, indent=4) + "\n"
