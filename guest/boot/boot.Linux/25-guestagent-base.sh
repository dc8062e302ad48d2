#!/bin/sh
# Only where: /mnt/lima-cidata/lima-guestagent
# Installs the guest agent that the seed carries and registers it with the service manager. The agent is our Python
# program, which unpacks itself, or any executable file (upstream's static binary), which is copied. What is in place
# already stays untouched: its service runs since long before this script.
set -eu
name=lima-guestagent
seed=$LIMA_CIDATA_MNT/$name
if [ ! -f "$seed" ]; then
	echo "the seed carries no guest agent"
	exit 0
fi
prefix=$LIMA_CIDATA_GUEST_INSTALL_PREFIX
binary=$prefix/bin/$name
stamp=$prefix/lib/$name.installed
if [ "${LIMA_CIDATA_VSOCK_PORT:-0}" != 0 ]; then
	set -- --vsock-port "$LIMA_CIDATA_VSOCK_PORT"
elif [ -n "${LIMA_CIDATA_VIRTIO_PORT:-}" ]; then
	set -- --virtio-port "$LIMA_CIDATA_VIRTIO_PORT"
else
	set -- --socket-owner "$LIMA_CIDATA_UID"
fi
[ "${LIMA_CIDATA_DEBUG:-}" != true ] || set -- "$@" --debug

sum=$(sha256sum <"$seed")
state="${sum%% *} $prefix $*"
before=
if [ -x "$binary" ] && [ -f "$stamp" ]; then
	before=$(cat "$stamp")
fi
[ "$before" != "$state" ] || exit 0

is_ours() {
	[ "$(head -c 2 "$seed")" = '#!' ]
}
has_systemd() {
	[ -d /run/systemd/system ]
}

# A guest that cannot run our program starts without an agent, and says so; any other failure is one.
installed() {
	"$@" && return 0
	if ! is_ours || "$seed" check 2>/dev/null; then
		exit 1
	fi
	problem="no usable Python 3 in this guest, so there is no guest agent (port events, clock, tunnels)"
	echo "$problem"
	lima-progress boot skipped "${0##*/}" 0 0 "$problem"
	exit 0
}

# put the file of the seed into place; where that is our program and systemd runs, one start of Python does all
register=$binary
case "$before" in
"${sum%% *} $prefix "*) ;;
*)
	set -- --guestagent-updated "$@"
	if ! is_ours; then
		mkdir -p "$prefix/bin"
		cp "$seed" "$binary.new"
		chmod 0755 "$binary.new"
		mv -f "$binary.new" "$binary"
	elif has_systemd; then
		register=$seed
		set -- --prefix "$prefix" "$@"
	else
		installed "$seed" unpack "$prefix"
	fi
	;;
esac

if has_systemd; then
	# of old, the agent ran as the user
	rm -f "$LIMA_CIDATA_HOME/.config/systemd/user/$name.service"
	installed "$register" install-systemd "$@"
elif [ -x /sbin/openrc-run ]; then
	sed -n 's/^\(LIMA_CIDATA_\(DEBUG\|VSOCK_PORT\|VIRTIO_PORT\|UID\)\)=\(.*\)$/\1="\3"/p' \
		"$LIMA_CIDATA_MNT/lima.env" >"/etc/conf.d/$name"
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
	echo "neither systemd nor OpenRC runs here: start \`$binary daemon\` yourself"
fi
mkdir -p "${stamp%/*}"
echo "$state" >"$stamp.new"
mv "$stamp.new" "$stamp"
