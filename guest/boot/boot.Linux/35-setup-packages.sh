#!/bin/sh
# Only with: MOUNTS UDP_DNS_LOCAL_PORT TCP_DNS_LOCAL_PORT
# What comes after the packages: users may share their mounts, and name resolution has its tools.
set -eu
if [ "${LIMA_CIDATA_MOUNTTYPE:-}" = reverse-sshfs ] && [ "${LIMA_CIDATA_MOUNTS:-0}" -gt 0 ]; then
	for file in /etc/fuse.conf /etc/fuse3.conf; do
		[ -e "$file" ] || [ "$file" = /etc/fuse.conf ] || continue
		grep -qsx 'user_allow_other' "$file" || echo user_allow_other >>"$file"
	done
	profile=/etc/apparmor.d/local/fusermount3
	if [ -e /etc/apparmor.d/fusermount3 ] && ! grep -qs '# Lima' "$profile"; then
		# the distribution's profile allows mounting in a few places only
		printf '# Lima\nmount fstype=@{fuse_types} -> /**,\numount /**,\n' >>"$profile"
		apparmor_parser -r /etc/apparmor.d/fusermount3 || :
	fi
	printf '%s\n' "$LIMA_CIDATA_IID" >/run/lima-fuse-ready
fi
if [ "${LIMA_CIDATA_UDP_DNS_LOCAL_PORT:-0}${LIMA_CIDATA_TCP_DNS_LOCAL_PORT:-0}" != 00 ]; then
	"$LIMA_CIDATA_MNT/boot.Linux/09-host-dns-setup.sh"
fi
