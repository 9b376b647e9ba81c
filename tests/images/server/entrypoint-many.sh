#!/usr/bin/env bash
# CVAT's grammar since spring 2025: init | run server | run worker QUEUE... | bash ...; init may stand before run.
set -eu
. ./common.sh

QUEUES="annotation chunks cleaning consensus export import notifications quality_reports webhooks"

cmd_run() {
    [ $# -gt 0 ] || fail "run: expected a component"
    local component=$1
    shift
    case $component in
        server)
            [ $# = 0 ] || fail "run server: unexpected arguments: $*"
            export CVAT_POSTGRES_APPLICATION_NAME=cvat:server
            run_common supervisord/server.conf collectstatic --no-input --verbosity=0 +
            ;;
        worker)
            [ $# -gt 0 ] || fail "run worker: expected at least 1 queue name"
            local queue
            for queue in "$@"; do
                case " $QUEUES " in *" $queue "*) ;; *) fail "Unexpected worker: $queue" ;; esac
            done
            export CVAT_QUEUES="$*"
            export CVAT_POSTGRES_APPLICATION_NAME="cvat:worker:${CVAT_QUEUES// /+}"
            ;;
        *) fail "run: unknown component: $component" ;;
    esac
    run_common "supervisord/$component.conf"
}

enter "$@"
