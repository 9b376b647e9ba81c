"""What may be reset, and how large it is."""

import time
from pathlib import Path

import pytest

from cvatd.core.errors import CvatdError
from cvatd.core.settings import StackSettings
from cvatd.stack.reset import Size, check, measure


def test_a_folder_that_is_not_there_is_nothing_to_reset(tmp_path: Path) -> None:
    with pytest.raises(CvatdError, match="there is no"):
        check(StackSettings(data_dir=tmp_path / "cvat"))


def test_a_mount_point_is_refused_before_anything_is_stopped() -> None:
    with pytest.raises(CvatdError, match="mount point"):
        check(StackSettings(data_dir=Path("/dev/shm")))


def test_a_folder_is_measured_with_all_below_it(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_bytes(b"x" * 300_000)
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    found = measure(tmp_path, time.monotonic() + 10)
    assert found.whole
    assert 300_000 <= found.bytes < 600_000


def test_measuring_ends_with_its_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 10_000)
    assert measure(tmp_path, time.monotonic() - 1) == Size(0, whole=False)


def test_what_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    assert measure(tmp_path / "not there", time.monotonic() + 10) == Size(0)
