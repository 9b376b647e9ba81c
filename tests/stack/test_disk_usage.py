"""How large a folder is."""

import time
from pathlib import Path

from cvatd.stack.disk_usage import Size, size


def test_a_folder_is_measured_with_all_below_it_as_it_lies_on_disk(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_bytes(b"x" * 300_000)
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(10 << 30)
    found = size(tmp_path, time.monotonic() + 10)
    assert found.whole
    assert 300_000 <= found.bytes < 600_000


def test_measuring_ends_with_its_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 10_000)
    assert size(tmp_path, time.monotonic() - 1) == Size(0, whole=False)


def test_what_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    assert size(tmp_path / "not there", time.monotonic() + 10) == Size(0)
