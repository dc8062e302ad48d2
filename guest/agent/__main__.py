"""Lima's guest agent: one file that any Python from 3.6 on runs. See lima_guestagent/cli.py for the commands."""

import os
import sys

here = os.path.dirname(os.path.abspath(__file__))
# two generations of the HTTP/2 library: the newest that runs on Python 3.6, and a current one. Installed is the one of
# the Python that installed it; should the guest have another Python since, the old generation still runs there
GENERATION = "py39" if sys.version_info >= (3, 9) else "py36"
sys.path[1:1] = [os.path.join(here, "vendor", name) for name in (GENERATION, "py36")]
# asyncio imports ssl where it finds it: 4 MiB and a quarter of the start time for nothing, this server speaks plaintext
sys.modules.setdefault("ssl", None)  # type: ignore[arg-type]

compiled = os.path.join(here, "lima_guestagent", "__pycache__")
is_first_start = os.path.isdir(here) and not os.path.isdir(compiled)

from lima_guestagent.cli import main  # noqa: E402

if is_first_start and sys.argv[1:2] == ["daemon"]:
    import lima_guestagent.daemon  # noqa: F401

    if os.path.isdir(compiled):
        # what compiling took, 5 MiB, is only given back by a process that did not compile
        os.execv(sys.executable, [sys.executable, "-IS", here, *sys.argv[1:]])

sys.exit(main(sys.argv))
