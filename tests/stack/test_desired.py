"""What a host should run, with the marks of the files that containers read at their start; and which data they read."""

import os
from pathlib import Path

import pytest

from cvatd.core.errors import CvatdError
from cvatd.core.settings import StackSettings
from cvatd.stack import layout, secret_files, versions
from cvatd.stack.desired import check_data, desired
from cvatd.stack.limits import Parent
from cvatd.stack.plan import differences
from cvatd.stack.podman import Host
from cvatd.stack.render import render
from cvatd.stack.spec import Stack

CGROUPFS = Host("4.3.1", "cgroupfs", "v2", False, Path("/"))
SYSTEMD = Host("4.3.1", "systemd", "v2", False, Path("/"))

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="ownership is given by root")


@pytest.fixture
def settings(tmp_path: Path) -> StackSettings:
    made = StackSettings(data_dir=tmp_path / "cvat")
    layout.ensure(made)
    secret_files.ensure(made)
    return made


def as_declared(settings: StackSettings, host: Host = CGROUPFS) -> Stack:
    return desired(settings, Parent(settings.slice, host))


def changed(before: Stack, after: Stack) -> dict[str, list[str]]:
    """Container -> why it would be made anew."""
    reasons = {c.name: differences(before.container(c.name).model_dump_json(), c) for c in after.containers}
    return {name: words for name, words in reasons.items() if words}


@needs_root
def test_asked_twice_it_is_the_same(settings: StackSettings) -> None:
    assert as_declared(settings) == as_declared(settings)


@needs_root
def test_a_new_password_of_the_database_is_for_all_that_use_it(settings: StackSettings) -> None:
    before = as_declared(settings)
    secret_files.path(settings, secret_files.POSTGRES).unlink()
    secret_files.ensure(settings)
    users = {c.name for c in before.containers if secret_files.POSTGRES in c.secrets}
    assert users >= {"cvat-db", "cvat-server"}
    assert changed(before, as_declared(settings)) == {user: ["postgres-password changed"] for user in users}


@needs_root
def test_a_new_key_of_django_is_for_all_that_see_it(settings: StackSettings) -> None:
    before = as_declared(settings)
    secret_files.replace_django_key(settings)
    users = {c.name for c in before.containers if any(m.target == "/home/django/keys" for m in c.mounts)}
    assert "cvat-server" in users
    assert "cvat-db" not in users
    assert changed(before, as_declared(settings)) == {user: ["django-key changed"] for user in users}


@needs_root
def test_another_configuration_of_the_proxy_is_for_the_proxy(
    settings: StackSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = as_declared(settings)
    monkeypatch.setattr(layout, "proxy_configuration", lambda settings: "another")
    assert changed(before, as_declared(settings)) == {"cvat-proxy": ["nginx.conf changed"]}


@needs_root
def test_another_cgroup_parent_is_for_all(settings: StackSettings) -> None:
    after = as_declared(settings, SYSTEMD)
    assert changed(as_declared(settings), after) == {name: ["cgroup parent changed"] for name in after.names}


@needs_root
def test_no_mark_tells_a_secret(settings: StackSettings) -> None:
    shown = as_declared(settings).model_dump_json()
    for name in (secret_files.POSTGRES, secret_files.SUPERUSER):
        assert secret_files.read(settings, name) not in shown
    assert secret_files.django_key_file(settings).read_text().split("'")[1] not in shown


def test_it_can_be_asked_before_anything_is_made(tmp_path: Path) -> None:
    assert as_declared(StackSettings(data_dir=tmp_path / "never" / "made")).names


# ---- data that an image cannot read ----


@pytest.fixture
def bare(tmp_path: Path) -> StackSettings:
    (tmp_path / "cvat" / "state").mkdir(parents=True)
    (tmp_path / "cvat" / "postgres").mkdir()
    return StackSettings(data_dir=tmp_path / "cvat", version="2.52.0")


@pytest.mark.parametrize("recorded", [None, "2.21.0", "2.51.9", "2.52.0"])
def test_data_of_the_same_or_an_older_release_are_taken(bare: StackSettings, recorded: str | None) -> None:
    if recorded:
        versions.record_version(bare, recorded)
    check_data(bare, render(bare))


@pytest.mark.parametrize("recorded", ["2.52.1", "2.80.0", "10.0.0"])
def test_data_of_a_newer_release_are_refused_with_both_versions(bare: StackSettings, recorded: str) -> None:
    versions.record_version(bare, recorded)
    with pytest.raises(CvatdError, match=rf"{recorded} .*2\.52\.0") as refused:
        check_data(bare, render(bare))
    assert refused.value.code == "data_version"
    assert f"Set stack.version to {recorded}" in refused.value.message


def test_a_folder_of_another_postgresql_is_refused(bare: StackSettings) -> None:
    file = bare.data_dir / "postgres" / "PG_VERSION"
    file.write_text("15\n")
    check_data(bare, render(bare))
    file.write_text("13\n")
    with pytest.raises(CvatdError, match=r"PostgreSQL 13 .* PostgreSQL 15") as refused:
        check_data(bare, render(bare))
    assert refused.value.code == "data_version"


def test_a_database_outside_may_be_of_any_version(bare: StackSettings, tmp_path: Path) -> None:
    (bare.data_dir / "postgres" / "PG_VERSION").write_text("13\n")
    database = {"host": "db.example.org", "password_file": str(tmp_path / "password")}
    outside = StackSettings.model_validate({"data_dir": str(bare.data_dir), "version": "2.52.0", "database": database})
    check_data(outside, render(outside))


@pytest.mark.parametrize("content", ['{"version": "later"}', '{"version": 7}', '{"version": "2.52"}'])
def test_a_record_that_names_no_release_is_no_crash(bare: StackSettings, content: str) -> None:
    (bare.data_dir / "state" / "version.json").write_text(content)
    check_data(bare, render(bare))
