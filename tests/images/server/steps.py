"""The entry point's `manage.py` calls in one process: each start of Django costs half a second of these tests.

`steps.py COMMAND [--check] + COMMAND ...`: ends with the status of the first that fails.
"""

import os
import sys

import django
from django.core.management import call_command

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cvat.settings.production")
django.setup()
for step in " ".join(sys.argv[1:]).split(" + "):
    call_command(*step.split())
