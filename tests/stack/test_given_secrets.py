"""Secrets that the operator gives by a file."""

import os
from pathlib import Path

import pytest

from cvatd.core.errors import CvatdError
from cvatd.core.settings import StackSettings
from cvatd.stack import layout, secret_files


@pytest.fixture(autouse=True)
def kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files stay whose they are: to give them away takes root."""
    monkeypatch.setattr(layout, "_hand", lambda descriptor, owner: os.fchmod(descriptor, owner.bits))


def make(data_dir: Path, superuser: dict[str, str]) -> StackSettings:
    settings = StackSettings.model_validate({"data_dir": str(data_dir), "superuser": superuser})
    layout.ensure(settings)
    return settings


def test_the_superuser_password_is_that_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("a good one\n")
    settings = make(tmp_path / "cvat", {"password_file": str(file), "initial_password": "worse"})
    secret_files.ensure(settings)
    assert secret_files.read(settings, secret_files.SUPERUSER) == "a good one"


def test_a_password_that_stands_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("the first")
    settings = make(tmp_path / "cvat", {"password_file": str(file)})
    secret_files.ensure(settings)
    file.write_text("the second")
    assert secret_files.ensure(settings) == []
    assert secret_files.read(settings, secret_files.SUPERUSER) == "the first"


@pytest.mark.parametrize("content", [None, "", " \n"])
def test_an_unusable_file_is_named_with_its_setting(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_text(content)
    settings = make(tmp_path / "cvat", {"password_file": str(file)})
    with pytest.raises(CvatdError, match=r"stack\.superuser\.password_file") as refused:
        secret_files.ensure(settings)
    assert refused.value.code == "secret"
    assert str(file) in refused.value.message
