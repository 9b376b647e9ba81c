#!/bin/sh
# `make nightly` boots a virtual machine: qemu, and mmdebstrap to make its disk. Without them its tests are skipped by
# name. Never fails; quick where all is there.
PATH=$PATH:/usr/sbin:/sbin

# Each program, and the package that has it.
NEEDS="qemu-system-x86_64:qemu-system-x86 mmdebstrap:mmdebstrap mke2fs:e2fsprogs"

missing() {
    for need in $NEEDS; do
        command -v "${need%:*}" >/dev/null || echo "${need#*:}"
    done
}

packages=$(missing)
[ -n "$packages" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing" $packages "for the virtual machine"
    export DEBIAN_FRONTEND=noninteractive
    { timeout 300 apt-get update -q && timeout 600 apt-get install -qy --no-install-recommends $packages; } \
        >/dev/null 2>&1
fi
packages=$(missing)
[ -z "$packages" ] || echo "not here and not to be installed:" $packages "(the virtual machine will be skipped)"
exit 0
