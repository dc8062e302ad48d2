"""Guests have directories of the host mounted, writable ones among them: what our scripts do recursively, they do to
these as well. So they do nothing recursively, but where no mount can be."""

import glob
import os
import re

from tests.unit.guest.test_firstboot import REPO

RECURSIVE = re.compile(
    r"\brm\s+(-\w+\s+)*-\w*[rR]|--recursive|\brmtree\b|\bfind\b.*(-delete|-exec\s+rm)|\b(chown|chmod|chgrp)\s+(-\w+\s+)*-\w*R"
    r"|\"(chown|chmod)\", \"-R\"|\brsync\b.*--delete|\bxargs\b.*\brm\b"
)
KNOWN = {
    # a folder that `mktemp -d` has made just before
    ("boot/boot.Linux/40-install-containerd.sh", 'rm -rf "$folder"'),
    # `lib/lima-guestagent` below its prefix: no mount may be above or below it (`domain/mount_plan.py`)
    ("agent/lima_guestagent/install.py", "shutil.rmtree(aside, ignore_errors=True)"),
    ("agent/lima_guestagent/install.py", "shutil.rmtree(old, ignore_errors=True)"),
    # before anything is mounted, and `~/.ssh` may be no mount point
    ("initramfs/tiny/etc/rc", 'chown -R "$uid:$uid" "$home"'),
    ("firstboot/rootfs/usr/lib/lima/firstboot", 'guest.run("chown", "-R", "%s:" % name, home + "/.ssh")'),
}  # fmt: skip


def test_every_recursive_command_of_a_guest_is_known_to_stay_off_its_mounts() -> None:
    guest = os.path.join(REPO, "guest")
    found = set()
    for path in glob.glob(f"{guest}/**", recursive=True):
        if not os.path.isfile(path) or path.endswith((".pyc", "/lima-guestagent")):
            continue
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
        found |= {(os.path.relpath(path, guest), line.strip()) for line in lines if RECURSIVE.search(line)}
    assert found == KNOWN
