"""Run by CVAT's own Python after its `init`: makes the superuser when there is none, and says what was found.

The container has no way to us but the folder /init; the answer is renamed into place there.
"""

import hashlib
import json
import os
import pathlib

from django.contrib.auth import get_user_model
from django.db import connection
from django.db.migrations.loader import MigrationLoader

username = os.environ["CVATD_SUPERUSER"]
changed = os.environ.get("CVATD_SET_PASSWORD")
password = pathlib.Path("/run/secrets", changed or "superuser-password").read_text().strip()
users = get_user_model().objects
made = not users.filter(username=username).exists()
if made:
    users.create_superuser(username, os.environ["CVATD_SUPERUSER_EMAIL"], password)
elif changed:
    user = users.get(username=username)
    user.set_password(password)
    user.save()
    made = True
stored = users.get(username=username).password
answer = {
    "required": sorted(f"{app}.{name}" for app, name in MigrationLoader(connection).graph.nodes),
    "superuser": {"username": username, "made": made, "mark": hashlib.sha256(stored.encode()).hexdigest()},
}
fresh = pathlib.Path("/init/.answer")
fresh.write_text(json.dumps(answer))
fresh.rename("/init/answer.json")
