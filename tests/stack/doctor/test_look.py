"""What is read from disk: owners, modes, sizes; and that nothing that hangs or breaks holds up the rest."""

import os
import threading
import time
from pathlib import Path

import pytest

from cvatd.core.errors import CvatdError
from cvatd.core.settings import StackSettings
from cvatd.stack import layout, secret_files, versions
from cvatd.stack.doctor import look as look_module
from cvatd.stack.doctor import sizes
from cvatd.stack.doctor.evidence import Unseen
from cvatd.stack.doctor.look import Later, look_files
from cvatd.stack.doctor.mends import wide_secrets

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to other users")


@pytest.fixture
def settings(tmp_path: Path) -> StackSettings:
    """An initialised data folder with which all is well."""
    made = StackSettings(data_dir=tmp_path / "cvat")
    layout.ensure(made)
    secret_files.ensure(made)
    versions.record_version(made, "2.80.0")
    return made


@needs_root
def test_files_that_are_right(settings: StackSettings) -> None:
    seen = look_files(settings)
    assert (seen.missing, seen.wrong, seen.wide, seen.lost_secrets, seen.changing_secrets) == ([], [], {}, [], [])
    assert seen.data_version == "2.80.0"
    assert seen.postgres_major is None
    assert seen.disk is not None
    assert abs(seen.newest_state_at - time.time()) < 60


@needs_root
def test_files_that_are_wrong(settings: StackSettings) -> None:
    data = settings.data_dir
    (data / "logs").rmdir()
    (data / "data").chmod(0o777)
    os.chown(data / "keys", 0, 0)
    (data / "secrets").chmod(0o755)
    secret_files.path(settings, secret_files.SUPERUSER).unlink()
    secret_files.propose(settings, secret_files.POSTGRES)
    (data / "postgres" / "PG_VERSION").write_text("13\n")
    seen = look_files(settings)
    assert seen.missing == [data / "logs"]
    assert {wrong.path for wrong in seen.wrong} >= {data / "data", data / "keys"}
    assert seen.wide == {data / "secrets": 0o755}
    assert seen.lost_secrets == [secret_files.SUPERUSER]
    assert seen.changing_secrets == [secret_files.POSTGRES]
    assert seen.postgres_major == 13


def test_before_the_first_up_nothing_is_missing(tmp_path: Path) -> None:
    seen = look_files(StackSettings(data_dir=tmp_path / "cvat"))
    assert (seen.missing, seen.lost_secrets, seen.disk) == ([], [], None)


def test_old_exports_are_counted(tmp_path: Path) -> None:
    now = time.time()
    for name, age_s in (("new", 60), ("old", 3 * 86_400), ("older", 9 * 86_400)):
        (tmp_path / name).write_text(name)
        os.utime(tmp_path / name, (now - age_s, now - age_s))
    count, oldest = sizes.stale_files(tmp_path, now - sizes.STALE_S)
    assert count == 2
    assert oldest == pytest.approx(now - 9 * 86_400, abs=1)
    assert sizes.stale_files(tmp_path / "absent", now) == (0, 0.0)


def test_wide_secrets(tmp_path: Path) -> None:
    narrow, wide = tmp_path / "narrow", tmp_path / "wide"
    for file, mode in ((narrow, 0o400), (wide, 0o644)):
        file.write_text("x")
        file.chmod(mode)
    assert wide_secrets(tmp_path, [narrow, wide, tmp_path / "absent"]) == {wide: 0o644}


def test_a_part_that_hangs_or_breaks_is_unseen_and_the_others_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look_module, "PART_TIMEOUT_S", 0.3)
    later, never = Later(), threading.Event()

    def refuse() -> int:
        raise CvatdError("podman", "nobody answers")

    def breaks() -> int:
        return 1 // 0

    hangs, refuses, broken, works = map(later.begin, (never.wait, refuse, breaks, lambda: 7))
    began = time.monotonic()
    assert works() == 7
    assert refuses() == Unseen("nobody answers")
    assert broken() == Unseen("ZeroDivisionError: integer division or modulo by zero")
    assert isinstance(hangs(), Unseen)
    assert time.monotonic() - began < 10
    never.set()
