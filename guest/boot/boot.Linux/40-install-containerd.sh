#!/bin/sh
# Only with: CONTAINERD_USER CONTAINERD_SYSTEM
# containerd: with nerdctl from the archive in the seed, for the system and for the user; where there is no archive, the
# distribution's containerd alone. That nerdctl is absent is said and fails nothing.
set -eu
wants_user=${LIMA_CIDATA_CONTAINERD_USER:-} wants_system=${LIMA_CIDATA_CONTAINERD_SYSTEM:-}
prefix=${LIMA_CIDATA_GUEST_INSTALL_PREFIX:-/usr/local}
archive=$LIMA_CIDATA_MNT/${LIMA_CIDATA_CONTAINERD_ARCHIVE:-nerdctl-full.tgz}

from_distribution() {
	echo "warning: nerdctl is absent, because the seed holds no nerdctl archive"
	if ! lima-need containerd; then
		echo "warning: the distribution has no containerd either"
		return
	fi
	if [ -d /run/systemd/system ]; then
		systemctl enable --now containerd.service
	elif [ -e /etc/init.d/containerd ]; then
		rc-update -q add containerd default
		rc-service -q --ifstopped containerd start
	fi
	echo "containerd comes from the distribution"
}

# newer INSTALLED OFFERED
newer() {
	[ "$1" != "$2" ] && [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | tail -n 1)" = "$2" ]
}

version() {
	"$1" --version 2>/dev/null | sed 's/.*version v*//'
}

unpack() {
	# unpacking is slow: the archive is known by its size and its beginning
	note=$prefix/share/lima/nerdctl-archive
	offered="$(stat -c %s "$archive") $(head -c 1048576 "$archive" | sha256sum | cut -d' ' -f1)"
	if [ "$(cat "$note" 2>/dev/null)" = "$offered" ] && [ -x "$prefix/bin/nerdctl" ]; then
		return
	fi
	if [ -x "$prefix/bin/nerdctl" ] && [ ! -e "$note.begun" ]; then
		folder=$(mktemp -d)
		tar -xzf "$archive" -C "$folder" bin/nerdctl
		offered_version=$(version "$folder/bin/nerdctl")
		rm -rf "$folder"
		newer "$(version "$prefix/bin/nerdctl")" "$offered_version" || return 0
	fi
	mkdir -p "${note%/*}"
	touch "$note.begun"
	tar -xzf "$archive" -C "$prefix"
	sync
	printf '%s\n' "$offered" >"$note"
	rm -f "$note.begun"
	is_new=1
}

allow_user_namespaces() {
	# where AppArmor lets only programs with a profile make them
	[ "$(cat /proc/sys/kernel/apparmor_restrict_unprivileged_userns 2>/dev/null)" = 1 ] || return 0
	profile=/etc/apparmor.d/$(echo "${prefix#/}/bin/rootlesskit" | tr / .)
	[ ! -e "$profile" ] || return 0
	printf 'abi <abi/4.0>,\ninclude <tunables/global>\n"%s" flags=(unconfined) {\n\tuserns,\n}\n' \
		"$prefix/bin/rootlesskit" >"$profile"
	apparmor_parser -r "$profile"
}

is_new=''
if [ ! -e "$archive" ]; then
	from_distribution
	exit 0
fi
unpack
if [ ! -d /run/systemd/system ]; then
	echo "warning: nerdctl is installed; containerd is started by systemd, which this guest has not"
	exit 0
fi
[ -z "$is_new" ] || systemctl daemon-reload
if [ -n "$wants_system" ]; then
	systemctl enable --now containerd.service buildkit.service
	[ -z "$is_new" ] || systemctl try-restart containerd.service buildkit.service
fi
if [ -n "$wants_user" ]; then
	allow_user_namespaces
	systemctl start "user@$LIMA_CIDATA_UID.service"
	for tool in install install-buildkit-containerd; do
		sudo -iu "$LIMA_CIDATA_USER" "XDG_RUNTIME_DIR=/run/user/$LIMA_CIDATA_UID" \
			"$prefix/bin/containerd-rootless-setuptool.sh" "$tool"
	done
fi
