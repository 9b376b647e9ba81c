from django.db import migrations


class Migration(migrations.Migration):
    """Older releases lack it: what an upgrade brings."""

    dependencies = [("engine", "0002_slow")]
    operations = [
        migrations.RunSQL("CREATE INDEX engine_upload_task ON engine_upload (task)", "DROP INDEX engine_upload_task"),
    ]
