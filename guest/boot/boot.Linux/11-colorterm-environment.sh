#!/bin/sh
# Only where: /etc/ssh/sshd_config.d
# Lets ssh pass COLORTERM on.
set -eu
file=/etc/ssh/sshd_config.d/99-lima-colorterm.conf
[ ! -e "$file" ] || exit 0
echo 'AcceptEnv COLORTERM' >"$file"
if command -v systemctl >/dev/null 2>&1; then
	systemctl reload --no-block ssh 2>/dev/null || systemctl reload --no-block sshd 2>/dev/null || :
elif command -v rc-service >/dev/null 2>&1; then
	rc-service ssh reload 2>/dev/null || rc-service sshd reload || :
fi
