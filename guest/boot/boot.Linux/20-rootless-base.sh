#!/bin/sh
# Only where: /run/systemd/system
# What rootless containers want of a systemd guest: delegated control groups, low ports and ping for users, sub-ids.
set -eu
user=$LIMA_CIDATA_USER uid=$LIMA_CIDATA_UID

# put FILE: standard input; succeeds where that changed it
put() {
	mkdir -p "${1%/*}"
	cat >"$1.lima-new"
	if cmp -s "$1.lima-new" "$1"; then
		rm "$1.lima-new"
		return 1
	fi
	mv "$1.lima-new" "$1"
}

if printf '[Service]\nDelegate=cpu cpuset io memory pids\n' | put /etc/systemd/system/user@.service.d/lima.conf; then
	systemctl daemon-reload
	# a session that began before: its services come again, with what is delegated now
	systemctl try-restart "user@$uid.service"
fi

settings() {
	echo "net.ipv4.ip_unprivileged_port_start=0"
	echo "net.ipv4.ping_group_range=0 2147483647"
	for wish in kernel.unprivileged_userns_clone=1 user.max_user_namespaces=28633; do
		key=${wish%=*} value=${wish#*=}
		file=/proc/sys/${key%.*}/${key#*.}
		# raised, never lowered
		[ ! -e "$file" ] || [ "$(cat "$file")" -ge "$value" ] || echo "$wish"
	done
}
if [ ! -e /etc/sysctl.d/99-lima.conf ]; then
	settings | put /etc/sysctl.d/99-lima.conf || :
	sysctl -q -p /etc/sysctl.d/99-lima.conf || :
fi

# above the uid of the user, which must not be among its own sub-ids
first=524288
[ "$uid" -lt "$first" ] || first=$(((uid / 65536 + 1) * 65536))
for file in /etc/subuid /etc/subgid; do
	grep -qs "^$user:" "$file" || echo "$user:$first:1073741824" >>"$file"
done

# as `loginctl enable-linger` notes it, without waiting for the session to begin
mkdir -p /var/lib/systemd/linger
: >"/var/lib/systemd/linger/$user"

# programs of rootless containers (iptables, …) lie where users do not look on every distribution
# shellcheck disable=SC2016  # expanded at login
block='# Lima BEGIN
export PATH="$PATH:/usr/sbin:/sbin"
# Lima END'
for file in .profile .bashrc .zshrc; do
	# .profile always, the others where the user has that shell
	[ "$file" = .profile ] || [ -e "$LIMA_CIDATA_HOME/$file" ] || continue
	file=$LIMA_CIDATA_HOME/$file
	grep -qs '^# Lima BEGIN' "$file" && continue
	is_new=''
	[ -e "$file" ] || is_new=1
	printf '%s\n' "$block" >>"$file"
	[ -z "$is_new" ] || chown "$user" "$file"
done
