"""The HTTP API: the seed's /health and /train to the letter, and /runs beyond it."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from typing import Annotated, Any
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.responses import FileResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool

from cvatd.training import jobs
from cvatd.training.request import TrainRequest
from cvatd.training.service import Runs
from cvatd.training.states import ENDED, State
from cvatd.web import models
from cvatd.web.feed import Feed
from cvatd.web.problems import MEDIA_TYPE, Problem

PAGE = 50
MAX_PAGE = 500
# Batches come faster than anybody can read them: watchers are woken this often at the most.
WATCH_PAUSE_S = 0.1
LARGEST_ID = 2**63 - 1

RunId = Annotated[int, Path(ge=1, le=LARGEST_ID, description="The run's number.", examples=[42])]
Before = Annotated[int | None, Query(ge=1, le=LARGEST_ID, description="Only what is older than this number.")]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="Entries a page.")]


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What the API's description says of errors."""
    schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
    words = {
        401: "No token, or one that opens nothing",
        403: "From a page of another site",
        404: "There is no such thing",
        409: "Not in this state, or taken by another",
        413: "The body is too large",
        422: "A value is wrong; each is named",
        503: "Not now: try again",
    }
    return {status: {"description": words[status], "content": {MEDIA_TYPE: schema}} for status in (401, 403, *statuses)}


router = APIRouter(tags=["runs"])


def known_run(request: Request, id: RunId) -> jobs.Run:
    return runs_of(request).get(id)


def runs_of(request: Request) -> Runs:
    runs: Runs = request.app.state.runs
    return runs


@router.get("/health", response_model_exclude_none=True, responses={503: {"model": models.Health}}, tags=["service"])
def health(request: Request, response: Response) -> models.Health:
    """Whether the service works, what it trains on and with. Needs no token."""
    state: models.Health = request.app.state.health()
    response.status_code = 200 if state.status == "healthy" else 503
    return state


@router.get("/train", responses=problems(), tags=["service"])
def train_info() -> models.TrainInfo:
    """What this endpoint is for."""
    return models.TrainInfo()


@router.post(
    "/train",
    status_code=202,
    responses={
        **problems(409, 413, 422, 503),
        200: {"model": models.Accepted, "description": "The same request was accepted before: this is its run"},
    },
)
def train(request: Request, response: Response, body: TrainRequest) -> models.Accepted:
    """Accept a training. `Location` names its run. Callbacks tell the rest."""
    run, created = runs_of(request).submit(body)
    response.status_code = 202 if created else 200
    response.headers["location"] = f"/runs/{run.id}"
    return models.Accepted(job_id=run.job_id)


@router.get("/runs", responses=problems(422))
def list_runs(
    request: Request,
    before: Before = None,
    state: Annotated[State | None, Query(description="Only runs in this state.")] = None,
    q: Annotated[str | None, Query(max_length=200, description="Part of a job_id, model name or base model.")] = None,
    job_id: Annotated[str | None, Query(max_length=200, description="Exactly this job_id.")] = None,
    limit: Limit = PAGE,
) -> models.RunList:
    """Newest first."""
    runs = runs_of(request)
    if job_id is not None:
        found = runs.find(job_id) if "\x00" not in job_id else None
        return models.RunList(runs=[models.Run.of(found)] if found else [], next_before=None)
    query = q.replace("\x00", "") if q else None
    page = runs.page(before, state.value if state else None, query or None, limit)
    return models.RunList(
        runs=[models.Run.of(run) for run in page], next_before=page[-1].id if len(page) == limit else None
    )


@router.get("/runs/{id}", responses=problems(404, 422))
def get_run(request: Request, id: RunId) -> models.Run:
    """One run as it is now."""
    return models.Run.of(runs_of(request).get(id))


@router.get(
    "/runs/{id}/events",
    response_class=EventSourceResponse,
    responses={
        **problems(404, 422),
        200: {
            "description": "A stream of server-sent events. Those with an id are the run's history: "
            "`Last-Event-ID` goes on behind one. `progress` has no id and is only the newest. `end` closes.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
    },
)
async def watch_run(
    request: Request,
    run: Annotated[jobs.Run, Depends(known_run)],  # unknown ones are refused before the stream begins
    last_event_id: Annotated[str | None, Header(max_length=20, description="Go on behind this event.")] = None,
) -> AsyncIterable[ServerSentEvent]:
    """What happened so far, then what happens, until the run has ended."""
    after = int(last_event_id) if last_event_id and last_event_id.isdecimal() and len(last_event_id) < 19 else 0
    async for event in follow(request.app.state.feed, runs_of(request), run.id, after):
        yield event


async def follow(feed: Feed, runs: Runs, run_id: int, after: int) -> AsyncIterator[ServerSentEvent]:
    """The stream of one watcher. It ends with the run, or when the service stops (the watcher comes back)."""
    changed = feed.watch(run_id)
    told: dict[str, Any] | None = None
    try:
        while not feed.stopped:
            changed.clear()
            run, events = await run_in_threadpool(runs.watch, run_id, after)
            for event in events:
                after = event.seq
                yield ServerSentEvent(
                    data=models.Event.model_validate(vars(event)), event=event.type, id=str(event.seq)
                )
            if events:
                continue  # there may be more than one page of them
            progress = {"state": run.state, "epoch": run.epoch, "epochs": run.epochs, "progress": run.progress}
            if progress != told:
                told = progress
                yield ServerSentEvent(data=progress, event="progress")
            if run.state in ENDED:
                yield ServerSentEvent(data={"state": run.state}, event="end")
                return
            await changed.wait()
            await asyncio.sleep(WATCH_PAUSE_S)
    finally:
        feed.unwatch(run_id, changed)


@router.get("/runs/{id}/artifacts", responses=problems(404, 422))
def list_artifacts(request: Request, id: RunId) -> models.ArtifactList:
    """The files that the run has left: weights, curves, plots, log."""
    return models.ArtifactList(
        artifacts=[
            models.Artifact(**{**vars(a), "url": f"/runs/{id}/artifacts/{quote(a.name)}"})
            for a in runs_of(request).artifacts(id)
        ]
    )


@router.get(
    "/runs/{id}/artifacts/{name}",
    response_class=FileResponse,
    responses={
        **problems(404, 422),
        200: {
            "description": "The file",
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        },
    },
)
def get_artifact(
    request: Request,
    id: RunId,
    name: Annotated[str, Path(max_length=200, description="As listed.", examples=["best.pt"])],
) -> FileResponse:
    """One file, also by a signed link (`expires`, `signature`) without a token."""
    artifact, file = runs_of(request).artifact_file(id, name)
    inline = artifact.content_type.startswith(("image/", "text/"))
    return FileResponse(
        file,
        media_type=artifact.content_type,
        filename=artifact.name,
        content_disposition_type="inline" if inline else "attachment",
        headers={"etag": f'"{artifact.sha256}"'},
    )


@router.post("/runs/{id}/cancel", responses=problems(404, 422))
def cancel_run(request: Request, id: RunId) -> models.Run:
    """Stop it, in whatever state it is; its last checkpoint is kept. One that has ended stays as it is."""
    return models.Run.of(runs_of(request).cancel(id))


@router.post("/runs/{id}/resume", responses=problems(404, 409, 422))
def resume_run(request: Request, id: RunId) -> models.Run:
    """Go on with a failed or cancelled run from its last checkpoint, or from the start when it has none."""
    return models.Run.of(runs_of(request).resume(id))


@router.get("/deliveries", responses=problems(422), tags=["callbacks"])
def list_deliveries(
    request: Request,
    run: Annotated[int | None, Query(ge=1, le=LARGEST_ID, description="Only this run's.")] = None,
    state: Annotated[str | None, Query(pattern="^(pending|delivered|superseded|failed)$")] = None,
    before: Before = None,
    limit: Limit = PAGE,
) -> models.DeliveryList:
    """Callbacks, newest first."""
    page = runs_of(request).deliveries(run, state, before, limit)
    return models.DeliveryList(
        deliveries=[models.DeliveryModel.of(delivery) for delivery in page],
        next_before=page[-1].seq if len(page) == limit else None,
    )


@router.post("/deliveries/{id}/replay", status_code=202, responses=problems(404, 409, 422), tags=["callbacks"])
def replay_delivery(request: Request, id: UUID) -> models.Accepted:
    """Send a callback again that was delivered or given up."""
    runs_of(request).replay(id)
    return models.Accepted(job_id=str(id), message="Will be sent again")


def add_problem_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """Put the form of errors, and how to sign in, into the API's description."""
    components = schema.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    described = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= described.pop("$defs", {})
    schemas["Problem"] = described
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    schema["security"] = [{"token": []}]
    schema["paths"]["/health"]["get"]["security"] = []
    return schema
