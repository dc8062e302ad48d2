#!/bin/sh
# Only where: /run/systemd/system
# A user whose uid is one of the system's may read the journal as other users of the machine may.
set -eu
[ "$LIMA_CIDATA_UID" -lt 1000 ] && grep -q '^systemd-journal:' /etc/group || exit 0
id -nG "$LIMA_CIDATA_USER" | grep -qw systemd-journal || usermod -aG systemd-journal "$LIMA_CIDATA_USER"
