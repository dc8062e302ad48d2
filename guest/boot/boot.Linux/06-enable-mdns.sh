#!/bin/sh
# Only where: /run/systemd/resolve
# Names that end in `.local`, where systemd-resolved answers.
set -eu
drop_in=/etc/systemd/resolved.conf.d/50-lima-mdns.conf
if [ ! -e "$drop_in" ]; then
	mkdir -p "${drop_in%/*}"
	printf '[Resolve]\nMulticastDNS=yes\n' >"$drop_in"
	systemctl restart systemd-resolved.service
fi
for interface in /sys/class/net/*; do
	[ ! -e "$interface/device" ] || resolvectl mdns "${interface##*/}" yes || :
done
