#!/bin/sh
# Only with: DISKS
# Additional disks: formatted once, mounted at /mnt/lima-NAME (or swapped to), and grown when the disk has grown.
#
# A disk is formatted only when it is blank: no partition table, no signature, zeros in its first and last MiB. The
# partition is called `lima-formatting` until its file system is complete, so that a boot that was cut off in between
# is finished by the next one, and nothing else is ever written over.
#
# The whole of it happens under a lock of the device. udev reads the partition table again whenever somebody has
# written to a disk, and the partition is gone for that moment; it keeps away from a disk that is locked, and after
# the lock the partition is in use and stays (systemd: Locking Block Device Access).
set -eu
set -f # fsArgs are words, no patterns

variable() {
	eval "printf '%s' \"\${LIMA_CIDATA_DISK_${index}_$1:-}\""
}

# zeros OFFSET: whether there is nothing but zeros in the MiB from that sector on
zeros() {
	[ -z "$(dd if="$device" bs=512 skip="$1" count=2048 2>/dev/null | tr -d '\000' | head -c 1 | od -An -tx1)" ]
}

sectors() {
	cat "/sys/class/block/${1##*/}/size"
}

is_blank() {
	found=0
	# busybox's cannot look for signatures
	[ ! -e /etc/alpine-release ] || apk add --no-progress blkid
	blkid -p "$device" >/dev/null 2>&1 || found=$?
	# 2: nothing found. Whatever else it says is a reason to keep away.
	[ "$found" -eq 2 ] && zeros 0 && zeros "$(($(sectors "$device") - 2048))"
}

# A node may be made by mdev or udev a moment after the kernel knows of the partition.
partition_appears() {
	tries=0
	while [ ! -e "$part" ] && [ "$tries" -lt 50 ]; do
		sleep 0.1
		tries=$((tries + 1))
	done
}

file_system() {
	blkid -p -s TYPE -o value "$1" 2>/dev/null || :
}

make_file_system() {
	[ "$fstype" = swap ] || lima-need "mkfs.$fstype"
	wipefs -aq "$part"
	# shellcheck disable=SC2046  # words
	case "$fstype" in
	swap) mkswap $(variable FSARGS) -L "$(printf '%.15s' "$label")" "$part" ;;
	xfs) mkfs.xfs $(variable FSARGS) -L "$(printf '%.12s' "$label")" "$part" ;;
	vfat) mkfs.vfat $(variable FSARGS) -n "$(printf '%.11s' "$label")" "$part" ;;
	ext?) mkfs."$fstype" $(variable FSARGS) -L "$(printf '%.16s' "$label")" "$part" ;;
	*) mkfs."$fstype" $(variable FSARGS) -L "$label" "$part" ;;
	esac
	sync
	sfdisk -q --no-reread --part-label "$device" 1 "$label"
}

format_if_blank() {
	[ "$(variable FORMAT)" = true ] || return 0
	lima-need sfdisk wipefs
	if [ ! -e "$part" ] && is_blank; then
		echo "$device is blank: it gets a partition and $fstype"
		echo 'name=lima-formatting' | sfdisk -q --label gpt "$device"
		partition_appears
	fi
	if [ -e "$part" ] && [ "$(sfdisk --part-label "$device" 1 2>/dev/null)" = lima-formatting ]; then
		make_file_system
	fi
}

grow() {
	[ -e "$part" ] && [ ! -e "/sys/class/block/${device##*/}/${part##*/}2" ] || return 0
	start=$(cat "/sys/class/block/${part##*/}/start")
	# a MiB and the second copy of the table may stay free at the end
	[ $(($(sectors "$device") - start - $(sectors "$part"))) -gt 4096 ] || return 0
	[ "$(sfdisk -d "$device" | grep -c '^/dev/')" -eq 1 ] || return 0
	echo "$device has grown, and its partition grows with it"
	sfdisk -d "$device" | sed '/^last-lba/d; s/size= *[0-9]*, *//' | sfdisk -q --no-reread --force "$device"
	partx -u -n 1 "$device"
	is_grown=1
}

use() {
	case "$actual" in
	swap)
		grep -q "^$source " /proc/swaps || swapon "$source"
		return
		;;
	esac
	mkdir -p "$mount_point"
	grep -q " $mount_point " /proc/mounts || mount "$source" "$mount_point"
	[ -n "$is_grown" ] || return 0
	case "$actual" in
	ext?) resize2fs "$source" ;;
	xfs) xfs_growfs "$mount_point" ;;
	btrfs) btrfs filesystem resize max "$mount_point" ;;
	esac
}

one_disk() {
	device=/dev/$(variable DEVICE) label=lima-$(variable NAME) fstype=$(variable FSTYPE)
	fstype=${fstype:-ext4} mount_point=/mnt/$label is_grown=''
	case "$device" in
	*[0-9]) part=${device}p1 ;;
	*) part=${device}1 ;;
	esac
	if [ ! -e "$device" ]; then
		echo "$label: there is no $device" >&2
		return 1
	fi
	format_if_blank
	grow
	source=$part
	[ -e "$part" ] || source=$device
	actual=$(file_system "$source")
	if [ -z "$actual" ] && [ "$(variable FORMAT)" != true ]; then
		echo "$label: no file system, and \`format\` is off: it is left as it is"
	elif [ -z "$actual" ]; then
		echo "$label: $device holds data and no file system that is known: it is neither formatted nor mounted" >&2
		return 1
	else
		use
	fi
}

# each disk in a process of its own: one that goes wrong leaves the others alone, and `set -e` holds in all of them
if [ $# -eq 1 ]; then
	index=$1
	one_disk
	exit
fi
failed=0 index=0
while [ "$index" -lt "${LIMA_CIDATA_DISKS:-0}" ]; do
	device=/dev/$(variable DEVICE)
	if [ -e "$device" ] && command -v flock >/dev/null 2>&1; then
		flock "$device" "$0" "$index" || failed=1
	else
		"$0" "$index" || failed=1
	fi
	index=$((index + 1))
done
exit "$failed"
