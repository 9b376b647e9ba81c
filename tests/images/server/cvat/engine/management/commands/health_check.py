"""CVAT's health on the command line."""

import sys

from django.core.management.base import BaseCommand

from cvat.engine import checks


class Command(BaseCommand):
    def handle(self, *args, **options):
        found = checks.run()
        for name, words in found.items():
            self.stdout.write(f"{name:<24} ... {words}")
        sys.exit(0 if all(words == checks.WORKING for words in found.values()) else 1)
