import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import cvat.engine.models


class Migration(migrations.Migration):
    initial = True
    dependencies = [migrations.swappable_dependency(settings.AUTH_USER_MODEL)]
    operations = [
        migrations.CreateModel(
            "Token",
            [
                ("key", models.CharField(default=cvat.engine.models.new_key, max_length=40, primary_key=True)),
                (
                    "user",
                    models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, to=settings.AUTH_USER_MODEL),
                ),
            ],
        ),
        migrations.CreateModel(
            "Upload",
            [
                ("id", models.UUIDField(default=uuid.uuid4, primary_key=True)),
                ("task", models.IntegerField()),
                ("length", models.BigIntegerField()),
            ],
        ),
    ]
