#!/usr/bin/env bash
# CVAT's grammar up to spring 2025: init | run CONFIG | bash ...; a configuration serves one queue.
set -eu
. ./common.sh

cmd_run() {
    [ $# = 1 ] || fail "run: expected 1 argument"
    [ -e "supervisord/$1.conf" ] || fail "run: could not find config file supervisord/$1.conf"
    export CVAT_POSTGRES_APPLICATION_NAME="cvat:$1"
    case $1 in
        server) run_common supervisord/server.conf collectstatic --no-input --verbosity=0 + ;;
        utils) export CVAT_QUEUES="notifications cleaning" ;;
        worker.*) export CVAT_QUEUES=${1#worker.} ;;
    esac
    run_common "supervisord/$1.conf"
}

enter "$@"
