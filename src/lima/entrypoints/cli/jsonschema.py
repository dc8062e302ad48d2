"""`limactl generate-jsonschema`, hidden: for editors and for those who check templates."""

import sys

from lima.domain.errors import CommandError, StorageError
from lima.domain.instance import quote
from lima.domain.json_schema import schema_json, template_schema
from lima.domain.schema_check import misfits
from lima.domain.tree import plain
from lima.entrypoints.cli.context import current
from lima.wiring.container import Container


def generate_jsonschema(*files: str, schemafile: str = "") -> int:
    """Print the JSON schema of templates, or write it to a file and validate templates against it.

    Parameters
    ----------
    files
        Templates to validate, as they are written: bases are not read.
    schemafile
        Where to write the schema.
    """
    if not files:
        sys.stdout.write(schema_json())
        return 0
    if not schemafile:
        raise CommandError("need --schemafile to validate", hint="it is written there, too")
    _write(schemafile)
    _, log = current()
    schema, parser = template_schema(), Container().template_parser()
    for file in files:
        value = plain(parser.read(_read(file), origin=file).root)
        if found := misfits(value if value is not None else {}, schema):
            raise CommandError(f"{quote(file)} does not keep to the schema:\n" + "\n".join(found))
        log.record("info", f"{quote(file)}: OK")
    return 0


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError as error:
        raise CommandError(f"open {path}: {(error.strerror or str(error)).lower()}") from error


def _write(path: str) -> None:
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(schema_json())
    except OSError as error:
        raise StorageError(f"cannot write {quote(path)}: {(error.strerror or str(error)).lower()}") from error
