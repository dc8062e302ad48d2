#!/bin/sh
# Only with: MOUNTS
# Mounts what the seed names and the boot has not mounted yet. Idempotent. What is taken away is a mount point that was
# made here and could not be mounted on: empty, by rmdir. Whoever wrote into it would take the guest's disk for the host's.
set -u
seed=$LIMA_CIDATA_MNT/mounts.fstab
# a writable 9p mount with this cache becomes one without, where the cache loses data
lossy='s/\(	9p	rw,.*,\)cache=mmap,/\1cache=none,/'

# writes_behind: whether the kernel does with `cache=mmap`. From 6.4 on it does, and takes the size of a file from the host
# before it has written: what one program appends is lost or zeros when another one looks at the file. `cache=0x5` is the
# same cache by its number, for those who know.
writes_behind() {
	release=$(uname -r)
	minor=${release#*.}
	minor=${minor%%[!0-9]*}
	[ "${release%%.*}" -gt 6 ] || { [ "${release%%.*}" -eq 6 ] && [ "$minor" -ge 4 ]; }
}

# plain FIELD: as it was before fstab(5) made blanks octal
plain() {
	printf '%b' "$(printf '%s' "$1" | sed 's/\\\([0-7][0-7][0-7]\)/\\0\1/g')"
}

# mounts: the lines of the seed as they are to be mounted
mounts() {
	if writes_behind; then
		sed "$lossy" "$seed"
	else
		cat "$seed"
	fi
}

# unmount_lossy: what the boot has mounted with a cache that loses data; all others too, since they may lie in it
unmount_lossy() {
	tags=$(sed -n 's/^\([^	]*\)	.*	9p	rw,.*,cache=mmap,.*/^\1 /p' "$seed")
	[ -n "$tags" ] && writes_behind || return 0
	! [ -w /etc/fstab ] || sed -i "/^lima-/$lossy" /etc/fstab
	grep -e "$tags" /proc/mounts | grep -q 'cache=\(mmap\|0x5\)' || return 0
	while read -r _ where _; do
		point=$(plain "$where")
		# the agent may have it open already
		! mountpoint -q "$point" || umount "$point" 2>/dev/null || umount -l "$point"
	done <<EOF
$(sed '1!G;h;$!d' "$seed")
EOF
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

unmount_lossy
failed=0
while read -r tag where type options _; do
	[ -n "$tag" ] || continue # mounts by sshfs are the host's to make
	point=$(plain "$where")
	if mountpoint -q "$point"; then
		continue
	fi
	# older kernels do not find the transport by themselves
	[ "$type" != 9p ] || modprobe -q 9pnet_virtio || true
	options=${options%,nofail}
	mount_here || failed=1
done <<EOF
$(mounts)
EOF
exit "$failed"
