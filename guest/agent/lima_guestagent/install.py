"""Putting the agent into place: unpacked below a prefix, and registered with systemd."""

import importlib.util
import os
import shutil
import sys
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
    if importlib.util.find_spec("asyncio") is None:
        raise InstallError("this Python has no asyncio: its distribution has the standard library in another package")
    target = os.path.join(prefix, "lib", NAME)
    launcher = os.path.join(prefix, "bin", NAME)
    try:
        for folder in (os.path.dirname(target), os.path.dirname(launcher)):
            os.makedirs(folder, mode=0o755, exist_ok=True)
        aside = "%s.%d.new" % (target, os.getpid())
        os.mkdir(aside, 0o755)
        try:
            _extract(archive, aside)
            _replace_folder(aside, target)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
        # -I: nothing of the environment or the current folder is imported into a root process; -S: nor of site-packages
        text = '#!/bin/sh\nexec %s -IS %s "$@"\n' % (_quoted(sys.executable), _quoted(target))
        _write(launcher, text, 0o755)
    except (OSError, zipfile.BadZipFile) as error:
        raise InstallError("cannot install %s below %s: %s" % (archive, prefix, error)) from error


def generation() -> str:
    """Which of the HTTP/2 libraries this Python takes (as __main__.py has it)."""
    return "py39" if sys.version_info >= (3, 9) else "py36"


def _extract(archive: str, folder: str) -> None:
    with zipfile.ZipFile(archive) as members:
        for name in members.namelist()[:MAX_FILES]:
            if name.startswith("vendor/") and not name.startswith("vendor/%s/" % generation()):
                continue
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
    aside = "%s.%d.new" % (path, os.getpid())
    with open(aside, "w") as file:
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
    """Write the unit; enable and (re)start it where it or the agent changed. With `--prefix` the agent that runs puts
    itself there first. Raises: InstallError."""
    command = own_command(here)
    if options.prefix:
        unpack(here, options.prefix)
        command = os.path.join(options.prefix, "bin", NAME)
    before, text = _read(unit), unit_text(command, options)
    if before == text and not options.guestagent_updated:
        log.debug("%s is as it should be" % unit)
        return
    if before != text:
        try:
            _enable(unit)
            _write(unit, text, 0o644)
        except OSError as error:
            raise InstallError("cannot write %s: %s" % (unit, error)) from error
        log.info("wrote %s" % unit)
    if before is not None and before != text:
        _systemctl("daemon-reload")  # a unit that is new is read when it is started
    # starts it, too; that it runs is systemd's business and not waited for
    _systemctl("--no-block", "restart", os.path.basename(unit))


def _read(path: str) -> "str | None":
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return None


def _enable(unit: str) -> None:
    """What `systemctl enable` does, without its reload of everything: seconds in an emulated guest."""
    wants = os.path.join(os.path.dirname(unit), "multi-user.target.wants")
    os.makedirs(wants, mode=0o755, exist_ok=True)
    link = os.path.join(wants, os.path.basename(unit))
    if not os.path.lexists(link):
        os.symlink(unit, link)


def _systemctl(*words: str) -> None:
    command = ["systemctl", "--system", *words]
    code = os.spawnvp(os.P_WAIT, command[0], command)
    if code != 0:
        raise InstallError("`%s` exited with %d" % (" ".join(command), code))
