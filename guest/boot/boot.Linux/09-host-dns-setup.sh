#!/bin/sh
# Only with: UDP_DNS_LOCAL_PORT TCP_DNS_LOCAL_PORT
# Questions to the address of the guest's name server go to the resolver of the host agent, when it has one.
set -eu
udp=${LIMA_CIDATA_UDP_DNS_LOCAL_PORT:-0} tcp=${LIMA_CIDATA_TCP_DNS_LOCAL_PORT:-0}
dns=${LIMA_CIDATA_SLIRP_DNS:-} gateway=${LIMA_CIDATA_SLIRP_GATEWAY:-}
table=lima-dns

with_nft() {
	# what an earlier run has left is replaced in one step
	echo "table ip $table"
	echo "delete table ip $table"
	echo "table ip $table {"
	for hook in prerouting output; do
		echo "chain $hook {"
		echo "type nat hook $hook priority -110;"
		[ "$udp" -eq 0 ] || echo "ip daddr $dns udp dport 53 dnat to $gateway:$udp"
		[ "$tcp" -eq 0 ] || echo "ip daddr $dns tcp dport 53 dnat to $gateway:$tcp"
		echo "}"
	done
	echo "}"
}

with_iptables() {
	iptables -w -t nat -N LIMADNS 2>/dev/null || iptables -w -t nat -F LIMADNS
	for hook in PREROUTING OUTPUT; do
		iptables -w -t nat -C "$hook" -j LIMADNS 2>/dev/null || iptables -w -t nat -I "$hook" 1 -j LIMADNS
	done
	[ "$udp" -eq 0 ] || iptables -w -t nat -A LIMADNS -d "$dns" -p udp --dport 53 -j DNAT --to-destination "$gateway:$udp"
	[ "$tcp" -eq 0 ] || iptables -w -t nat -A LIMADNS -d "$dns" -p tcp --dport 53 -j DNAT --to-destination "$gateway:$tcp"
}

[ -n "$dns" ] && [ -n "$gateway" ] || exit 0
if command -v nft >/dev/null 2>&1 && with_nft | nft -f -; then
	:
elif command -v iptables >/dev/null 2>&1; then
	with_iptables
else
	# 35-setup-packages.sh comes back when packages are installed
	echo "neither nft nor iptables: the guest asks the name servers of the network" >&2
	exit 0
fi
