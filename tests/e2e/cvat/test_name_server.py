"""The containers' name server ends, as that of Debian 12 may by itself when containers come and go at once."""

import os
import signal
import time

import pytest

from cvatd.core.errors import CvatdError
from cvatd.stack import name_server
from cvatd.stack.spec import Health
from tests.e2e.cvat.stand import Stand
from tests.e2e.cvat.test_init import bring_stores

pytestmark = pytest.mark.e2e
WAIT_S = 30
ASK_S = 4


ASK = ["redis-cli", "-h", "cvat-kvrocks", "-p", "6666", "ping"]


def test_what_waits_for_a_name_is_helped(stand: Stand) -> None:
    bring_stores(stand)

    def finds() -> bool:
        try:
            return stand.podman.execute("cvat-redis", ASK, timeout_s=ASK_S).status == 0
        except CvatdError:
            return False

    assert finds()
    os.kill(int(name_server.PID_FILE.read_text()), signal.SIGKILL)
    deadline = time.monotonic() + WAIT_S
    while not name_server.is_gone():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert not finds()
    check = Health(exec=ASK, interval_s=1, timeout_s=ASK_S, retries=1, start_s=1)
    waiting = stand.runner().stack().container("cvat-redis").model_copy(update={"health": check})
    stand.runner().wait_healthy(waiting, lambda *_: None, lambda: False)
    assert not name_server.is_gone()
    assert finds()
