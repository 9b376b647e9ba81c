"""`cvatd deliveries`: callbacks on their way, delivered, given up."""

import typer

app = typer.Typer(help="Callbacks.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
def list_(
    run: int = typer.Option(None, help="Only this run's."),
    state: str = typer.Option(None, help="pending, delivered, superseded or failed."),
    limit: int = typer.Option(50, min=1, max=500),
    json_: bool = typer.Option(False, "--json"),
) -> None:
    """Show the callbacks, newest first."""
    from cvatd.cli import output
    from cvatd.cli.client import Client

    found = Client().get("/deliveries", run=run, state=state, limit=limit)
    if json_:
        output.emit(found, True)
        return
    rows = [
        [d["id"], str(d["run"]), d["type"], d["state"], str(d["attempts"]), d["last_error"] or ""]
        for d in found["deliveries"]
    ]
    output.table(["id", "run", "type", "state", "tries", "last error"], rows, "No callbacks.")


@app.command()
def replay(delivery_id: str = typer.Argument(help="The id that `list` shows.")) -> None:
    """Send a callback again that was delivered or given up."""
    from cvatd.cli.client import Client

    Client().post(f"/deliveries/{delivery_id}/replay")
    typer.echo("It will be sent again.")
