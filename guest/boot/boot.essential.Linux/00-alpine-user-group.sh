#!/bin/sh
# Only where: /etc/alpine-release
# Alpine: root may use sudo, and the image's own user `alpine` goes where it has the uid of ours; cloud-init then makes
# ours at the next boot.
set -eu
mkdir -p /etc/sudoers.d
echo 'root ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/00-lima-root
chmod 0440 /etc/sudoers.d/00-lima-root
[ "$LIMA_CIDATA_USER" != alpine ] || exit 0
[ "$(id -u alpine 2>/dev/null)" = "$LIMA_CIDATA_UID" ] || exit 0
deluser --remove-home alpine
if command -v cloud-init >/dev/null 2>&1; then
	cloud-init clean --logs
fi
touch "$LIMA_REBOOT_REQUIRED"
reboot
