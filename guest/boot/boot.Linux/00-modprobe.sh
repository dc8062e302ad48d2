#!/bin/sh
# Kernel modules for shares and containers, in as far as the kernel has them: users may not load any.
set -eu
command -v modprobe >/dev/null 2>&1 || exit 0
set -- fuse overlay
if [ -n "${LIMA_CIDATA_CONTAINERD_USER:-}${LIMA_CIDATA_CONTAINERD_SYSTEM:-}" ]; then
	set -- "$@" tun bridge br_netfilter veth ip_tables ip6_tables iptable_filter iptable_nat ip6table_filter ip6table_nat \
		nf_tables nft_chain_nat nft_compat xt_MASQUERADE xt_addrtype xt_comment xt_conntrack xt_mark xt_multiport
fi
modprobe -aq "$@" 2>/dev/null || :
