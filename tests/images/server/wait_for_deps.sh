#!/usr/bin/env bash
# Nothing is served before all stores are there.
. ./common.sh
wait_for_database
wait_for_redis_inmem
wait_for "${CVAT_REDIS_ONDISK_HOST}" "${CVAT_REDIS_ONDISK_PORT}"
exec "$@"
