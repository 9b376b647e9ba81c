"""What may be reset."""

from pathlib import Path

import pytest

from cvatd.core.errors import CvatdError
from cvatd.core.settings import StackSettings
from cvatd.stack.reset import check


def test_a_folder_that_is_not_there_is_nothing_to_reset(tmp_path: Path) -> None:
    with pytest.raises(CvatdError, match="there is no"):
        check(StackSettings(data_dir=tmp_path / "cvat"))


def test_a_mount_point_is_refused_before_anything_is_stopped() -> None:
    with pytest.raises(CvatdError, match="mount point"):
        check(StackSettings(data_dir=Path("/dev/shm")))
