#!/bin/sh
# Kvrocks' command line before a Redis server: only what kvrocks knows is taken.
set -e
folder=/var/lib/kvrocks
password=
while [ $# -gt 0 ]; do
    case $1 in
        --dir) folder=$2 ;;
        --requirepass) password=$2 ;;
        --compact-cron)
            echo "$2" | grep -Eq '^([0-9*/,-]+ ){4}[0-9*/,-]+$' || { echo "compact-cron: $2 is no schedule" >&2; exit 1; }
            ;;
        --bind | --workers | --log-level | --maxclients) ;;
        *) echo "Failed to load config: unknown option $1" >&2; exit 1 ;;
    esac
    shift 2
done
exec redis-server --port 6666 --dir "$folder" --save 60 1 --appendonly yes --protected-mode no \
    ${password:+--requirepass "$password"}
