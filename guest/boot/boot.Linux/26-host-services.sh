#!/bin/sh
# Where sockets of the host are put for containers.
set -eu
mkdir -p /run/host-services
chown "$LIMA_CIDATA_USER" /run/host-services
chmod 0700 /run/host-services
