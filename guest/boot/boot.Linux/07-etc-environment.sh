#!/bin/sh
# The template's variables for every login, between our own markers; then sessions may begin.
set -eu
new=$LIMA_CIDATA_MNT/etc_environment
touch /etc/environment
aside=$(mktemp)
sed '/^#LIMA-START$/,/^#LIMA-END$/d' /etc/environment >"$aside"
if [ "$(wc -l <"$new")" -gt 2 ]; then
	cat "$new" >>"$aside"
fi
cmp -s "$aside" /etc/environment || cat "$aside" >/etc/environment
rm -f "$aside"
printf '%s\n' "$LIMA_CIDATA_IID" >/run/lima-ssh-ready
