#!/bin/sh
# Installs the guest agent that the seed carries and registers it with the service manager. The agent is our Python
# program, which is unpacked, or any executable file (upstream's static binary), which is copied. What is in place
# already stays untouched: the service then runs since long before this script.
set -eu
name=lima-guestagent
seed=$LIMA_CIDATA_MNT/$name
prefix=$LIMA_CIDATA_GUEST_INSTALL_PREFIX
binary=$prefix/bin/$name
stamp=/var/lib/$name/installed

if [ ! -f "$seed" ]; then
	echo "the seed carries no guest agent"
	exit 0
fi

place() {
	if [ "${LIMA_CIDATA_VSOCK_PORT:-0}" != 0 ]; then
		set -- --vsock-port "$LIMA_CIDATA_VSOCK_PORT"
	elif [ -n "${LIMA_CIDATA_VIRTIO_PORT:-}" ]; then
		set -- --virtio-port "$LIMA_CIDATA_VIRTIO_PORT"
	else
		set -- --socket-owner "$LIMA_CIDATA_UID"
	fi
	[ "${LIMA_CIDATA_DEBUG:-}" != true ] || set -- "$@" --debug
	echo "$*"
}

sum=$(sha256sum <"$seed")
state="${sum%% *} $prefix $(place)"
if [ -x "$binary" ] && [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$state" ]; then
	exit 0
fi

# a Python program begins with `#!`
updated=
if [ ! -x "$binary" ] || [ ! -f "$stamp" ] || [ "$(cut -d' ' -f1,2 "$stamp")" != "${sum%% *} $prefix" ]; then
	if [ "$(head -c 2 "$seed")" != '#!' ]; then
		mkdir -p "$prefix/bin"
		rm -f "$binary.new"
		install -m 0755 "$seed" "$binary.new"
		mv -f "$binary.new" "$binary"
	elif "$seed" --version >/dev/null 2>&1; then
		"$seed" unpack "$prefix"
	else
		problem="no usable Python 3 in this guest: there is no guest agent (port events, clock, tunnels)"
		echo "$problem"
		lima-progress boot skipped "${0##*/}" 0 0 "$problem"
		exit 0
	fi
	updated=--guestagent-updated
fi

if [ -d /run/systemd/system ]; then
	# an agent of old, which ran as the user
	rm -f "$LIMA_CIDATA_HOME/.config/systemd/user/$name.service"
	# shellcheck disable=SC2046,SC2086  # lists of words
	"$binary" install-systemd $updated $(place)
elif [ -x /sbin/openrc-run ]; then
	sed -n 's/^\([A-Za-z_][A-Za-z0-9_]*\)=\(.*\)$/\1="\2"/p' "$LIMA_CIDATA_MNT/lima.env" |
		grep '^LIMA_CIDATA_\(DEBUG\|VSOCK_PORT\|VIRTIO_PORT\|UID\)=' >"/etc/conf.d/$name"
	cat >"/etc/init.d/$name" <<OPENRC
#!/sbin/openrc-run
description="Lima's guest agent"
supervisor=supervise-daemon
command="$binary"
command_args="daemon --debug=\${LIMA_CIDATA_DEBUG} --vsock-port \"\${LIMA_CIDATA_VSOCK_PORT}\" --virtio-port \"\${LIMA_CIDATA_VIRTIO_PORT}\" --socket-owner \"\${LIMA_CIDATA_UID}\""
pidfile="/run/\${RC_SVCNAME}.pid"
output_log="/var/log/\${RC_SVCNAME}.log"
error_log="/var/log/\${RC_SVCNAME}.log"
OPENRC
	chmod 0755 "/etc/init.d/$name"
	rc-update add "$name" default >/dev/null
	rc-service "$name" restart
else
	echo "neither systemd nor OpenRC runs here: start \`$binary daemon $(place)\` yourself"
fi
mkdir -p "${stamp%/*}"
echo "$state" >"$stamp.new"
mv "$stamp.new" "$stamp"
