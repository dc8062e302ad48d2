#!/bin/sh
# Only with: UPGRADE_PACKAGES
# After an upgrade of all packages with dnf: a reboot where a new kernel or library asks for one.
set -eu
command -v needs-restarting >/dev/null 2>&1 || exit 0
! needs-restarting -r >/dev/null || exit 0
touch "$LIMA_REBOOT_REQUIRED"
systemctl reboot
