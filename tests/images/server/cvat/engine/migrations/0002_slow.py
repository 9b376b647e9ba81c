import os
import time

from django.db import migrations, models


def take_time(apps, schema_editor):
    """Long enough for a second `migrate` to come between; tests that kill one in its midst ask for more."""
    time.sleep(float(os.environ.get("SLOW_MIGRATION_S", "0.3")))


class Migration(migrations.Migration):
    dependencies = [("engine", "0001_initial")]
    operations = [
        migrations.RunPython(take_time, migrations.RunPython.noop),
        migrations.AddField("Upload", "comment", models.TextField(default="")),
    ]
