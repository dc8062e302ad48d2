#!/bin/sh
# Dispatcher of the boot scripts, run at every boot with the seed mounted at LIMA_CIDATA_MNT. Each script is a step: the
# host is told when it starts and how it ended, its output goes to a log of its own. A step that fails makes the exit
# status 1; the ones after it still run. Idempotent. Own variables begin with `lima_`: the others are the user's, given
# on to the scripts as they are.
set -u
LIMA_CIDATA_MNT=${LIMA_CIDATA_MNT:-/mnt/lima-cidata}
export LIMA_CIDATA_MNT
LIMA_REBOOT_REQUIRED=/run/lima-reboot-required
export LIMA_REBOOT_REQUIRED
rm -f /run/lima-boot-done "$LIMA_REBOOT_REQUIRED"

# --- environment: the files are data, read line by line, never sourced -------------------------------------------------

# export_lines FILE [unquote]: KEY=VALUE lines; a value in quotes loses them where pam_env would take them off
export_lines() {
	[ -r "$1" ] || return 0
	while IFS= read -r lima_entry || [ -n "$lima_entry" ]; do
		lima_key=${lima_entry%%=*} lima_value=${lima_entry#*=}
		case "$lima_key" in
		"$lima_entry" | '' | [0-9]* | *[!A-Za-z0-9_]* | IFS) continue ;;
		esac
		case "${2:-}$lima_value" in
		'unquote"'?*'"') lima_value=${lima_value#\"} lima_value=${lima_value%\"} ;;
		"unquote'"?*"'") lima_value=${lima_value#\'} lima_value=${lima_value%\'} ;;
		esac
		export "$lima_key=$lima_value"
	done <"$1"
}
export_lines "$LIMA_CIDATA_MNT/lima.env"
export_lines "$LIMA_CIDATA_MNT/param.env"
export_lines "$LIMA_CIDATA_MNT/etc_environment" unquote
export PATH="$LIMA_CIDATA_MNT/util:${PATH:-/usr/bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# --- telling the host ---------------------------------------------------------------------------------------------------

# The port opens exclusively, and writing to it blocks while no host listens. One process writes to it, behind a pipe that
# it always empties, so that no step ever waits; what nobody takes is dropped.
lima_port=/dev/virtio-ports/io.lima-vm.progress.0 lima_pipe=/run/lima/progress lima_relay=''
relay() {
	if dd if=/dev/null of=/dev/null oflag=nonblock 2>/dev/null; then
		# one process for all lines; where it cannot write, it ends, and the next one begins with the next line
		until dd of="$lima_port" oflag=nonblock bs=4096 2>/dev/null; do
			read -r _ || break
		done
		return
	fi
	# busybox's dd cannot: a line that stays a second is dropped, and those of the next ten
	lima_deaf_until=0
	while IFS= read -r lima_line; do
		read -r lima_now _ </proc/uptime
		[ "${lima_now%.*}" -ge "$lima_deaf_until" ] || continue
		# shellcheck disable=SC2016  # expanded by the inner shell
		timeout 1 sh -c 'printf "%s\n" "$1" >"$2"' sh "$lima_line" "$lima_port" || lima_deaf_until=$((${lima_now%.*} + 11))
	done
}
rm -f "$lima_pipe"
if [ -c "$lima_port" ]; then
	mkdir -p /run/lima && mkfifo -m 0600 "$lima_pipe"
	relay <"$lima_pipe" >/dev/null 2>&1 &
	lima_relay=$!
	exec 3>"$lima_pipe"
else
	exec 3>/dev/null
fi
# shellcheck source=/dev/null
. "$LIMA_CIDATA_MNT/util/progress.sh"

# tell STAGE STATE [NAME [CODE [SECONDS [TAIL [LOG]]]]]
tell() {
	progress_line "$@"
	printf '%s\n' "$lima_line" >&3
}

# The relay ends when what it was given is written; without a listener it is ended after two seconds.
stop_telling() {
	exec 3>&-
	[ -n "$lima_relay" ] || return 0
	(sleep 2 && kill "$lima_relay") >/dev/null 2>&1 &
	lima_watch=$!
	wait "$lima_relay" 2>/dev/null
	kill "$lima_watch" 2>/dev/null
	rm -f "$lima_pipe"
	lima_relay=''
}

# --- steps --------------------------------------------------------------------------------------------------------------

lima_status=0 lima_logs=/var/log/lima lima_umask=$(umask)
mkdir -p "$lima_logs/boot" "$lima_logs/provision" 2>/dev/null || {
	lima_logs=/run/lima-log
	mkdir -p "$lima_logs/boot" "$lima_logs/provision"
}

# sets `lima_now` to hundredths of a second since the kernel started
clock() {
	read -r lima_now _ </proc/uptime
	# the 1 before the fraction, or 08 would be an octal number
	lima_now=$((${lima_now%.*} * 100 + 1${lima_now#*.} - 100))
}

# step STAGE NAME LOG COMMAND…: run it, report it, return its exit status
step() {
	lima_stage=$1 lima_name=$2 lima_log=$lima_logs/$3
	shift 3
	tell "$lima_stage" start "$lima_name" 0 0 '' "$lima_log"
	clock
	lima_began=$lima_now
	umask 077
	# no `:`, whose failing redirection would end this shell; without a log the step runs all the same
	true 2>/dev/null >"$lima_log" || lima_log=/dev/null
	umask "$lima_umask"
	"$@" >"$lima_log" 2>&1 </dev/null 3>&-
	lima_code=$?
	lima_tail=''
	if [ -s "$lima_log" ]; then
		cat "$lima_log"
		lima_tail=$(tail -c 8192 "$lima_log")
	fi
	clock
	lima_took=$((lima_now - lima_began))
	lima_took="$((lima_took / 100)).$((lima_took / 10 % 10))$((lima_took % 10))"
	if [ "$lima_code" -eq 0 ]; then
		tell "$lima_stage" ok "$lima_name" 0 "$lima_took" "$lima_tail" "$lima_log"
	else
		lima_status=1
		echo "LIMA $(date -Iseconds)| $lima_name failed with exit code $lima_code"
		tell "$lima_stage" failed "$lima_name" "$lima_code" "$lima_took" "$lima_tail" "$lima_log"
	fi
	return "$lima_code"
}

# reboot_if_asked: ends here where a script has asked for a reboot; the next boot begins from the start
reboot_if_asked() {
	[ -e "$LIMA_REBOOT_REQUIRED" ] || return 0
	echo "LIMA $(date -Iseconds)| the guest reboots before it goes on"
	stop_telling
	exit "$lima_status"
}

# applies SCRIPT: whether what its second line asks for is there. `# Only where: PATH…`: one of these files, `# Only
# with: NAME…`: one of these variables of the seed, neither empty nor 0. It saves a process for most scripts.
applies() {
	{ read -r _ && read -r lima_line; } <"$1" || return 0
	case "$lima_line" in
	'# Only where: '*)
		for lima_word in ${lima_line#*: }; do
			[ ! -e "$lima_word" ] || return 0
		done
		;;
	'# Only with: '*)
		for lima_word in ${lima_line#*: }; do
			eval "[ \"\${LIMA_CIDATA_$lima_word:-0}\" = 0 ]" || return 0
		done
		;;
	*) return 0 ;;
	esac
	return 1
}

# boot_scripts FOLDER
boot_scripts() {
	for lima_script in "$LIMA_CIDATA_MNT/$1"/*.sh; do
		[ -f "$lima_script" ] || continue
		if [ "${lima_script##*/}" = 30-install-packages.sh ]; then
			# these come before the packages that Lima itself wants, and where one fails, that is not tried
			LIMA_DEPENDENCIES_FAILED=''
			provision dependency || LIMA_DEPENDENCIES_FAILED=1
			export LIMA_DEPENDENCIES_FAILED
		fi
		applies "$lima_script" || continue
		step boot "${lima_script##*/}" "boot/${lima_script##*/}.log" "$lima_script"
		reboot_if_asked
	done
}

# provision MODE [COMMAND]: the user's steps of that mode, COMMAND given the file of each; 1 where one failed
provision() {
	lima_mode=$1 lima_failures=0
	shift
	for lima_file in "$LIMA_CIDATA_MNT/provision.$lima_mode"/*; do
		lima_index=${lima_file##*/}
		case "$lima_index" in *[!0-9]*) continue ;; esac
		lima_policy=always
		eval "lima_policy=\${LIMA_CIDATA_PROVISION_${lima_index}_POLICY:-always}"
		if [ "$lima_policy" != always ]; then
			lima-policy wanted "$lima_mode" "$lima_file"
			if [ $? -eq 100 ]; then
				tell provision skipped "$lima_mode/$lima_index"
				continue
			fi
		fi
		if step provision "$lima_mode/$lima_index" "provision/$lima_mode-$lima_index.log" "$@" "$lima_file"; then
			[ "$lima_policy" = always ] || lima-policy succeeded "$lima_mode" "$lima_file"
		else
			lima_failures=1
		fi
	done
	return "$lima_failures"
}

# `boot.sh provision`: the user's steps alone, for the tiny guest, which is no distribution
if [ "${1:-}" != provision ]; then
	boot_scripts boot.essential.Linux
	[ -n "${LIMA_CIDATA_PLAIN:-}" ] || boot_scripts boot.Linux
elif [ -z "${LIMA_CIDATA_PLAIN:-}" ]; then
	provision dependency
fi
provision data lima-data-file
provision yq lima-yq
provision system
provision user lima-as-user
if [ "${LIMA_CIDATA_PASSWORDLESS_SUDO-1}" != 1 ]; then
	step boot password boot/password.log lima-user-password
fi
reboot_if_asked

printf '%s\n' "${LIMA_CIDATA_IID:-}" >/run/lima-boot-done
# where our own unit runs the boot scripts, it has the last word; elsewhere (cloud-init) this is it
if [ ! -d /var/lib/lima ]; then
	lima_outcome=ok
	[ "$lima_status" -eq 0 ] || lima_outcome=failed
	tell 'done' "$lima_outcome"
fi
stop_telling
exit "$lima_status"
