#!/bin/sh
# The tests of the stack run real Podman, PostgreSQL, Redis and nginx from Debian's packages, those of completion the
# shells that it is for. Without them they are skipped by name. Never fails; quick where all is there.
POLICY=/usr/sbin/policy-rc.d
PATH=$PATH:/usr/sbin:/sbin

# Each program, and the package that has it.
NEEDS="podman:podman runc:runc conmon:conmon newuidmap:uidmap iptables:iptables ip:iproute2 busybox:busybox
    setpriv:util-linux sudo:sudo zsh:zsh fish:fish nginx:nginx-light redis-server:redis-server
    /usr/lib/podman/netavark:netavark /usr/lib/podman/aardvark-dns:aardvark-dns
    /usr/lib/postgresql/15/bin/postgres:postgresql-15"

missing() {
    for need in $NEEDS; do
        command -v "${need%:*}" >/dev/null || echo "${need#*:}"
    done
}

packages=$(missing)
[ -n "$packages" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing" $packages "for the tests of the stack"
    # The servers are started by the tests alone: without this word Debian starts them at once.
    if [ ! -e "$POLICY" ]; then
        trap 'rm -f "$POLICY"' EXIT
        trap 'exit 0' INT TERM
        printf '#!/bin/sh\nexit 101\n' >"$POLICY"
        chmod 755 "$POLICY"
    fi
    export DEBIAN_FRONTEND=noninteractive
    { timeout 300 apt-get update -q && timeout 600 apt-get install -qy --no-install-recommends $packages; } \
        >/dev/null 2>&1
fi
packages=$(missing)
[ -z "$packages" ] || echo "not here and not to be installed:" $packages "(the tests of the stack will be skipped)"
exit 0
