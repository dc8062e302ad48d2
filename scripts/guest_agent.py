"""guest_agent.py OUTPUT: the guest agent as one executable file, from guest/agent and the wheels of requirements/guest-*.txt.

The same sources give the same bytes on any machine: members are sorted, stored without compression, dated 1980, and
the wheels are pinned by their hashes.
"""

import glob
import os
import subprocess
import sys
import tempfile
import zipfile

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
GENERATIONS = ("py36", "py39")
PACKAGES = ("h2", "hpack", "hyperframe")
PREFIX = b"""\
#!/bin/sh
# Lima's guest agent: Python modules behind these lines of shell, which look for a Python 3 to run them.
# `check` says by its exit status whether there is one.
for python in /usr/bin/python3 /usr/local/bin/python3 python3 /usr/libexec/platform-python; do
	if command -v "$python" >/dev/null 2>&1; then
		[ "$*" != check ] || exec "$python" -IS -c 'import sys, asyncio, zipfile; sys.exit(sys.version_info < (3, 6))'
		exec "$python" -IS "$0" "$@"
	fi
done
echo "lima-guestagent: there is no Python 3 on this machine" >&2
exit 127
"""


def fetch(generation: str, folder: str) -> list[str]:
    """The wheels of one generation. Ends the program with a sentence if they cannot be had."""
    lock = os.path.join(TOP, "requirements", f"guest-{generation}.txt")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
               "--only-binary=:all:", "--require-hashes", "--dest", folder, "--requirement", lock]  # fmt: skip
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(
            f"make: the wheels of {os.path.relpath(lock, TOP)} cannot be fetched, so there is no guest agent: "
            f"instances would start without port events, clock and tunnels.\n{done.stderr.strip()}"
        )
    return sorted(glob.glob(os.path.join(folder, "*.whl")))


def vendored(wheel: str, generation: str) -> dict[str, bytes]:
    """Modules and licence of a wheel, by their path in the agent."""
    found = {}
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            top, _, rest = name.partition("/")
            if (top in PACKAGES and name.endswith(".py")) or (
                top.endswith(".dist-info") and os.path.basename(rest).startswith(("LICENSE", "LICENCE"))
            ):
                found[f"vendor/{generation}/{name}"] = archive.read(name)
    return found


def own() -> dict[str, bytes]:
    """The modules of guest/agent."""
    base = os.path.join(TOP, "guest", "agent")
    found = {}
    for path in glob.glob(os.path.join(base, "**", "*.py"), recursive=True):
        with open(path, "rb") as file:
            found[os.path.relpath(path, base).replace(os.sep, "/")] = file.read()
    return found


def build(output: str) -> None:
    """Write the agent to `output`, complete or not at all."""
    members = own()
    for generation in GENERATIONS:
        with tempfile.TemporaryDirectory() as folder:
            for wheel in fetch(generation, folder):
                members |= vendored(wheel, generation)
    aside = f"{output}.tmp"
    with open(aside, "wb") as file:
        file.write(PREFIX)
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for name, content in sorted(members.items()):
                entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
                entry.create_system = 3
                entry.external_attr = 0o100644 << 16
                archive.writestr(entry, content)
    os.chmod(aside, 0o755)
    os.replace(aside, output)


if __name__ == "__main__":
    build(sys.argv[1])
