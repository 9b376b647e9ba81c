"""Which release the data belong to, and what each image's migrations are: kept beside the data."""

import os
import stat
from pathlib import Path

import pytest

from cvatd.core.settings import StackSettings
from cvatd.stack import versions


@pytest.fixture
def settings(tmp_path: Path) -> StackSettings:
    (tmp_path / "cvat" / "state").mkdir(parents=True)
    return StackSettings(data_dir=tmp_path / "cvat")


def test_before_the_first_init_nothing_is_known(tmp_path: Path) -> None:
    settings = StackSettings(data_dir=tmp_path / "never" / "made")
    assert versions.data_version(settings) is None
    assert versions.postgres_major(settings) is None
    assert versions.migrations_of(settings, "sha256:abc") is None
    assert versions.initial_superuser(settings) == {}


def test_the_release_of_the_data_is_the_one_that_was_recorded_last(settings: StackSettings) -> None:
    versions.record_version(settings, "2.21.0")
    versions.record_version(settings, "2.80.0")
    assert versions.data_version(settings) == "2.80.0"


def test_migrations_are_kept_for_each_image(settings: StackSettings) -> None:
    versions.record_migrations(settings, "sha256:" + "a" * 64, ["engine.0002", "engine.0001"])
    versions.record_migrations(settings, "b" * 64, [])
    assert versions.migrations_of(settings, "a" * 64) == {"engine.0001", "engine.0002"}
    assert versions.migrations_of(settings, "sha256:" + "b" * 64) == set()
    assert versions.migrations_of(settings, "c" * 64) is None


def test_of_many_images_the_last_ones_are_kept(settings: StackSettings) -> None:
    names = [f"{number:064d}"[::-1] for number in range(versions.KEPT_PLANS + 3)]
    for age, name in enumerate(names):
        versions.record_migrations(settings, name, ["a.1"])
        for file in (settings.data_dir / "state" / "plans").glob(f"{name[:40]}.json"):
            os.utime(file, (1000 + age, 1000 + age))
    kept = [name for name in names if versions.migrations_of(settings, name) is not None]
    assert kept == names[-versions.KEPT_PLANS :]


def test_the_first_superuser_is_remembered(settings: StackSettings) -> None:
    versions.record_initial_superuser(settings, "admin", "mark")
    assert versions.initial_superuser(settings) == {"username": "admin", "mark": "mark"}
    mode = (settings.data_dir / "state" / "superuser.json").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


@pytest.mark.parametrize(("content", "major"), [("15\n", 15), ("16", 16), ("", None), ("9.6\n", None), ("\0", None)])
def test_postgresql_says_itself_what_it_is(settings: StackSettings, content: str, major: int | None) -> None:
    (settings.data_dir / "postgres").mkdir()
    (settings.data_dir / "postgres" / "PG_VERSION").write_text(content)
    assert versions.postgres_major(settings) == major


def test_a_container_of_postgresql_leads_us_nowhere(settings: StackSettings, tmp_path: Path) -> None:
    """The folder is its own."""
    mark = settings.data_dir / "postgres" / "PG_VERSION"
    mark.parent.mkdir()
    (tmp_path / "other").write_text("15")
    mark.symlink_to(tmp_path / "other")
    assert versions.postgres_major(settings) is None
    mark.unlink()
    os.mkfifo(mark)
    assert versions.postgres_major(settings) is None
    with os.fdopen(os.open(mark, os.O_RDWR)):  # and somebody who may write
        assert versions.postgres_major(settings) is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'"text"'])
def test_files_that_say_nothing_are_as_good_as_none(settings: StackSettings, content: bytes) -> None:
    versions.record_migrations(settings, "a" * 64, ["a.1"])
    state = settings.data_dir / "state"
    for file in (state / "version.json", state / "superuser.json", state / "plans" / f"{'a' * 40}.json"):
        file.write_bytes(content)
    assert versions.data_version(settings) is None
    assert versions.initial_superuser(settings) == {}
    assert versions.migrations_of(settings, "a" * 64) is None
