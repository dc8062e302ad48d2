"""Putting the agent into place: unpacked below a prefix, and registered with systemd."""

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile

from . import log
from .cli import InstallError

TYPE_CHECKING = False  # the module of that name costs start time
if TYPE_CHECKING:
    from .cli import Options

NAME = "lima-guestagent"
UNIT = "/etc/systemd/system/lima-guestagent.service"
MAX_FILES = 1000
UNIT_TEXT = """\
[Unit]
Description=lima-guestagent
StartLimitIntervalSec=0

[Service]
ExecStart=%s
Type=simple
Restart=on-failure
RestartSec=1
OOMPolicy=continue
OOMScoreAdjust=-500

[Install]
WantedBy=multi-user.target
"""


def unpack(archive: str, prefix: str) -> None:
    """Put the modules of `archive` below PREFIX/lib and a launcher into PREFIX/bin. Modules that lie in a folder start
    the agent twice as fast: Python keeps them compiled. Complete or not at all.

    Raises: InstallError.
    """
    target = os.path.join(prefix, "lib", NAME)
    launcher = os.path.join(prefix, "bin", NAME)
    try:
        for folder in (os.path.dirname(target), os.path.dirname(launcher)):
            os.makedirs(folder, mode=0o755, exist_ok=True)
        aside = tempfile.mkdtemp(prefix=".%s." % NAME, dir=os.path.dirname(target))
        try:
            _extract(archive, aside)
            os.chmod(aside, 0o755)
            _replace_folder(aside, target)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
        # -I: nothing of the environment or the current folder is imported into a root process; -S: nor of site-packages
        text = '#!/bin/sh\nexec %s -IS %s "$@"\n' % (_quoted(sys.executable), _quoted(target))
        _write(launcher, text, 0o755)
    except (OSError, zipfile.BadZipFile) as error:
        raise InstallError("cannot install %s below %s: %s" % (archive, prefix, error)) from error


def _extract(archive: str, folder: str) -> None:
    with zipfile.ZipFile(archive) as members:
        for name in members.namelist()[:MAX_FILES]:
            path = os.path.join(folder, name)
            os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
            with open(path, "wb") as file:
                file.write(members.read(name))
            os.chmod(path, 0o644)


def _replace_folder(new: str, target: str) -> None:
    old = new + ".old"
    if os.path.lexists(target):
        os.rename(target, old)
    os.rename(new, target)
    shutil.rmtree(old, ignore_errors=True)


def _write(path: str, text: str, mode: int) -> None:
    handle, aside = tempfile.mkstemp(prefix="." + os.path.basename(path), dir=os.path.dirname(path))
    with os.fdopen(handle, "w") as file:
        file.write(text)
        os.fchmod(file.fileno(), mode)
    os.rename(aside, path)


def _quoted(word: str) -> str:
    return "'%s'" % word.replace("'", "'\\''")


def own_command(here: str) -> str:
    """How this agent is started: by the launcher of the installed one, else by its own file."""
    launcher = os.path.join(os.path.dirname(os.path.dirname(here)), "bin", NAME)
    return launcher if os.path.isdir(here) and os.path.exists(launcher) else here


def unit_text(command: str, options: "Options") -> str:
    """The systemd unit that runs `command` with the flags that were given."""
    words = [command, "daemon"]
    if options.debug:
        words.append("--debug")
    if options.vsock_port:
        words += ["--vsock-port", str(options.vsock_port)]
    if options.virtio_port:
        words += ["--virtio-port", options.virtio_port]
    if options.socket_owner >= 0:
        words += ["--socket-owner", str(options.socket_owner)]
    return UNIT_TEXT % " ".join([_for_systemd(word) for word in words] + ['--runtime-dir="%t/%N"'])


def _for_systemd(word: str) -> str:
    if any(c.isspace() or not c.isprintable() for c in word):
        raise InstallError("%r cannot be written into a unit" % word)
    for special in ("\\", '"', "'"):
        word = word.replace(special, "\\" + special)
    return word.replace("%", "%%").replace("$", "$$")


def install_systemd(here: str, options: "Options", unit: str = UNIT) -> None:
    """Write the unit; enable and (re)start it where it or the agent changed. Raises: InstallError."""
    text = unit_text(own_command(here), options)
    try:
        with open(unit) as file:
            changed = file.read() != text
    except OSError:
        changed = True
    if not changed and not options.guestagent_updated:
        log.debug("%s is as it should be" % unit)
        return
    if changed:
        try:
            os.makedirs(os.path.dirname(unit), mode=0o755, exist_ok=True)
            _write(unit, text, 0o644)
        except OSError as error:
            raise InstallError("cannot write %s: %s" % (unit, error)) from error
        log.info("wrote %s" % unit)
        _systemctl("daemon-reload")
        _systemctl("enable", os.path.basename(unit))
    # starts it, too
    _systemctl("restart", os.path.basename(unit))


def _systemctl(*words: str) -> None:
    command = ("systemctl", "--system", *words)
    try:
        done = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        said = done.communicate()[1].decode("utf-8", "replace").strip()
    except OSError as error:
        raise InstallError("cannot run systemctl: %s" % error) from error
    if done.returncode != 0:
        raise InstallError("`%s` exited with %d: %s" % (" ".join(command), done.returncode, said[-500:]))
