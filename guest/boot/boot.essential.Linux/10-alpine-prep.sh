#!/bin/sh
# Only where: /etc/alpine-release
# Alpine: package sources of the running branch, sudo, an account that sshd lets in, forwarding, the power button.
set -eu
if ! grep -q '^[^#].*/main' /etc/apk/repositories 2>/dev/null; then
	case "$(cat /etc/alpine-release)" in
	*_alpha* | *_git*) branch=edge ;;
	*) branch=v$(cut -d. -f1,2 /etc/alpine-release) ;;
	esac
	for kind in main community; do
		echo "https://dl-cdn.alpinelinux.org/alpine/$branch/$kind"
	done >/etc/apk/repositories
fi
command -v sudo >/dev/null 2>&1 || apk add --no-progress sudo
# `!` in place of a password locks the account for keys as well
case "$(sed -n "s/^$LIMA_CIDATA_USER:\([^:]*\):.*/\1/p" /etc/shadow)" in
'!'*) echo "$LIMA_CIDATA_USER:*" | chpasswd -e ;;
esac
config=/etc/ssh/sshd_config
if ! grep -qx 'AllowTcpForwarding yes' "$config"; then
	# in front: the first mention of a setting counts
	{ echo 'AllowTcpForwarding yes' && sed '/^#*AllowTcpForwarding/d' "$config"; } >"$config.lima-new"
	mv "$config.lima-new" "$config"
	rc-service --ifstarted sshd reload
fi
rc-update add acpid default >/dev/null 2>&1 || :
rc-service --ifstopped acpid start || :
