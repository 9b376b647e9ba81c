"""One command at a time, also over the folder's own renaming."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from cvatd.core.errors import CvatdError
from cvatd.core.settings import StackSettings
from cvatd.stack.lock import exclusive

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
