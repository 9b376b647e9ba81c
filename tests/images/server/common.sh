# Sourced by the entry points: waits as CVAT's do, for ever.

wait_for() {
    until (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null; do sleep 0.2; done
}

wait_for_database() {
    wait_for "${CVAT_POSTGRES_HOST:-cvat_db}" "${CVAT_POSTGRES_PORT:-5432}"
}

wait_for_redis_inmem() {
    wait_for "${CVAT_REDIS_INMEM_HOST}" "${CVAT_REDIS_INMEM_PORT}"
}

source_hooks() {
    local hook
    for hook in /etc/cvat/init.d/*; do
        if [ -r "$hook" ]; then . "$hook"; fi
    done
}

fail() {
    echo >&2 "$0: $1"
    exit 1
}

cmd_init() {
    wait_for_database
    wait_for_redis_inmem
    python3 steps.py migrate + migrateredis + syncperiodicjobs
}

# $1 is supervisord's configuration; what comes after is done before all checks.
run_common() {
    local config=$1
    shift
    wait_for_database
    wait_for_redis_inmem
    until python3 steps.py "$@" migrate --check + migrateredis --check; do sleep 10; done
    exec python3 -m supervisor.supervisord -c "$config"
}

# The subcommand; init may stand before another.
enter() {
    source_hooks
    [ $# -gt 0 ] || fail "expected a subcommand"
    if [ "$1" = init ]; then
        shift
        cmd_init
        [ $# -gt 0 ] || exit 0
    fi
    case $1 in
        bash) exec "$@" ;;
        run) shift; cmd_run "$@" ;;
        *) fail "unknown subcommand: $1" ;;
    esac
}
