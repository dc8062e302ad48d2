#!/bin/sh
# Dispatcher of the boot scripts, run at every boot with the seed mounted at LIMA_CIDATA_MNT. Every failing script is
# told to the host and makes the exit status 1; the ones after it still run. Idempotent.
set -u
LIMA_CIDATA_MNT=${LIMA_CIDATA_MNT:-/mnt/lima-cidata}
export LIMA_CIDATA_MNT
mnt=$LIMA_CIDATA_MNT
run=/run
rm -f "$run/lima-boot-done" "$run/lima-reboot-required"

# the files are data: read line by line, never sourced
export_lines() {
	[ -r "$1" ] || return 0
	while IFS= read -r line || [ -n "$line" ]; do
		case "$line" in
		[A-Za-z_]*=*) export "${line?}" ;;
		esac
	done <"$1"
}
export_lines "$mnt/lima.env"
export_lines "$mnt/param.env"
export_lines "$mnt/etc_environment"
export PATH="$mnt/util:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

status=0
tail_of() {
	tail -n 1 "$1" 2>/dev/null
}

# step STAGE NAME COMMAND…: run it with its output in the log, and report it
step() {
	stage=$1 name=$2
	shift 2
	lima-progress "$stage" start "$name"
	began=$(cut -d. -f1 /proc/uptime)
	output=$(mktemp)
	"$@" >"$output" 2>&1
	code=$?
	cat "$output"
	seconds=$(($(cut -d. -f1 /proc/uptime) - began))
	if [ "$code" -eq 0 ]; then
		lima-progress "$stage" ok "$name" 0 "$seconds"
	else
		status=1
		echo "LIMA $(date -Iseconds)| $name failed with exit code $code"
		lima-progress "$stage" failed "$name" "$code" "$seconds" "$(tail_of "$output")"
	fi
	rm -f "$output"
}

for script in "$mnt"/boot.essential.Linux/*.sh; do
	[ ! -f "$script" ] || step boot "${script##*/}" "$script"
done
if [ -z "${LIMA_CIDATA_PLAIN:-}" ]; then
	for script in "$mnt"/boot.Linux/*.sh; do
		[ ! -f "$script" ] || step boot "${script##*/}" "$script"
	done
fi
for file in "$mnt"/provision.data/*; do
	[ ! -f "$file" ] || step provision "data/${file##*/}" lima-data-file "$file"
done
for script in "$mnt"/provision.system/*; do
	[ ! -f "$script" ] || step provision "system/${script##*/}" "$script"
done
for script in "$mnt"/provision.user/*; do
	[ ! -f "$script" ] || step provision "user/${script##*/}" lima-as-user "$script"
done

if [ ! -e "$run/lima-reboot-required" ]; then
	printf '%s\n' "$LIMA_CIDATA_IID" >"$run/lima-boot-done"
	# where our own unit runs the boot scripts, it has the last word; elsewhere (cloud-init) this is it
	if [ ! -d /var/lib/lima ]; then
		outcome=ok
		[ "$status" -eq 0 ] || outcome=failed
		lima-progress 'done' "$outcome"
	fi
fi
exit "$status"
