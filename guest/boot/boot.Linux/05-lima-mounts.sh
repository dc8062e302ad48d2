#!/bin/sh
# Only with: MOUNTS
# Mounts what the seed names and the boot has not mounted yet. Idempotent. What is taken away is a mount point that was
# made here and could not be mounted on: empty, by rmdir. Whoever wrote into it would take the guest's disk for the host's.
set -u

# plain FIELD: as it was before fstab(5) made blanks octal
plain() {
	printf '%b' "$(printf '%s' "$1" | sed 's/\\\([0-7][0-7][0-7]\)/\\0\1/g')"
}

# mount_here: `tag`, `type` and `options` on `point`
mount_here() {
	made=''
	if [ ! -d "$point" ]; then
		mkdir -p "$point" || return 1
		made=1
	fi
	mount -t "$type" -o "$options" "$tag" "$point" && return
	echo "$point: the $type share $tag of the host could not be mounted" >&2
	[ -z "$made" ] || rmdir "$point"
	return 1
}

failed=0
while read -r tag where type options _; do
	point=$(plain "$where")
	if mountpoint -q "$point"; then
		continue
	fi
	# older kernels do not find the transport by themselves
	[ "$type" != 9p ] || modprobe -q 9pnet_virtio || true
	options=${options%,nofail}
	mount_here || failed=1
done <"$LIMA_CIDATA_MNT/mounts.fstab"
exit "$failed"
