#!/bin/sh
# The host, by the name that guests know it by.
set -eu
[ -n "${LIMA_CIDATA_SLIRP_GATEWAY:-}" ] || exit 0
wanted="$LIMA_CIDATA_SLIRP_GATEWAY	host.lima.internal"
grep -qxF "$wanted" /etc/hosts && exit 0
aside=$(mktemp)
grep -v 'host\.lima\.internal' /etc/hosts >"$aside" || :
printf '%s\n' "$wanted" >>"$aside"
# written in place: in containers and on some images /etc/hosts is a mount
cat "$aside" >/etc/hosts
rm -f "$aside"
