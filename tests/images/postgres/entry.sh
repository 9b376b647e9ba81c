#!/bin/sh
# As the image of PostgreSQL begins: the first start makes the cluster and the database, as the user that owns it.
set -e
bin=/usr/lib/postgresql/15/bin
if [ "$(id -u)" = 0 ]; then
    chown 70:70 "$PGDATA"
    chmod 700 "$PGDATA"
    # The password's file is root's or another user's: it is read here and handed on by standard input.
    password=$POSTGRES_PASSWORD
    [ -z "$POSTGRES_PASSWORD_FILE" ] || password=$(cat "$POSTGRES_PASSWORD_FILE")
    exec /usr/bin/setpriv --reuid=70 --regid=70 --clear-groups "$0" "$@" <<END
$password
END
fi
read -r password
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    if [ -z "$password" ]; then
        echo "Error: Database is uninitialized and superuser password is not specified." >&2
        exit 1
    fi
    echo "$password" >/tmp/password
    "$bin/initdb" -D "$PGDATA" -U "${POSTGRES_USER:-postgres}" --pwfile=/tmp/password -E UTF8 --locale=C --no-sync \
        --auth-local=trust --auth-host=trust >/dev/null
    rm /tmp/password
    echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
    [ "${POSTGRES_DB:-postgres}" = postgres ] || echo "CREATE DATABASE \"$POSTGRES_DB\"" |
        "$bin/postgres" --single -j -D "$PGDATA" postgres >/dev/null
    echo "PostgreSQL init process complete; ready for start up."
fi
# No flush to the disk: a killed container loses nothing by it, and only a power cut could.
exec "$bin/postgres" -D "$PGDATA" -c listen_addresses='*' -c fsync=off
