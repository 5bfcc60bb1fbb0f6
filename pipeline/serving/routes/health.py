"""Whether the server runs, whether it can answer, and what it has done."""

from typing import Literal

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from pipeline.serving.following import Following
from pipeline.serving.refusals import refused_for_now
from pipeline.serving.responses import ModelName, Schema, errors, shell_sample
from pipeline.serving.routes.services import Services


class Health(Schema):
    status: Literal["ok"]


class Readiness(Schema):
    status: Literal["ready"]
    model: ModelName
    workers: int
    following: Following


def router(services: Services) -> APIRouter:
    """The routes for those who run the server; of them, only /metrics asks for the token."""
    routes = APIRouter(tags=["Operation"])

    @routes.get("/healthz", openapi_extra=shell_sample("curl SERVER/healthz"))
    async def healthz() -> Health:
        """200 as long as the process answers at all."""
        return Health(status="ok")

    @routes.get("/readyz", responses=errors(503), openapi_extra=shell_sample("curl SERVER/readyz"))
    async def readyz() -> Readiness:
        """200 when images can be classified: with which model, and why another one does not answer yet."""
        if not services.switch.ready:
            raise refused_for_now(503, "no worker is ready")
        model = services.switch.current
        return Readiness(
            status="ready", model=model.name, workers=model.pool.alive, following=services.following
        )

    @routes.get(
        "/metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
        openapi_extra=shell_sample("curl SERVER/metrics"),
    )
    async def metrics() -> Response:
        """Requests, latency, predicted classes and their confidence, in Prometheus' text format."""
        if services.switch.ready:
            services.metrics.show_model(services.switch.current)
        return Response(services.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    return routes
