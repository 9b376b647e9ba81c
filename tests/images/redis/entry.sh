#!/bin/sh
# As the image of Redis begins: the folder is given to its user, and the server runs as that one.
set -e
if [ "$1" = redis-server ] && [ "$(id -u)" = 0 ]; then
    find . \! -user 999 -exec chown 999:1000 '{}' +
    exec /usr/bin/setpriv --reuid=999 --regid=1000 --clear-groups "$@" --protected-mode no
fi
exec "$@"
