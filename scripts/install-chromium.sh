#!/bin/sh
# The browser tests drive Debian's Chromium. Without it they are skipped by name.
command -v chromium >/dev/null && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing chromium for the browser tests"
    { apt-get update -q && apt-get install -qy --no-install-recommends chromium fonts-dejavu-core; } >/dev/null 2>&1 && exit 0
fi
echo "chromium is not here and could not be installed: the browser tests will be skipped"
