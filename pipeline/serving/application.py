"""Puts the server together: routes, middleware, and what starts and stops with it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp

from pipeline.serving.following import Follower, Following
from pipeline.serving.http.access_control import Access, AccessControl
from pipeline.serving.http.bodies import Admission
from pipeline.serving.http.event_log import EventLog
from pipeline.serving.http.metrics import Metrics
from pipeline.serving.http.request_recorder import RequestRecorder
from pipeline.serving.limits import Limits
from pipeline.serving.refusals import Refused
from pipeline.serving.responses import error_response
from pipeline.serving.routes import health, model_description, pages, prediction, tensorflow_serving
from pipeline.serving.routes.services import Services
from pipeline.serving.served_model import ModelSwitch
from pipeline.serving.workers.pool import Report

_DESCRIPTION = (
    'Classifies images with one exported model. Errors have the form `{"error": "reason"}`. After 429 and '
    "503, the same request may succeed once the seconds in `Retry-After` have passed."
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is served, and to whom.

    Attributes:
      folder: the exported model to start with.
      format_name: the format to run; None: the preferred one.
      exports: the folder of all exports, whose pointer is followed; None: `folder` answers to the end.
      watcher: command that watches the registry's champion (see `Follower`); None: it is not followed.
      samples: images for the page to offer; None: none.
      limits: what requests may cost.
      access: who may use the server.
    """

    folder: Path
    format_name: str | None = None
    exports: Path | None = None
    watcher: tuple[str, ...] | None = None
    samples: Path | None = None
    limits: Limits = field(default_factory=Limits)
    access: Access = field(default_factory=Access)


@dataclass(frozen=True)
class Application:
    """The server without its socket.

    Attributes:
      asgi: answers requests while `running` is entered; its ASGI lifespan enters that by itself.
      running: loads the model and ends its workers; raises PipelineError where it cannot be loaded.
    """

    asgi: ASGIApp
    running: Callable[[], AbstractAsyncContextManager[None]]


def create_application(settings: Settings, log: EventLog) -> Application:
    metrics = Metrics()

    def report(event: str, **fields: object) -> None:
        if event == "worker replaced":
            metrics.replaced_workers.inc()
        log(event, **fields)

    switch = ModelSwitch(settings.limits, settings.format_name, report)
    services = Services(
        limits=settings.limits,
        switch=switch,
        admission=Admission(settings.limits),
        metrics=metrics,
        following=Following(),
        samples=pages.find_samples(settings.samples),
    )

    def running() -> AbstractAsyncContextManager[None]:
        return _running(settings, services, report)

    api = FastAPI(
        title="Image classification",
        description=_DESCRIPTION,
        version="1",
        docs_url=None,
        redoc_url=None,
        lifespan=lambda api: running(),
    )
    for module in (prediction, model_description, tensorflow_serving, health, pages):
        api.include_router(module.router(services))
    api.mount("/static", pages.static_files())
    for kind, answer in _ERRORS.items():
        api.add_exception_handler(kind, answer)
    application: ASGIApp = AccessControl(api, settings.access, pages.PAGES)
    if settings.access.origins:
        application = CORSMiddleware(
            application,
            allow_origins=sorted(settings.access.origins),
            allow_methods=("GET", "POST"),
            allow_headers=("Authorization", "Content-Type"),
        )
    return Application(RequestRecorder(application, settings.limits, metrics, log), running)


@asynccontextmanager
async def _running(settings: Settings, services: Services, report: Report) -> AsyncIterator[None]:
    follower = following = None
    if settings.exports is not None:  # before the model is loaded, so that a later export counts as new
        follower = Follower(settings.exports, services.switch, settings.watcher, report)
        services.following = follower.state
    await services.switch.switch(settings.folder)
    if follower is not None:
        following = asyncio.create_task(follower.run())
    try:
        yield
    finally:
        if following is not None:
            following.cancel()
            await asyncio.wait([following])
        await services.switch.close()


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return error_response(error.status, error.reason, error.headers)


async def _no_such_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return error_response(error.status_code, error.detail, error.headers)


async def _client_gone(request: Request, error: Exception) -> Response:
    return Response(status_code=400)  # nobody reads it


async def _defect(request: Request, error: Exception) -> Response:
    return error_response(500, "internal error")  # `RequestRecorder` logs it


_ERRORS = {
    Refused: _refused,
    HTTPException: _no_such_route,
    ClientDisconnect: _client_gone,
    Exception: _defect,
}
