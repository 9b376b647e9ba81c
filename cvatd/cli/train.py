"""`cvatd train`: ask for trainings, watch them, stop them."""

from typing import Any

import typer

from cvatd.core.plain import plain_line

app = typer.Typer(help="Trainings (runs).", no_args_is_help=True, rich_markup_mode=None)

JSON = typer.Option(False, "--json", help="JSON instead of words.")
RUN = typer.Argument(help="The run's number, as `list` shows it.", min=1)


@app.command()
def submit(
    dataset_url: str = typer.Argument(
        help="A zip of images/{train,val} and labels/{train,val}: http(s):// or file://."
    ),
    job_id: str = typer.Option("", help="Your own name for it; made up when not given."),
    base_model: str = typer.Option("yolov8n", help="yolov8n (pretrained) or yolov8n.yaml (from scratch)."),
    model_name: str = typer.Option("", help="What the model is called."),
    epochs: int = typer.Option(100),
    batch_size: int = typer.Option(16, help="Images a step."),
    img_size: int = typer.Option(640, help="Pixels of the longer side."),
    set_: list[str] = typer.Option([], "--set", help="A further argument of Ultralytics, as name=value."),
    callback_url: str = typer.Option("", help="Receives the callbacks."),
    watch_it: bool = typer.Option(False, "--watch", help="Stay and show the progress."),
    json_: bool = JSON,
) -> None:
    """Ask for a training."""
    import os
    import uuid

    from cvatd.cli import output
    from cvatd.cli.client import Client

    config: dict[str, Any] = {"epochs": epochs, "batch_size": batch_size, "img_size": img_size}
    body: dict[str, Any] = {
        "job_id": job_id or str(uuid.uuid4()),
        "dataset_url": dataset_url,
        "base_model": base_model,
        "config": config | parse_settings(set_),
    }
    if model_name:
        body["model_name"] = model_name
    if callback_url:
        # Not an option: arguments of commands can be read by everybody on the host.
        body |= {"callback_url": callback_url, "callback_token": os.environ.get("CVATD_CALLBACK_TOKEN")}
    client = Client()
    client.post("/train", body)
    run = client.get("/runs", job_id=body["job_id"])["runs"][0]
    output.emit(
        run, json_, f"Run {run['id']} ({run['job_id']}) is {run['state']}. `cvatd train watch {run['id']}` shows it."
    )
    if watch_it:
        watch(run["id"], json_)


def parse_settings(pairs: list[str]) -> dict[str, Any]:
    """`name=value` where the value is JSON, or else a word. Raises CvatdError "usage"."""
    import json

    from cvatd.core.errors import CvatdError

    found: dict[str, Any] = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator or not name:
            raise CvatdError("usage", f"--set takes name=value, and this is {pair!r}.")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


@app.command("list")
def list_(
    state: str = typer.Option(None, help="Only those in this state."),
    query: str = typer.Option(None, help="Part of a job_id or model name."),
    before: int = typer.Option(None, help="Only those older than this number."),
    limit: int = typer.Option(20, min=1, max=500),
    json_: bool = JSON,
) -> None:
    """Show the runs, newest first."""
    from cvatd.cli import output
    from cvatd.cli.client import Client

    found = Client().get("/runs", state=state, q=query, before=before, limit=limit)
    if json_:
        output.emit(found, True)
        return
    rows = [
        [
            str(run["id"]),
            shorten(run["model_name"] or run["job_id"], 28),
            shorten(run["base_model"], 16),
            run["state"],
            f"{run['epoch']}/{run['epochs']}",
            percent((run["metrics"] or {}).get("map50")),
            output.ago(run["created_at"]),
        ]
        for run in found["runs"]
    ]
    heads = ["run", "model", "base", "state", "epochs", "mAP50", "asked for"]
    output.table(heads, rows, "No runs. `cvatd train submit URL` asks for one.")


@app.command()
def show(run_id: int = RUN, json_: bool = JSON) -> None:
    """Show one run and its files."""
    from cvatd.cli import output
    from cvatd.cli.client import Client

    client = Client()
    run = client.get(f"/runs/{run_id}")
    files = client.get(f"/runs/{run_id}/artifacts")["artifacts"]
    if json_:
        output.emit(run | {"artifacts": files}, True)
        return
    facts = {
        "run": f"{run['id']}  ({run['job_id']})",
        "state": run["state"] + (f": {run['error_message']}" if run["error_message"] else ""),
        "model": f"{run['model_name'] or '-'}  from {run['base_model']}",
        "epochs": f"{run['epoch']} of {run['epochs']}",
        "data set": run["dataset_url"],
        "arguments": ", ".join(f"{key}={value}" for key, value in run["args"].items()),
        "metrics": ", ".join(f"{key} {percent(value)}" for key, value in (run["metrics"] or {}).items()) or "-",
        "asked for": output.ago(run["created_at"]),
    }
    for name, words in facts.items():
        typer.echo(f"{name:<10} {plain_line(words)}")
    for file in files:
        typer.echo(f"{'file':<10} {plain_line(file['name'])}  {file['size']} bytes  sha256 {file['sha256'][:12]}")


@app.command()
def watch(run_id: int = RUN, json_: bool = JSON) -> None:
    """Show the progress to the end; exit status 0 only when the run is completed."""
    from cvatd.cli.client import Client
    from cvatd.cli.progress import show_json, show_live

    client = Client()
    events = client.follow(run_id)
    state = show_json(events) if json_ else show_live(events)
    if state != "completed":
        run = client.get(f"/runs/{run_id}")
        typer.echo(plain_line(f"Run {run_id} is {state}. {run['error_message'] or ''}".strip()), err=True)
        raise typer.Exit(1)


@app.command()
def cancel(run_id: int = RUN, json_: bool = JSON) -> None:
    """Stop a run; its last checkpoint is kept for `resume`."""
    _act(run_id, "cancel", json_)


@app.command()
def resume(run_id: int = RUN, json_: bool = JSON) -> None:
    """Go on with a failed or cancelled run from its last checkpoint."""
    _act(run_id, "resume", json_)


def _act(run_id: int, verb: str, as_json: bool) -> None:
    from cvatd.cli import output
    from cvatd.cli.client import Client

    run = Client().post(f"/runs/{run_id}/{verb}")
    output.emit(run, as_json, f"Run {run_id} is {run['state']}.")


def percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"


def shorten(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
