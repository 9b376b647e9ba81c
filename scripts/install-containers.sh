#!/bin/sh
# The tests of the stack run real Podman, PostgreSQL, Redis and nginx from Debian's packages. Without them they are
# skipped by name. Never fails; quick where all is there.
PACKAGES="podman runc conmon netavark aardvark-dns uidmap iptables iproute2 busybox util-linux sudo
    nginx-light redis-server postgresql-15"
POLICY=/usr/sbin/policy-rc.d
PATH=$PATH:/usr/sbin:/sbin

missing() {
    for program in podman runc conmon newuidmap iptables ip busybox setpriv sudo nginx redis-server; do
        command -v "$program" >/dev/null || echo "$program"
    done
    for file in /usr/lib/podman/netavark /usr/lib/podman/aardvark-dns /usr/lib/postgresql/15/bin/postgres; do
        [ -x "$file" ] || echo "${file##*/}"
    done
}

[ -z "$(missing)" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing podman, postgresql, redis and nginx for the tests of the stack"
    # The servers are started by the tests alone: without this word Debian starts them at once.
    if [ ! -e "$POLICY" ]; then
        trap 'rm -f "$POLICY"' EXIT
        trap 'exit 0' INT TERM
        printf '#!/bin/sh\nexit 101\n' >"$POLICY"
        chmod 755 "$POLICY"
    fi
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086
    { timeout 300 apt-get update -q && timeout 600 apt-get install -qy --no-install-recommends $PACKAGES; } \
        >/dev/null 2>&1
fi
still=$(missing | tr '\n' ' ')
[ -z "$still" ] || echo "not here and not to be installed: ${still% }; the tests of the stack will be skipped"
exit 0
