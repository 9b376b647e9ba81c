"""Registers the periodic jobs of the cleaning queue, each once."""

import time

import django_rq
from django.core.management.base import BaseCommand

KEY = "rq:scheduler:scheduled_jobs"
JOBS = ("clean_up_sessions", "cron_export_cache_directory_cleanup", "cron_tmp_directory_cleanup")


class Command(BaseCommand):
    def handle(self, *args, **options):
        connection = django_rq.get_connection("cleaning")
        for name in JOBS:
            if connection.zadd(KEY, {name: time.time() + 3600}, nx=True):
                self.stdout.write(f"Creating periodic job: {name}")
