"""The data folder: made right at once, left as it is after, and never half a file in it."""

import os
import stat
from pathlib import Path

import pytest

from cvatd.core.errors import CvatdError
from cvatd.core.settings import StackSettings
from cvatd.stack import layout
from cvatd.stack.spec import Owner, stack_file

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="ownership is given by root")


@pytest.fixture
def settings(tmp_path: Path) -> StackSettings:
    return StackSettings(data_dir=tmp_path / "below" / "cvat")


def seen(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)


def external(tmp_path: Path) -> StackSettings:
    database = {"host": "db.example.org", "password_file": str(tmp_path / "password")}
    return StackSettings.model_validate({"data_dir": str(tmp_path / "cvat"), "database": database})


@needs_root
def test_every_folder_is_made_for_its_user_and_made_once(settings: StackSettings) -> None:
    made = layout.ensure(settings)
    assert made == list(layout.folders(settings))
    for name, owner in stack_file().folders.items():
        assert seen(settings.data_dir / name) == (owner.uid, owner.gid, owner.bits)
    assert seen(settings.data_dir) == (0, 0, 0o700)
    assert layout.ensure(settings) == []
    assert layout.wrong_owners(settings) == []


@needs_root
def test_what_is_missing_alone_is_made_and_what_is_there_is_left(settings: StackSettings) -> None:
    layout.ensure(settings)
    kept = settings.data_dir / "logs"
    os.chown(kept, 4711, 4712)
    (kept / "a.log").write_text("a line")
    (settings.data_dir / "keys").rmdir()
    assert layout.ensure(settings) == [settings.data_dir / "keys"]
    assert seen(kept)[:2] == (4711, 4712)
    assert (kept / "a.log").read_text() == "a line"


@needs_root
def test_a_folder_that_a_crash_left_half_made_is_finished(settings: StackSettings) -> None:
    settings.data_dir.mkdir(parents=True)
    (settings.data_dir / ".postgres.new").mkdir(mode=0o755)
    assert settings.data_dir / "postgres" in layout.ensure(settings)
    assert seen(settings.data_dir / "postgres") == (70, 70, 0o700)
    assert not [path for path in settings.data_dir.iterdir() if path.name.endswith(".new")]


def test_parents_come_before_what_lies_in_them(settings: StackSettings) -> None:
    before = {settings.data_dir}
    for folder in layout.folders(settings):
        assert folder.parent in before
        before.add(folder)


def test_a_database_outside_needs_no_folder_here(tmp_path: Path) -> None:
    settings = external(tmp_path)
    folders = layout.folders(settings)
    assert settings.data_dir / "postgres" not in folders
    assert len(folders) == len(stack_file().folders) - 1


@needs_root
@pytest.mark.parametrize("where", ["above", "it", "in"])
def test_a_file_in_the_way_is_said_in_words(tmp_path: Path, where: str) -> None:
    settings = StackSettings(data_dir=tmp_path / "above" / "it")
    path = {"above": tmp_path / "above", "it": settings.data_dir, "in": settings.data_dir / "postgres"}[where]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("not a folder")
    with pytest.raises(CvatdError, match=str(settings.data_dir)) as refused:
        layout.ensure(settings)
    assert refused.value.code == "data_dir"
    assert path.read_text() == "not a folder"


@needs_root
def test_wrong_owners_and_modes_that_are_too_wide_are_told(settings: StackSettings) -> None:
    layout.ensure(settings)
    folder = settings.data_dir
    os.chown(folder / "redis", 0, 0)
    (folder / "postgres").chmod(0o755)
    (folder / "data").chmod(0o700)  # narrower is its users' own business
    (folder / "logs").rmdir()
    wrong = {each.path: each for each in layout.wrong_owners(settings)}
    assert wrong.keys() == {folder / "redis", folder / "postgres"}
    assert (
        str(wrong[folder / "redis"])
        == f"{folder / 'redis'} belongs to 0:0 with mode 0700; 999:1000 with 0700 is needed"
    )
    assert "mode 0755; 70:70 with 0700" in str(wrong[folder / "postgres"])


@needs_root
def test_each_of_them_can_be_put_right_without_what_lies_in_it(settings: StackSettings) -> None:
    layout.ensure(settings)
    folder = settings.data_dir / "redis"
    (folder / "dump.rdb").write_text("x")
    os.chown(folder, 0, 0)
    for wrong in layout.wrong_owners(settings):
        layout.give(wrong.path, wrong.owner)
    assert layout.wrong_owners(settings) == []
    assert seen(folder / "dump.rdb")[:2] == (0, 0)


@needs_root
def test_the_proxys_configuration_follows_the_release(settings: StackSettings) -> None:
    layout.ensure(settings)
    file = settings.data_dir / layout.NGINX_CONF
    first = file.read_text()
    assert "cvat-server:8080" in first
    assert not any(f"@{name}@" in first for name in layout.proxy_parameters(settings))
    assert not layout.write_proxy_configuration(settings)
    older = settings.model_copy(update={"version": "2.21.0"})
    assert layout.proxy_parameters(older)["ui_port"] != layout.proxy_parameters(settings)["ui_port"]
    assert layout.write_proxy_configuration(older)
    assert file.read_text() == layout.proxy_configuration(older) != first
    assert seen(file)[2] == 0o644, "the user inside reads it"


def test_a_file_is_replaced_whole_with_its_mode(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("a longer text that was there before")
    os.link(file, tmp_path / "as it was")
    before = os.umask(0o077)
    try:
        layout.write_atomically(file, "new", 0o644)
    finally:
        os.umask(before)
    assert file.read_text() == "new"
    assert seen(file)[2] == 0o644
    assert (tmp_path / "as it was").read_text() == "a longer text that was there before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["as it was", "file"]


def test_what_cannot_be_written_leaves_the_old(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        layout.write_atomically(file, "half \ud800", 0o600)
    assert file.read_text() == "old"


@needs_root
def test_the_owner_of_a_file_is_a_number_and_no_name(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    layout.give(file, Owner(uid=123456, gid=654321, mode="0640"))
    assert seen(file) == (123456, 654321, 0o640)
