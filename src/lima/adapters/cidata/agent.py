"""The guest agent that a seed carries: ours, built from `guest/agent`, or a binary that the template names."""

import gzip
import logging
import os
import zlib

from lima.domain.errors import TemplateInvalidError
from lima.domain.parameters import GUEST_AGENT_PARAM

logger = logging.getLogger(__name__)
MAX_BYTES = 128 << 20
ELF = b"\x7fELF"


def load_guest_agent(built: str, *, named: str = "") -> bytes:
    """The executable file's content; empty, with a warning, where ours was not built.

    Args:
        built: where ours lies.
        named: the template's choice: a path on this host (`~` is home) of an ELF binary, gzipped if it ends in `.gz`.

    Raises: TemplateInvalidError, for a choice that is no such file: a template must not give any other file of the
        host to its guest this way.
    """
    if named:
        return _binary(os.path.expanduser(named))
    try:
        with open(built, "rb") as file:
            return file.read()
    except FileNotFoundError:
        logger.warning("%s is missing: the guest gets no agent; `make %s` builds it", built, "guest/lima-guestagent")
        return b""


def _binary(path: str) -> bytes:
    try:
        with gzip.open(path, "rb") if path.endswith(".gz") else open(path, "rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise TemplateInvalidError((f"param.{GUEST_AGENT_PARAM}: cannot read {path}: {error}",)) from error
    if not content.startswith(ELF) or len(content) > MAX_BYTES:
        raise TemplateInvalidError((f"param.{GUEST_AGENT_PARAM}: {path} is no Linux executable",))
    return content
