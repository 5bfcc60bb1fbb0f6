"""Whether the server lives, whether it can answer, and what it has done."""

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import JSONResponse, Response

from pipeline.serving.answers import Health, Readiness, errors, example
from pipeline.serving.routes.services import Services


def router(services: Services) -> APIRouter:
    """The routes for those who run the server; of them, only /metrics asks for the token."""
    routes = APIRouter(tags=["Operation"])

    @routes.get("/healthz", response_model=Health, openapi_extra=example("curl SERVER/healthz"))
    async def healthz() -> JSONResponse:
        """200 as long as the process answers at all."""
        return JSONResponse({"status": "ok"})

    @routes.get(
        "/readyz",
        response_model=Readiness,
        responses=errors(503),
        openapi_extra=example("curl SERVER/readyz"),
    )
    async def readyz() -> JSONResponse:
        """200 when images can be classified, with the model that does it and why another does not."""
        if not services.switch.ready:
            return JSONResponse({"error": "no worker is ready"}, 503, {"Retry-After": "1"})
        model = services.switch.current.exported
        return JSONResponse(
            {
                "status": "ready",
                "model": {"name": model.name, "version": model.version},
                "workers": services.switch.current.pool.alive,
                "following": services.following.to_json(),
            }
        )

    @routes.get(
        "/metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
        openapi_extra=example("curl SERVER/metrics"),
    )
    async def metrics() -> Response:
        """Requests, latency, predicted classes and their confidence, in Prometheus' text format."""
        if services.switch.ready:
            services.metrics.show_model(services.switch.current)
        return Response(services.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    return routes
