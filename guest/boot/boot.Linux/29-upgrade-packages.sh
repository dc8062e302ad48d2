#!/bin/sh
# Only with: UPGRADE_PACKAGES
# `upgradePackages`, once, in guests whose seed is read by our own unit; elsewhere cloud-init has done it.
set -eu
[ -d /var/lib/lima ] || exit 0
done=/var/lib/lima-provision/upgraded
[ ! -e "$done" ] || exit 0
lima-need --upgrade
mkdir -p "${done%/*}"
touch "$done"
