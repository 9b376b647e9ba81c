"""One command at a time, also over the folder's own renaming."""

import fcntl
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from cvatd.core.errors import CvatdError
from cvatd.core.settings import StackSettings
from cvatd.stack.lock import exclusive, held, last_taken

HOLD = """
import sys, time
from pathlib import Path
from cvatd.core.settings import StackSettings
from cvatd.stack.lock import exclusive
with exclusive(StackSettings(data_dir=Path(sys.argv[1]))):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_one_is_refused_with_the_process_that_holds_it(tmp_path: Path) -> None:
    settings = StackSettings(data_dir=tmp_path / "cvat")
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(settings.data_dir)], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(CvatdError, match=f"process {holder.pid}") as refused, exclusive(settings, timeout_s=0.2):
            pass
        assert refused.value.code == "busy"
    finally:
        holder.kill()
        holder.wait(10)
    with exclusive(settings, timeout_s=2):
        pass


def test_who_waited_while_the_folder_was_renamed_locks_the_new_one(tmp_path: Path) -> None:
    settings = StackSettings(data_dir=tmp_path / "cvat")
    taken = threading.Event()
    seen: list[bool] = []

    def second() -> None:
        with exclusive(settings, timeout_s=20):
            seen.append((settings.data_dir / ".lock").exists())
            taken.set()

    with exclusive(settings):
        waiting = threading.Thread(target=second, daemon=True)
        waiting.start()
        assert not taken.wait(0.3)
        settings.data_dir.rename(tmp_path / "cvat.reset")
    assert taken.wait(20)
    assert seen == [True]
    waiting.join(10)


@pytest.mark.parametrize("data_dir", ["file", "file/below", "dangling"])
def test_a_data_folder_that_cannot_be_is_told_in_words(tmp_path: Path, data_dir: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "dangling").mkdir()
    (tmp_path / "dangling" / ".lock").symlink_to("nowhere/below")
    settings = StackSettings(data_dir=tmp_path / data_dir)
    with pytest.raises(CvatdError, match=r"stack\.data_dir") as error, exclusive(settings, timeout_s=0.1):
        pass
    assert error.value.code == "data_dir"
    assert str(settings.data_dir) in error.value.message


def test_two_may_make_the_data_folder_at_once(tmp_path: Path) -> None:
    settings = StackSettings(data_dir=tmp_path / "a" / "cvat")
    faults: list[BaseException] = []

    def make() -> None:
        try:
            with exclusive(settings):
                pass
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=make, daemon=True) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert faults == []
    assert settings.data_dir.stat().st_mode & 0o777 == 0o700


def test_who_holds_the_lock(tmp_path: Path) -> None:
    assert not held(tmp_path)
    assert last_taken(tmp_path) == (0.0, 0)
    with (tmp_path / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("4711")
        lock.flush()
        assert held(tmp_path)
        assert last_taken(tmp_path) == ((tmp_path / ".lock").stat().st_mtime, 4711)
    assert not held(tmp_path)
