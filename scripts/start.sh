#!/bin/sh
# start.sh PYTHON: bring the host into order where that is allowed, start the instance, show what the guest says.
set -eu
python=$1
limactl() {
	"$python" -m lima "$@"
}
if ! limactl doctor --install >/tmp/lima-doctor.$$ 2>&1; then
	cat /tmp/lima-doctor.$$ >&2
	rm -f /tmp/lima-doctor.$$
	echo "make: install what is missing with the command above, then run \`make start\` again." >&2
	exit 1
fi
rm -f /tmp/lima-doctor.$$
limactl --tty=false start default
echo
echo "--- the guest says"
limactl shell default uname -a
# shellcheck disable=SC2016  # expanded in the guest
limactl shell default sh -c '. /etc/os-release; echo "$PRETTY_NAME"'
echo "--- next: limactl shell default (or: $(dirname "$python")/lima), limactl list, limactl stop, limactl delete default"
