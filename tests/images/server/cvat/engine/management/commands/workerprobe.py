"""Whether this container's workers are registered and alive."""

import os
import platform
from datetime import UTC, datetime

import django_rq
from django.core.management.base import BaseCommand, CommandError
from rq import Worker


class Command(BaseCommand):
    def add_arguments(self, parser):
        parser.add_argument("queues", nargs="+")

    def handle(self, *args, **options):
        expected = int(os.environ.get("NUMPROCS", "1"))
        for name in options["queues"]:
            workers = [w for w in Worker.all(queue=django_rq.get_queue(name)) if w.hostname == platform.node()]
            if len(workers) != expected:
                raise CommandError(f"Number of registered workers does not match ({len(workers)} != {expected})")
            for worker in workers:
                beat = worker.last_heartbeat.replace(tzinfo=UTC)
                if (datetime.now(UTC) - beat).total_seconds() > worker.worker_ttl:
                    raise CommandError(f"It seems that worker {worker.name} is dead")
