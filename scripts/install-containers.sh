#!/bin/sh
# The tests of the stack run real Podman, PostgreSQL, Redis and nginx from Debian's packages, those of completion the
# shells that it is for. Without them they are skipped by name.
exec sh "$(dirname "$0")/install-missing.sh" "the tests of the stack" \
    podman:podman runc:runc conmon:conmon newuidmap:uidmap iptables:iptables ip:iproute2 busybox:busybox \
    setpriv:util-linux sudo:sudo zsh:zsh fish:fish nginx:nginx-light redis-server:redis-server \
    /usr/lib/podman/netavark:netavark /usr/lib/podman/aardvark-dns:aardvark-dns \
    /usr/lib/postgresql/15/bin/postgres:postgresql-15
