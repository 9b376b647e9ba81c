"""Groups are made after each migration, as CVAT's signals do."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate, post_save

ROLES = ("admin", "user", "worker")


class EngineConfig(AppConfig):
    name = "cvat.engine"
    label = "engine"

    def ready(self):
        post_migrate.connect(make_groups, sender=self)
        post_save.connect(assign_group, sender="auth.User")


def make_groups(**_):
    from django.contrib.auth.models import Group

    for role in ROLES:
        Group.objects.get_or_create(name=role)


def assign_group(instance, created, **_):
    from django.contrib.auth.models import Group

    if created:
        instance.groups.add(Group.objects.get(name="admin" if instance.is_superuser else "user"))
