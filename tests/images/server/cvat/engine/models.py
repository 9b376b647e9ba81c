"""Tokens of the programming interface, and the uploads that are under way."""

import secrets
import uuid

from django.conf import settings
from django.db import models


def new_key():
    return secrets.token_hex(20)


class Token(models.Model):
    key = models.CharField(max_length=40, primary_key=True, default=new_key)
    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)


class Upload(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    task = models.IntegerField()
    length = models.BigIntegerField()
    comment = models.TextField(default="")
