"""`cvatd`: the terminal face. Imports are inside the commands, so that each costs only its own."""

import sys
from collections.abc import Callable

import typer

from cvatd.cli import (
    config,
    daemon,
    deliveries,
    doctor,
    logs,
    reset,
    secrets,
    services,
    shell,
    stack,
    status,
    token,
    train,
)

app = typer.Typer(
    name="cvatd",
    help="From image to model on one host.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=True,
    context_settings={"max_content_width": 100},
)
app.command("dev")(services.dev)
app.command("web")(services.web)
app.command("worker")(services.worker)
app.command("migrate")(services.migrate)
app.command("daemon")(daemon.daemon)
STACK: tuple[Callable[..., None], ...] = (
    stack.up,
    stack.down,
    stack.restart,
    stack.wait,
    stack.plan,
    stack.ps,
    stack.init,
    stack.prepare,
    logs.logs,
    shell.shell,
    secrets.password,
    reset.reset,
    status.status,
    status.queues,
    doctor.doctor,
)
for command in STACK:
    app.command(command.__name__)(command)
app.add_typer(secrets.app, name="secrets")
app.command("manage", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})(stack.manage)
app.add_typer(train.app, name="train")
app.add_typer(deliveries.app, name="deliveries")
app.add_typer(token.app, name="token")
app.add_typer(config.app, name="config")


def main() -> None:
    """Exit status: 0 done, 1 failed, 2 wrong call, 3 not now (try again)."""
    from cvatd.cli import interrupts
    from cvatd.core.errors import CvatdError
    from cvatd.core.plain import plain

    try:
        app()
    except CvatdError as error:
        print(f"cvatd: {plain(error.message)}", file=sys.stderr)
        raise SystemExit(exit_status(error.code)) from None
    except KeyboardInterrupt as told:
        raise SystemExit(interrupts.status(told)) from None


def exit_status(code: str) -> int:
    if code in {"settings", "invalid", "config", "base_model", "url_refused", "usage", "spec", "release"}:
        return 2
    return 3 if code in {"unreachable", "store_away", "busy", "not_running", "trainer_unusable"} else 1


if __name__ == "__main__":
    main()
