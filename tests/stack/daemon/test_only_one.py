"""One daemon for one data folder, also after `reset` set the folder aside."""

import os
from pathlib import Path

import pytest

from cvatd.core.errors import CvatdError
from cvatd.core.settings import StackSettings
from cvatd.stack.daemon.only_one import LOCK_FILE, OnlyOne


def test_only_one_and_again_after_the_folder_was_set_aside(tmp_path: Path) -> None:
    folder = tmp_path / "cvat"
    folder.mkdir()
    settings = StackSettings(data_dir=folder)
    first = OnlyOne(settings)
    with pytest.raises(CvatdError, match=f"process {os.getpid()}") as caught:
        OnlyOne(settings)
    assert caught.value.code == "busy"
    folder.rename(tmp_path / "old")
    first.renew()  # there is nothing to keep
    folder.mkdir()
    first.renew()
    with pytest.raises(CvatdError, match="already"):
        OnlyOne(settings)
    first.close()
    OnlyOne(settings).close()


def test_a_folder_that_takes_no_lock_is_said_in_words(tmp_path: Path) -> None:
    """As one that is read-only to its unit."""
    (tmp_path / LOCK_FILE).mkdir()
    with pytest.raises(CvatdError, match=r"stack\.data_dir") as refused:
        OnlyOne(StackSettings(data_dir=tmp_path))
    assert refused.value.code == "data_dir"
