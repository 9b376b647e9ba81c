#!/bin/sh
# install-missing.sh WHAT PROGRAM:PACKAGE...: what WHAT needs and is not here, from Debian's packages. Never fails; quick
# where all is there.
POLICY=/usr/sbin/policy-rc.d
PATH=$PATH:/usr/sbin:/sbin
what=$1
shift
needs=$*

missing() {
    for need in $needs; do
        command -v "${need%:*}" >/dev/null || echo "${need#*:}"
    done
}

packages=$(missing)
[ -n "$packages" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing" $packages "for $what"
    # Servers are started by the tests alone: without this word Debian starts them at once.
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
[ -z "$packages" ] || echo "not here and not to be installed:" $packages "($what will be skipped)"
exit 0
