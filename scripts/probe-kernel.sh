#!/bin/sh
# probe-kernel.sh: assemble guest/probe/x86_64.S and print it as base64, for src/lima/adapters/qemu/probe_kernel.py.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
as --64 -o "$folder/kernel.o" guest/probe/x86_64.S
objcopy -O binary -j .text "$folder/kernel.o" "$folder/kernel.bin"
base64 -w 0 "$folder/kernel.bin"
