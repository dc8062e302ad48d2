#!/bin/sh
# The guest by its own name (sudo wants to resolve it), and the host by the name that guests know it by.
set -eu
name=$(hostname)
grep -qwF "$name" /etc/hosts || printf '127.0.1.1\t%s\n' "$name" >>/etc/hosts
[ -n "${LIMA_CIDATA_SLIRP_GATEWAY:-}" ] || exit 0
wanted="$LIMA_CIDATA_SLIRP_GATEWAY	host.lima.internal"
grep -qxF "$wanted" /etc/hosts && exit 0
aside=$(mktemp)
grep -v 'host\.lima\.internal' /etc/hosts >"$aside" || :
printf '%s\n' "$wanted" >>"$aside"
# written in place: in containers and on some images /etc/hosts is a mount
cat "$aside" >/etc/hosts
rm -f "$aside"
