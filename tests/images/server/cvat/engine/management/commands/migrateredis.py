"""Migrations of what CVAT keeps in Redis; their marks are there too."""

import sys

import django_rq
from django.core.management.base import BaseCommand

KEY = "cvat:applied_migrations"
MIGRATIONS = ("engine.001_queues", "engine.002_requests")


class Command(BaseCommand):
    def add_arguments(self, parser):
        parser.add_argument("--check", action="store_true")

    def handle(self, *args, **options):
        connection = django_rq.get_connection("import")
        applied = {name.decode() for name in connection.smembers(KEY)}
        missing = [name for name in MIGRATIONS if name not in applied]
        if options["check"]:
            sys.exit(1 if missing else 0)
        for name in missing:
            connection.sadd(KEY, name)
            self.stdout.write(f"[{name}] Successfully applied migration")
        if not missing:
            self.stdout.write("Nothing to migrate")
