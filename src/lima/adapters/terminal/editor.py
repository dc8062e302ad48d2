"""Which editor, and a text that goes through it. Source: reference, cli §1.6."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping

from lima.domain.errors import CommandError
from lima.domain.instance import quote

FALLBACKS = ("editor", "vim", "vi", "emacs")


def choose_editor(environ: Mapping[str, str], which: Callable[[str], str | None] = shutil.which) -> str:
    """The path of the first that is there. As upstream, a variable names one program, without arguments.

    Raises: CommandError.
    """
    candidates = [environ.get("VISUAL", ""), environ.get("EDITOR", ""), *FALLBACKS]
    for candidate in candidates:
        if candidate and (path := which(candidate)):
            return path
    raise CommandError(
        "could not detect a text editor binary, try setting $EDITOR",
        hint="`--set` and the other flags change a configuration without an editor",
    )


async def edit_text(text: str, *, environ: Mapping[str, str]) -> str:
    """The text as the editor left it. Raises: CommandError."""
    editor = choose_editor(environ)
    descriptor, path = tempfile.mkstemp(prefix="lima-editor-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            file.write(text)
        process = await asyncio.create_subprocess_exec(editor, path)
        try:
            status = await process.wait()
        except asyncio.CancelledError:
            process.terminate()
            await process.wait()
            raise
        if status != 0:
            raise CommandError(
                f"could not execute the editor {quote(editor)} for a file {quote(path)}: exit status {status}",
                hint="nothing has been changed",
            )
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            return file.read()
    except OSError as error:
        raise CommandError(f"could not edit a copy of the text: {error.strerror or error}") from error
    finally:
        # some editors write a new file in place of the old one, and may have taken it away
        if os.path.exists(path):
            os.unlink(path)
