"""`cvatd daemon`: keeps CVAT's containers well, and answers `cvatd status`."""

import os


def daemon() -> None:
    """Keep CVAT's containers well and answer on the Unix socket, until told to end."""
    from cvatd.cli.services import _leave_out_rich

    _leave_out_rich()
    from cvatd.core import log
    from cvatd.core.settings import load_settings
    from cvatd.stack.daemon.keeper import Keeper

    settings = load_settings()
    log.configure(settings.log_level)
    Keeper(settings.stack, lambda: load_settings().stack).run()
    # Threads may still wait for Podman, which can take long: nothing of what they do must be finished.
    os._exit(0)
