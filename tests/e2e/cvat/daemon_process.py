"""The daemon with times that suit a test: `python -m tests.e2e.cvat.daemon_process`; else as `cvatd daemon` runs it."""

import os

from cvatd.core import log
from cvatd.core.errors import CvatdError
from cvatd.core.settings import load_settings
from cvatd.stack.daemon.decide import Policy
from cvatd.stack.daemon.keeper import Keeper, Times

POLICY = Policy(first_pause_s=0.2, longest_pause_s=1.0, ceiling=3, window_s=600.0, well_s=60.0, settle_s=2.0)
TIMES = Times(look_s=2.0, turn_s=0.3)


def main() -> None:
    settings = load_settings()
    log.configure(settings.log_level)
    try:
        Keeper(settings.stack, lambda: load_settings().stack, POLICY, TIMES).run()
    except CvatdError as error:
        print(error.message, flush=True)
        os._exit(3)
    os._exit(0)


if __name__ == "__main__":
    main()
