"""Errors as RFC 9457 problem details for programs, as a page for people."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

import psycopg
import psycopg_pool
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from cvatd.core import log
from cvatd.core.errors import CvatdError

MEDIA_TYPE = "application/problem+json"
SHOWN_INPUT_CHARS = 100
STORE_AWAY = "PostgreSQL does not answer. Try again in a few seconds."

# Which status a refusal has; what is not named here is the caller's content: 422.
STATUS = {
    "unauthorized": HTTPStatus.UNAUTHORIZED,
    "csrf": HTTPStatus.FORBIDDEN,
    "origin": HTTPStatus.FORBIDDEN,
    "run_unknown": HTTPStatus.NOT_FOUND,
    "artifact_unknown": HTTPStatus.NOT_FOUND,
    "delivery_unknown": HTTPStatus.NOT_FOUND,
    "job_id_taken": HTTPStatus.CONFLICT,
    "state": HTTPStatus.CONFLICT,
    "delivery_state": HTTPStatus.CONFLICT,
    "busy": HTTPStatus.SERVICE_UNAVAILABLE,
    "trainer_unusable": HTTPStatus.SERVICE_UNAVAILABLE,
    "store_away": HTTPStatus.SERVICE_UNAVAILABLE,
}

logger = log.get(__name__)


class FieldProblem(BaseModel):
    field: str = Field(description="Path of the value, such as `config.epochs`.", examples=["config.epochs"])
    message: str = Field(examples=["must be at least 1 (it is 0)"])


class Problem(BaseModel):
    """RFC 9457 problem details."""

    model_config = ConfigDict(title="Problem")

    type: str = Field(default="about:blank", examples=["about:blank"])
    title: str = Field(examples=["Unprocessable Content"])
    status: int = Field(examples=[422])
    code: str = Field(description="A stable word for programs.", examples=["config"])
    detail: str = Field(description="What is wrong, where, and what to do.")
    errors: list[FieldProblem] = Field(default=[], description="One entry a value, where values are at fault.")


def problem(status: int, code: str, detail: str, errors: list[dict[str, str]] | None = None) -> JSONResponse:
    headers = {"WWW-Authenticate": "Bearer"} if status == HTTPStatus.UNAUTHORIZED else {}
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = "5"
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
    }
    return JSONResponse(body | ({"errors": errors} if errors else {}), status, headers, MEDIA_TYPE)


def install(app: FastAPI, error_page: Callable[[Request, int, str], Response]) -> None:
    """Answer every error of the app in this form; `error_page` draws the one for people."""

    def answer(
        request: Request, status: int, code: str, detail: str, errors: list[dict[str, str]] | None = None
    ) -> Response:
        if not wants_page(request):
            return problem(status, code, detail, errors)
        if status == HTTPStatus.UNAUTHORIZED:
            return RedirectResponse("/signin", HTTPStatus.SEE_OTHER)
        return error_page(request, status, detail)

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, CvatdError)
        status = STATUS.get(error.code, HTTPStatus.UNPROCESSABLE_ENTITY)
        fields = [{"field": field, "message": words} for field, words in getattr(error, "errors", [])]
        return answer(request, status, error.code, error.message, fields)

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        fields = [describe_fault(dict(fault)) for fault in error.errors()]
        detail = "; ".join(f"{fault['field']}: {fault['message']}" for fault in fields[:10])
        return answer(request, HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", detail, fields)

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code == HTTPStatus.NOT_FOUND:
            return answer(request, 404, "not_found", f"There is nothing at {request.url.path[:200]}.")
        code = "too_large" if error.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE else "http"
        response = answer(request, error.status_code, code, str(error.detail))
        response.headers.update(error.headers or {})
        return response

    async def unexpected(request: Request, error: Exception) -> Response:
        logger.error("request failed", path=request.url.path, exc_info=error)
        return answer(request, 500, "internal", "The service failed on this request. Its log has the details.")

    async def store_away(request: Request, error: Exception) -> Response:
        logger.warning("the store is away", path=request.url.path, error=str(error).strip())
        return answer(request, 503, "store_away", STORE_AWAY)

    handlers: dict[type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
        CvatdError: refused,
        RequestValidationError: invalid,
        HTTPException: http,
        psycopg.OperationalError: store_away,
        psycopg_pool.PoolTimeout: store_away,
        Exception: unexpected,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


def wants_page(request: Request) -> bool:
    """Browsers ask for text/html by name; programs do not."""
    return "text/html" in request.headers.get("accept", "")


def describe_fault(fault: dict[str, Any]) -> dict[str, str]:
    """A fault that pydantic found, in the words of this service."""
    path = [str(part) for part in fault["loc"]]
    field = ".".join(path[1:] if path[0] in {"body", "query", "path"} and len(path) > 1 else path)
    message = fault["msg"][:1].lower() + fault["msg"][1:]
    shown = repr(fault.get("input"))
    if fault["type"] != "missing" and len(shown) <= SHOWN_INPUT_CHARS:
        message += f" (it is {shown})"
    return {"field": field, "message": message}
