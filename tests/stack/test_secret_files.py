"""The secrets' files: made once, for one reader each, and never lost in a way that locks the database."""

import ast
import os
import stat
from pathlib import Path

import pytest

from cvatd.core.errors import CvatdError
from cvatd.core.settings import StackSettings
from cvatd.stack import layout, secret_files
from cvatd.stack.secret_files import POSTGRES, SUPERUSER
from cvatd.stack.spec import stack_file

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="ownership is given by root")


@pytest.fixture
def settings(tmp_path: Path) -> StackSettings:
    made = StackSettings(data_dir=tmp_path / "cvat")
    layout.ensure(made)
    return made


def external(tmp_path: Path, password: str) -> StackSettings:
    (tmp_path / "password").write_text(password)
    database = {"host": "db.example.org", "password_file": str(tmp_path / "password")}
    made = StackSettings.model_validate({"data_dir": str(tmp_path / "cvat"), "database": database})
    layout.ensure(made)
    return made


def seen(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)


def listed(settings: StackSettings) -> list[str]:
    return sorted(path.name for path in secret_files.folder(settings).iterdir())


def test_each_is_made_once_for_its_reader_alone(settings: StackSettings) -> None:
    assert secret_files.ensure(settings) == [POSTGRES, SUPERUSER, "django-key"]
    first = {name: secret_files.read(settings, name) for name in stack_file().secrets}
    for name, owner in stack_file().secrets.items():
        assert seen(secret_files.path(settings, name)) == (owner.uid, owner.gid, owner.bits)
    assert seen(secret_files.folder(settings)) == (0, 0, 0o700)
    assert seen(secret_files.django_key_file(settings)) == (1000, 1000, 0o600)
    assert len(set(first.values())) == len(first)
    assert all(len(value) == secret_files.PASSWORD_LENGTH for value in first.values())
    assert secret_files.ensure(settings) == []
    assert {name: secret_files.read(settings, name) for name in first} == first
    assert listed(settings) == sorted(first)


def test_djangos_key_is_one_assignment_of_a_text() -> None:
    """Newer releases parse the file and accept nothing else."""
    tree = ast.parse(secret_files.new_django_key())
    assert len(tree.body) == 1
    assignment = tree.body[0]
    assert isinstance(assignment, ast.Assign)
    assert isinstance(assignment.targets[0], ast.Name)
    assert assignment.targets[0].id == "SECRET_KEY"
    assert isinstance(assignment.value, ast.Constant)
    assert len(str(assignment.value.value)) == secret_files.DJANGO_KEY_LENGTH


def test_a_lost_password_of_a_database_that_is_there_becomes_a_change_that_was_begun(settings: StackSettings) -> None:
    """The database still has the old one: only a change that `up` finishes lets the server in again."""
    secret_files.ensure(settings)
    (settings.data_dir / "postgres" / "PG_VERSION").write_text("15\n")
    secret_files.path(settings, POSTGRES).unlink()
    assert secret_files.ensure(settings) == [POSTGRES]
    assert secret_files.is_changing(settings, POSTGRES)
    new = secret_files.propose(settings, POSTGRES)
    assert secret_files.ensure(settings) == []
    assert secret_files.propose(settings, POSTGRES) == new
    secret_files.accept(settings, POSTGRES)
    assert secret_files.read(settings, POSTGRES) == new
    assert not secret_files.is_changing(settings, POSTGRES)


def test_killed_between_the_two_files_it_is_still_a_change(settings: StackSettings) -> None:
    (settings.data_dir / "postgres" / "PG_VERSION").write_text("15\n")
    new = secret_files.propose(settings, POSTGRES)
    secret_files.ensure(settings)
    assert secret_files.is_changing(settings, POSTGRES)
    assert secret_files.propose(settings, POSTGRES) == new


def test_of_a_new_database_the_first_password_is_no_change(settings: StackSettings) -> None:
    secret_files.ensure(settings)
    assert not secret_files.is_changing(settings, POSTGRES)


def test_a_container_leads_us_to_no_other_file(settings: StackSettings, tmp_path: Path) -> None:
    """The key lies in a folder of CVAT's own user, who may put anything there."""
    secret_files.ensure(settings)
    other = tmp_path / "other"
    other.write_text("precious")
    other.chmod(0o640)
    key = secret_files.django_key_file(settings)
    for name in (f".{key.name}.{os.getpid()}", f".{key.name}.making", f"..{key.name}.making.{os.getpid()}"):
        (key.parent / name).symlink_to(other)
    key.unlink()
    key.symlink_to(other)
    secret_files.replace_django_key(settings)
    assert key.read_text().startswith("SECRET_KEY = '")
    assert not key.is_symlink()
    key.unlink()
    key.symlink_to(other)
    with pytest.raises(OSError, match="symbolic links"):
        layout.give(key, secret_files.DJANGO_KEY_OWNER)
    status = other.stat()
    assert (other.read_text(), status.st_uid, status.st_mode & 0o777) == ("precious", 0, 0o640)


def test_all_passwords_are_known_also_one_that_waits(settings: StackSettings) -> None:
    assert secret_files.known(settings) == []
    secret_files.ensure(settings)
    waiting = secret_files.propose(settings, POSTGRES)
    there = [secret_files.read(settings, name) for name in (POSTGRES, SUPERUSER)]
    assert sorted(secret_files.known(settings)) == sorted([*there, waiting])


def test_the_superusers_lost_password_is_no_change_of_the_database(settings: StackSettings) -> None:
    secret_files.ensure(settings)
    (settings.data_dir / "postgres" / "PG_VERSION").write_text("15\n")
    secret_files.path(settings, SUPERUSER).unlink()
    assert secret_files.ensure(settings) == [SUPERUSER]
    assert not secret_files.is_changing(settings, POSTGRES)
    assert not secret_files.is_changing(settings, SUPERUSER)


def test_the_password_of_a_database_outside_follows_its_file(tmp_path: Path) -> None:
    settings = external(tmp_path, "first\n")
    secret_files.ensure(settings)
    assert secret_files.read(settings, POSTGRES) == "first"
    assert secret_files.ensure(settings) == []
    (tmp_path / "password").write_text("second\n")
    assert secret_files.ensure(settings) == [POSTGRES]
    assert secret_files.read(settings, POSTGRES) == "second"
    assert seen(secret_files.path(settings, POSTGRES)) == (1000, 1000, 0o400)


def test_a_password_file_that_went_away_is_named(tmp_path: Path) -> None:
    settings = external(tmp_path, "first")
    (tmp_path / "password").unlink()
    with pytest.raises(CvatdError, match=r"stack\.database\.password_file") as refused:
        secret_files.ensure(settings)
    assert refused.value.code == "secret"


def test_a_secret_that_is_not_there_yet_is_said_with_what_makes_it(settings: StackSettings) -> None:
    with pytest.raises(CvatdError, match="cvatd up") as refused:
        secret_files.read(settings, SUPERUSER)
    assert refused.value.code == "secret"


def test_a_write_that_was_killed_is_written_anew(settings: StackSettings) -> None:
    (secret_files.folder(settings) / f".{POSTGRES}.{os.getpid()}").write_text("half")
    secret_files.ensure(settings)
    assert len(secret_files.read(settings, POSTGRES)) == secret_files.PASSWORD_LENGTH
    assert listed(settings) == sorted(stack_file().secrets)


def test_a_new_key_of_django_replaces_the_old(settings: StackSettings) -> None:
    secret_files.ensure(settings)
    file = secret_files.django_key_file(settings)
    before = file.read_text()
    secret_files.replace_django_key(settings)
    assert file.read_text() != before
    assert seen(file) == (1000, 1000, 0o600)
