"""`cvatd config`: is what was set right?"""

import typer

app = typer.Typer(help="The settings of this host.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def check(json_: bool = typer.Option(False, "--json", help="The settings in force, as JSON.")) -> None:
    """Say what is wrong with the settings, in words; exit status 2 when something is."""
    from cvatd.core.settings import load_settings, settings_file

    settings = load_settings()
    if json_:
        typer.echo(settings.model_dump_json(indent=2))
    else:
        typer.echo(f"Settings are right ({settings_file() or 'no file: defaults and the environment'}).")
