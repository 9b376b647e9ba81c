"""The pages: what people see and press. Each is HTML from the server; scripts only keep it fresh."""

import csv
import io
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.responses import HTMLResponse, PlainTextResponse, RedirectResponse
from fastapi.templating import Jinja2Templates
from starlette.responses import Response

from cvatd.training.states import State
from cvatd.web import views, words
from cvatd.web.api import RunId, runs_of
from cvatd.web.security import COOKIE, check_csrf

PAGE = 50
LOG_BYTES = 40_000
SEE_OTHER = 303

router = APIRouter(include_in_schema=False)
templates = Jinja2Templates(Path(__file__).parent / "templates")
templates.env.globals |= {"words": words}
templates.env.trim_blocks = templates.env.lstrip_blocks = True


def moment(value: datetime | None) -> dict[str, str] | None:
    """For the hover text: the exact time beside the relative one."""
    return {"ago": words.ago(value), "exact": words.exact(value), "iso": value.isoformat()} if value else None


templates.env.filters["moment"] = moment


def page(request: Request, name: str, values: dict[str, Any], status: int = 200) -> HTMLResponse:
    account = getattr(request.state, "account", None)
    csrf = getattr(request.state, "csrf", "")
    context = {"account": account, "csrf": csrf} | values
    return templates.TemplateResponse(request, name, context, status, headers={"cache-control": "no-store"})


def error_page(request: Request, status: int, detail: str) -> Response:
    return page(request, "error.html", {"status": status, "detail": detail}, status)


@router.get("/")
def home() -> Response:
    return RedirectResponse("/training", SEE_OTHER)


@router.get("/training")
def list_page(
    request: Request,
    before: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
    state: str = "",
    q: Annotated[str, Query(max_length=200)] = "",
) -> Response:
    chosen = state if state in list(State) else None
    query = q.replace("\x00", "").strip()
    runs = runs_of(request).page(before, chosen, query or None, PAGE + 1)
    counts = runs_of(request).counts()
    return page(
        request,
        "runs.html",
        {
            "runs": runs[:PAGE],
            "older": runs[PAGE - 1].id if len(runs) > PAGE else None,
            "before": before,
            "counts": [(name.value, counts[name]) for name in State if name in counts],
            "total": sum(counts.values()),
            "state": chosen or "",
            "q": query,
        },
    )


@router.get("/training/{id}")
def run_page(request: Request, id: RunId, part: str = "") -> Response:
    runs = runs_of(request)
    run = runs.get(id)
    artifacts = runs.artifacts(id)
    events = runs.events(id)
    return page(
        request,
        "run_live.html" if part == "live" else "run.html",
        {
            "view": views.view_run(run, events),
            "run": run,
            "events": [event for event in events if event.type != "epoch"],
            "artifacts": artifacts,
            "pictures": views.pictures_of(artifacts),
            "deliveries": runs.deliveries(id),
            "log": runs.log_tail(id, LOG_BYTES),
        },
    )


@router.get("/training/{id}/metrics.csv")
def metrics_csv(request: Request, id: RunId) -> Response:
    """A row an epoch."""
    run = runs_of(request).get(id)
    epochs = [event.data for event in runs_of(request).events(run.id) if event.type == "epoch"]
    rows = [
        {
            "epoch": epoch["epoch"],
            **{f"train/{name}": value for name, value in epoch.get("loss", {}).items()},
            **{f"val/{name}": value for name, value in epoch.get("val_loss", {}).items()},
            **epoch.get("metrics", {}),
            "lr": epoch.get("lr"),
            "seconds": epoch.get("seconds"),
        }
        for epoch in epochs
    ]
    heads = list(dict.fromkeys(head for row in rows for head in row)) or ["epoch"]
    out = io.StringIO()
    writer = csv.DictWriter(out, heads)
    writer.writeheader()
    writer.writerows(rows)
    disposition = f'attachment; filename="run-{run.id}.csv"'
    return PlainTextResponse(out.getvalue(), media_type="text/csv", headers={"content-disposition": disposition})


@router.post("/training/{id}/cancel", dependencies=[Depends(check_csrf)])
def cancel(request: Request, id: RunId) -> Response:
    runs_of(request).cancel(id)
    return RedirectResponse(f"/training/{id}", SEE_OTHER)


@router.post("/training/{id}/resume", dependencies=[Depends(check_csrf)])
def resume(request: Request, id: RunId) -> Response:
    runs_of(request).resume(id)
    return RedirectResponse(f"/training/{id}", SEE_OTHER)


@router.post("/training/{id}/replay", dependencies=[Depends(check_csrf)])
def replay(request: Request, id: RunId, delivery: Annotated[UUID, Form()]) -> Response:
    runs_of(request).replay(delivery)
    return RedirectResponse(f"/training/{id}#callbacks", SEE_OTHER)


@router.get("/signin")
def signin_page(request: Request) -> Response:
    return page(request, "signin.html", {"wrong": False})


@router.post("/signin")
def sign_in(request: Request, token: Annotated[str, Form(max_length=500)] = "") -> Response:
    cookie = request.app.state.sessions.sign_in(token)
    if cookie is None:
        return page(request, "signin.html", {"wrong": True}, 401)
    response = RedirectResponse("/training", SEE_OTHER)
    secure = request.url.scheme == "https"
    response.set_cookie(COOKIE, cookie, max_age=14 * 24 * 3600, httponly=True, samesite="lax", secure=secure)
    return response


@router.post("/signout", dependencies=[Depends(check_csrf)])
def sign_out(request: Request) -> Response:
    request.app.state.sessions.sign_out(request.cookies.get(COOKIE, ""))
    response = RedirectResponse("/signin", SEE_OTHER)
    response.delete_cookie(COOKIE)
    return response
