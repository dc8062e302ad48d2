#!/bin/sh
# Only with: MOUNTS CONTAINERD_USER CONTAINERD_SYSTEM UDP_DNS_LOCAL_PORT
# Programs that this instance needs and the guest does not have. The user's `dependency` steps have run before.
set -eu
if [ -n "${LIMA_DEPENDENCIES_FAILED:-}" ]; then
	echo "a dependency step failed: no package is installed" >&2
	exit 1
fi
[ -z "${LIMA_CIDATA_SKIP_DEFAULT_DEPENDENCY_RESOLUTION:-}" ] || exit 0
set --
if [ "${LIMA_CIDATA_MOUNTTYPE:-}" = reverse-sshfs ] && [ "${LIMA_CIDATA_MOUNTS:-0}" -gt 0 ]; then
	set -- "$@" sshfs
fi
if [ -n "${LIMA_CIDATA_CONTAINERD_USER:-}${LIMA_CIDATA_CONTAINERD_SYSTEM:-}" ]; then
	set -- "$@" iptables tar
fi
if [ -n "${LIMA_CIDATA_CONTAINERD_USER:-}" ]; then
	set -- "$@" newuidmap fusermount3
fi
[ "$#" -eq 0 ] || lima-need "$@"
# a guest that cannot have it asks the name server of its network: no boot fails for that
if [ "${LIMA_CIDATA_UDP_DNS_LOCAL_PORT:-0}" -ne 0 ] && ! command -v nft >/dev/null 2>&1; then
	lima-need iptables || echo "no iptables: host.lima.internal and the like are known from /etc/hosts alone" >&2
fi
