"""The parts of CVAT's health, each with its own words."""

import shutil
import urllib.error
import urllib.request

from django.conf import settings
from django.core.cache import caches
from django.db import connection

WORKING = "working"


def run():
    return {name: _words(check) for name, check in CHECKS.items()}


def _words(check):
    try:
        return check() or WORKING
    except Exception as error:
        return f"unavailable: {type(error).__name__}: {error}"


def _cache(name):
    def check():
        caches[name].set("health-check", "itworks")
        return None if caches[name].get("health-check") == "itworks" else "unexpected result: it did not keep a value"

    return check


def _database():
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def _disk():
    total, used, _ = shutil.disk_usage(settings.DATA_ROOT)
    if used / total * 100 >= settings.DISK_USAGE_MAX:
        return f"warning: {settings.DATA_ROOT} {used / total:.1%} disk usage exceeds {settings.DISK_USAGE_MAX}%"
    return None


def _memory():
    return None


def _opa():
    try:
        urllib.request.urlopen(f"{settings.OPA_URL}/health?bundles", timeout=5).close()
    except urllib.error.HTTPError as error:
        return f"unavailable: OPA answered {error.code}"


CHECKS = {
    "Cache backend: default": _cache("default"),
    "Cache backend: media": _cache("media"),
    "DatabaseBackend": _database,
    "DiskUsage": _disk,
    "MemoryUsage": _memory,
    "OPAHealthCheck": _opa,
}
