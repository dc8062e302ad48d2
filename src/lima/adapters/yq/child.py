"""The FileRewriter port: the engine in a process of its own, under limits that the kernel keeps.

The engine's own limits do not interrupt a regular expression that backtracks, nor an index that makes a list of a
thousand million items; and what it needs of memory would stay with whoever loaded it.
"""

import json
import resource
import sys
from collections.abc import Sequence

from lima.adapters.yq.engine import YaqpyQuery
from lima.domain.errors import YqError
from lima.ports.process_runner import ProcessRunner

MAX_SECONDS = 20
MAX_MEMORY = 1 << 30
MAX_RESULT = 1_000_000
"""Bytes: less than what a runner keeps of an output."""
_REFUSED = 3


class ChildRewriter:
    """Starts a child for each file.

    Args:
        runner: runs it.
        command: the words that make it call `serve`.
        max_seconds: of processor time.
    """

    def __init__(self, runner: ProcessRunner, command: Sequence[str], *, max_seconds: int = MAX_SECONDS) -> None:
        self._runner = runner
        self._command = tuple(command)
        self._max_seconds = max_seconds

    async def rewrite(self, expression: str, text: str | None, *, file_format: str) -> str:
        request = {"expression": expression, "text": text, "format": file_format, "seconds": self._max_seconds}
        done = await self._runner.run(self._command, stdin=json.dumps(request).encode(), inherit_env=True)
        if done.exit_code == 0:
            return done.stdout.decode()
        if done.exit_code == _REFUSED:
            raise YqError(done.stderr.decode(errors="replace").strip())
        raise YqError(
            f"yq expression {json.dumps(expression[:200])} took too much: more than {self._max_seconds} s"
            f" or {MAX_MEMORY >> 20} MiB ({done.complaint})"
        )


def serve() -> int:
    """One request from standard input to standard output; the exit status."""
    request = json.loads(sys.stdin.buffer.read())
    _limit(resource.RLIMIT_CPU, request["seconds"])
    _limit(resource.RLIMIT_AS, MAX_MEMORY)
    try:
        changed = YaqpyQuery().rewrite(request["expression"], request["text"], file_format=request["format"]).encode()
        if len(changed) > MAX_RESULT:
            raise YqError(f"the file would have {len(changed)} bytes, of at most {MAX_RESULT}")
    except YqError as error:
        sys.stderr.write(error.message)
        return _REFUSED
    sys.stdout.buffer.write(changed)
    return 0


def _limit(what: int, most: int) -> None:
    _, hard = resource.getrlimit(what)
    resource.setrlimit(what, (most, hard))
