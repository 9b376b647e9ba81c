#!/bin/sh
# Debian's busybox falls over its own -T (a null pointer), Alpine's does not: the bound is kept in another way.
limit_s=30
arguments=
while [ $# -gt 0 ]; do
    case $1 in
        -T) limit_s=$2; shift ;;
        *) arguments="$arguments '$1'" ;;
    esac
    shift
done
eval "exec timeout $limit_s busybox wget $arguments"
