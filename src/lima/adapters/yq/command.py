"""yq's own command line: `limactl yq …`. Files and the environment are in its reach. Source: reference, cli §13.3."""

import sys

import yaqpy
from yaqpy.cli.main import main

from lima.adapters.yq import operators  # noqa: F401  adds `load` and its kin

_OURS = frozenset({"--gui", "--web"})


def run_yq(words: list[str]) -> int:
    """The exit status: 0, or 1 with `Error: …` on stderr."""
    flags = words[: words.index("--")] if "--" in words else words
    if flags in (["--version"], ["-V"]):
        sys.stdout.write(f"yq (https://github.com/mikefarah/yq/) version v4 (yaqpy {yaqpy.__version__})\n")
        return 0
    if refused := next((word for word in flags if word in _OURS), None):
        sys.stderr.write(f"Error: unknown flag: {refused}\n")
        return 1
    # the library's remarks on style would mix with what yq says itself
    return main(["--lint", "off", *words])
