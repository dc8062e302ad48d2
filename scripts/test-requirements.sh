#!/bin/sh
# test-requirements.sh PYTHON [all]: programs that the tests use, installed where that is allowed, else named.
set -eu
python=$1
"$python" -m lima doctor --install >/dev/null 2>&1 || "$python" -m lima doctor >&2
missing=
need() {
	command -v "$1" >/dev/null 2>&1 || PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}
need sshd openssh-server
need shellcheck shellcheck
need busybox busybox
need newuidmap uidmap
need openssl openssl
need rsync rsync
need zsh zsh
need fish fish
virtiofsd=
for place in /usr/libexec/virtiofsd /usr/lib/virtiofsd /usr/lib/qemu/virtiofsd; do
	[ ! -x "$place" ] || virtiofsd=$place
done
[ -n "$virtiofsd" ] || missing="$missing virtiofsd"
[ ! -e /dev/fuse ] || need sshfs sshfs
if [ "${2:-}" = all ]; then
	need ansible-playbook ansible-core
	need mcopy mtools
	need mkfs.vfat dosfstools
	need syslinux syslinux
	[ -e /usr/lib/syslinux/mbr/mbr.bin ] || missing="$missing syslinux-common"
	[ -e /usr/lib/systemd/boot/efi/systemd-bootx64.efi ] || missing="$missing systemd-boot-efi"
	[ -e /usr/share/OVMF/OVMF_CODE.fd ] || [ -e /usr/share/OVMF/OVMF_CODE_4M.fd ] || missing="$missing ovmf"
fi
[ -n "$missing" ] || exit 0
if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
	echo "make: installing for the tests:$missing" >&2
	# a server that the installation would start is not wanted: the tests start their own
	printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d
	apt-get update -q >/dev/null
	# shellcheck disable=SC2086  # a list of words
	DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing >/dev/null
	rm -f /usr/sbin/policy-rc.d
else
	echo "make: the tests that need these packages are skipped:$missing" >&2
fi
