#!/bin/sh
# Sourced by boot.sh and lima-progress: what a progress line looks like.

# json_text TEXT: sets `lima_json` to the inside of a JSON string. Names and numbers need no process for it.
json_text() {
	case "$1" in
	*[!A-Za-z0-9\ ._:/=+@,-]*) lima_json=$(printf '%s' "$1" | lima-json) ;;
	*) lima_json=$1 ;;
	esac
}

# progress_line STAGE STATE [NAME [CODE [SECONDS [TAIL [LOG]]]]]: sets `lima_line`. TAIL may be any bytes.
progress_line() {
	read -r lima_up _ </proc/uptime
	read -r lima_boot </proc/sys/kernel/random/boot_id
	json_text "${LIMA_CIDATA_IID:-}"
	lima_line="{\"iid\":\"$lima_json\",\"boot\":\"$lima_boot\",\"up\":$lima_up,\"stage\":\"$1\",\"state\":\"$2\""
	json_text "${3:-}"
	lima_line="$lima_line,\"name\":\"$lima_json\",\"code\":${4:-0},\"seconds\":${5:-0}"
	json_text "${6:-}"
	lima_line="$lima_line,\"tail\":\"$lima_json\""
	json_text "${7:-}"
	lima_line="$lima_line,\"log\":\"$lima_json\"}"
}
