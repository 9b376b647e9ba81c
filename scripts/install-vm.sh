#!/bin/sh
# `make nightly` boots a virtual machine: qemu, and mmdebstrap to make its disk. Without them its tests are skipped by
# name.
exec sh "$(dirname "$0")/install-missing.sh" "the virtual machine" \
    qemu-system-x86_64:qemu-system-x86 mmdebstrap:mmdebstrap mke2fs:e2fsprogs
