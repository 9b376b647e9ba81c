"""Puts the web face together: the store, the loops beside it, the API and the pages."""

import asyncio
import contextlib
import functools
import threading
from collections.abc import AsyncIterator
from types import FrameType
from typing import Any

import psycopg
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.staticfiles import StaticFiles
from starlette.middleware import Middleware

import cvatd
from cvatd.core import database, log, migrate
from cvatd.core.errors import CvatdError
from cvatd.core.outbox import Sender
from cvatd.core.secrets import load_or_make_key
from cvatd.core.settings import Settings
from cvatd.core.urlguard import UrlGuard
from cvatd.training import callbacks, queue
from cvatd.training.description import Description, load_description
from cvatd.training.keeper import Keeper
from cvatd.training.service import Runs
from cvatd.web import api, models, pages, problems
from cvatd.web.feed import Feed
from cvatd.web.security import Guard, GuardMiddleware, Sessions

POOL_SIZE = 12

logger = log.get(__name__)


class Trainer:
    """What the trainer's Python can do, asked once in the background and kept."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._known: Description | None = None

    def describe(self) -> Description:
        """Raises CvatdError "trainer_unusable". Takes seconds when nobody has asked on this host yet."""
        with self._lock:
            if self._known is None:
                self._known = load_description(self._settings.trainer.python, self._settings.data_dir / "trainer.json")
            return self._known

    def warm(self) -> None:
        with contextlib.suppress(CvatdError):  # it is told by /health and by each POST
            self.describe()

    @property
    def known(self) -> Description | None:
        return self._known


def create_app(settings: Settings) -> FastAPI:
    """The ASGI app. Refuses to be made on a schema that is not this version's, and off loopback without sign-in."""
    if not settings.auth and settings.host not in {"127.0.0.1", "::1", "localhost"}:
        raise CvatdError(
            "settings", f"auth is off and host is {settings.host}: without sign-in only loopback is served."
        )
    pool = database.open_pool(settings.database_url, POOL_SIZE)
    with pool.connection() as connection:
        migrate.require_current(connection)
    key = load_or_make_key(settings.signing_key_file or settings.data_dir / "secrets" / "signing.key")
    guard = UrlGuard(settings.urls.allow)
    redis = queue.connect(settings.redis_url)
    doorbell = queue.open_queue(redis)
    trainer = Trainer(settings)
    sender = Sender(pool, guard, key, functools.partial(callbacks.render, settings, key))
    keeper = Keeper(settings.database_url, pool, doorbell, sender)
    feed = Feed(settings.database_url)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        threading.Thread(target=trainer.warm, daemon=True).start()
        feed.start(asyncio.get_running_loop())
        keeper.start()
        try:
            yield
        finally:
            feed.stop()
            await asyncio.to_thread(keeper.stop)
            pool.close()

    def health() -> models.Health:
        known = trainer.known
        facts = {
            "device": known.device if known else None,
            "ultralytics_version": known.ultralytics_version if known else None,
        }
        try:
            with pool.connection(timeout=2) as connection:
                connection.execute("SELECT 1")
        except (psycopg.Error, TimeoutError) as error:
            return models.Health(status="unhealthy", detail=f"PostgreSQL does not answer: {error}", **facts)
        if known is None:
            return models.Health(status="starting", detail="The trainer is being asked what it can do.", **facts)
        return models.Health(status="healthy", **facts)

    app = FastAPI(
        title="cvatd",
        version=cvatd.__version__,
        summary="Trains YOLO models on request, and tells how it goes.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        middleware=[Middleware(GuardMiddleware, guard=Guard(pool, key, settings.auth))],
    )
    app.state.runs = Runs(settings, pool, doorbell, guard, trainer.describe)
    app.state.sessions = Sessions(pool)
    app.state.feed = feed
    app.state.health = health
    problems.install(app, pages.error_page)
    app.include_router(api.router)
    app.include_router(pages.router, include_in_schema=False)
    app.mount("/static", StaticFiles(packages=[("cvatd.web", "static")]), name="static")
    app.openapi = functools.partial(_openapi, app)  # type: ignore[method-assign]
    return app


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        app.openapi_schema = api.add_problem_schema(
            get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
        )
    return app.openapi_schema


def serve(settings: Settings) -> None:
    """Run the web face until SIGTERM."""
    import uvicorn

    log.configure(settings.log_level)
    app = create_app(settings)

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            app.state.feed.stop()  # open streams end at once; their watchers come back
            super().handle_exit(sig, frame)

    Server(
        uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=5,
            server_header=False,
            loop="asyncio",
            http="h11",
        )
    ).run()
