#!/bin/sh
# Only where: /run/openrc
# OpenRC: control groups, for containers.
set -eu
[ -e /etc/init.d/cgroups ] || exit 0
rc-update -q add cgroups default
rc-service -q --ifstopped cgroups start
