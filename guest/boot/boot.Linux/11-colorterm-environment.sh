#!/bin/sh
# Lets ssh pass COLORTERM on.
set -eu
file=/etc/ssh/sshd_config.d/99-lima-colorterm.conf
[ -d /etc/ssh/sshd_config.d ] || exit 0
[ ! -e "$file" ] || exit 0
echo 'AcceptEnv COLORTERM' >"$file"
if command -v systemctl >/dev/null 2>&1; then
	systemctl reload --no-block ssh 2>/dev/null || systemctl reload --no-block sshd 2>/dev/null || :
elif command -v rc-service >/dev/null 2>&1; then
	rc-service sshd reload || :
fi
