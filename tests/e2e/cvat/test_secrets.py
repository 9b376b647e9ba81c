"""Rotation of the secrets against the real PostgreSQL and Django, also when it was interrupted."""

import base64
import hashlib
import json

import pytest
import requests

from cvatd.core.errors import CvatdError
from cvatd.stack import facts, rotate, secret_files
from tests.e2e.cvat.stand import Stand

pytestmark = pytest.mark.e2e
HTTP_TIMEOUT_S = 20


def sign_in(standing: Stand, password: str) -> int:
    body = {"username": "admin", "password": password}
    return requests.post(f"{standing.url}/api/auth/login", json=body, timeout=HTTP_TIMEOUT_S).status_code


def database_takes(standing: Stand, password: str) -> bool:
    """Over the network, where passwords are asked for."""
    argv = ["env", f"PGPASSWORD={password}", "psql", "-w", "-h", "cvat-db", "-U", "root", "-d", "cvat", "-c", "SELECT"]
    return standing.podman.execute("cvat-db", argv).status == 0


def test_the_database_has_a_new_password_that_nobody_saw(standing: Stand) -> None:
    old = secret_files.read(standing.settings, secret_files.POSTGRES)
    before = standing.ids()
    assert database_takes(standing, old)
    shown = standing.cvatd("secrets", "rotate", "database")
    new = secret_files.read(standing.settings, secret_files.POSTGRES)
    assert new != old
    assert database_takes(standing, new)
    assert not database_takes(standing, old)
    changed = {name for name, id_ in standing.ids().items() if before.get(name) != id_}
    assert {"cvat-server", "cvat-worker-low"} <= changed
    assert not changed & {"cvat-redis", "cvat-ui", "cvat-proxy", "cvat-opa", "cvat-kvrocks"}
    seen = shown.stdout + shown.stderr + standing.podman.logs("cvat-db", 200)
    seen += "".join(json.dumps(standing.podman.inspect(name)) for name in standing.ids())
    assert new not in seen
    assert old not in seen


def test_up_finishes_a_change_that_was_interrupted(standing: Stand) -> None:
    """As a crash leaves it between the database's change and the file's, and the key's and its readers'."""
    settings = standing.settings
    old = secret_files.read(settings, secret_files.POSTGRES)
    new = secret_files.propose(settings, secret_files.POSTGRES)
    rotate._set_role_password(standing.podman.url, new)
    secret_files.replace_django_key(settings)
    assert secret_files.read(settings, secret_files.POSTGRES) == old
    assert "django-key changed" in standing.cvatd("plan").stdout
    standing.cvatd("up")
    assert secret_files.read(settings, secret_files.POSTGRES) == new
    assert not secret_files.is_changing(settings, secret_files.POSTGRES)
    assert database_takes(standing, new)
    assert json.loads(standing.cvatd("plan", "--json").stdout)["empty"]
    assert sign_in(standing, secret_files.read(settings, secret_files.SUPERUSER)) == 200


def test_the_superuser_has_a_new_password(standing: Stand) -> None:
    settings = standing.settings
    old = secret_files.read(settings, secret_files.SUPERUSER)
    begun = secret_files.propose(settings, secret_files.SUPERUSER)
    assert "begun and not finished" in standing.cvatd("password").stderr
    standing.cvatd("secrets", "rotate", "superuser")
    shown = json.loads(standing.cvatd("password", "--json").stdout)
    assert shown == {"username": "admin", "password": begun, "state": "in_force", "words": ""}
    assert sign_in(standing, begun) == 200
    assert sign_in(standing, old) == 400


def test_a_password_that_was_changed_in_cvat_is_said_to_be(standing: Stand) -> None:
    stored = "SELECT password FROM auth_user WHERE username = 'admin'"
    change = f"UPDATE auth_user SET password = ({stored}) || 'x' WHERE username = 'admin';\n"
    back = "UPDATE auth_user SET password = rtrim(password, 'x') WHERE username = 'admin';\n"
    standing.cvatd("shell", "db", input=change)
    try:
        shown = standing.cvatd("password")
        assert "changed in CVAT since" in shown.stderr
    finally:
        standing.cvatd("shell", "db", input=back)
    assert standing.cvatd("password").stderr == ""


def test_a_password_that_cvat_stored_anew_is_not_said_to_be_changed(standing: Stand) -> None:
    """As Django does when somebody signs in after an upgrade of it: with more iterations."""
    password = secret_files.read(standing.settings, secret_files.SUPERUSER)
    derived = hashlib.pbkdf2_hmac("sha256", password.encode(), b"salt", 1000)
    weaker = f"pbkdf2_sha256$1000$salt${base64.b64encode(derived).decode()}"
    standing.cvatd("shell", "db", input=f"UPDATE auth_user SET password = '{weaker}' WHERE username = 'admin';\n")
    assert sign_in(standing, password) == 200
    assert facts.superuser_hashes(standing.podman, standing.settings)["admin"] != weaker
    shown = json.loads(standing.cvatd("password", "--json").stdout)
    assert (shown["state"], shown["words"]) == ("in_force", "")


def test_a_new_password_is_refused_in_words_by_a_database_that_is_down(standing: Stand) -> None:
    standing.podman.stop("cvat-db", 10)
    try:
        refused = standing.cvatd("secrets", "rotate", "database", check=False)
        assert refused.returncode == 3
        assert "cvat-db is exited" in refused.stderr
        assert not secret_files.is_changing(standing.settings, secret_files.POSTGRES)
        with pytest.raises(CvatdError, match=r"did not take .* The old one is in force"):
            rotate._set_role_password(standing.podman.url, "x")
        assert "cannot be seen" in standing.cvatd("password").stderr
    finally:
        standing.cvatd("up")
