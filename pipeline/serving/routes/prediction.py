"""The server's own REST API: files in, classes with probabilities out."""

import asyncio
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from starlette.responses import JSONResponse

from pipeline.serving.answers import Error, Model, Predictions, errors, example
from pipeline.serving.following import is_registered
from pipeline.serving.http.bodies import FIELD, Upload, read_uploads
from pipeline.serving.limits import Limits
from pipeline.serving.routes.pages import samples_of
from pipeline.serving.routes.services import Services
from pipeline.serving.served_model import ServedModel
from pipeline.serving.workers.messages import Refused
from pipeline.serving.workers.pool import BUNDLE_IMAGES

Values = dict[str, Any]

_FILES = {"type": "array", "items": {"type": "string", "format": "binary"}, "minItems": 1}
_MULTIPART = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {"type": "object", "required": [FIELD], "properties": {FIELD: _FILES}}
        }
    },
}
_ERRORS = errors(400, 401, 403, 408, 413, 429, 500, 503)
_PREDICTIONS_OR_ERROR: dict[str, Any] = {"model": Predictions | Error}


def router(services: Services) -> APIRouter:
    """/api."""
    routes = APIRouter(prefix="/api", tags=["Predict"])

    @routes.post(
        "/predict",
        response_model=Predictions,
        responses={**_ERRORS, 415: _PREDICTIONS_OR_ERROR, 422: _PREDICTIONS_OR_ERROR},
        openapi_extra={
            "requestBody": _MULTIPART,
            **example("curl -F files=@one.png -F files=@two.jpg SERVER/api/predict"),
        },
    )
    async def predict(request: Request) -> JSONResponse:
        """Classify image files, sent as a form.

        A file that cannot be classified has an error in its place and leaves the others alone. Where none
        could be, the answer has the status of the first one's error: 415 for something that is no image,
        422 for an image that is damaged or too large.
        """
        client = request.client.host if request.client else ""
        with services.admission.admit(client) as buffered:
            uploads = await read_uploads(request, services.limits, buffered)
            async with services.switch.using() as model:
                results = await _classify(services, model, uploads, request)
        refused = [result["status"] for result in results if "status" in result]
        name = {"name": model.exported.name, "version": model.exported.version}
        status = refused[0] if len(refused) == len(results) else 200
        return JSONResponse({"model": name, "results": results}, status)

    @routes.get(
        "/model",
        response_model=Model,
        responses=errors(401, 403),
        openapi_extra=example("curl SERVER/api/model"),
    )
    async def model() -> JSONResponse:
        """The model that answers: its classes, scores and lineage, and what it accepts."""
        return JSONResponse(_describe(services))

    return routes


async def _classify(
    services: Services, model: ServedModel, uploads: list[Upload], request: Request
) -> list[Values]:
    """A result for each file; as many at once as keep all workers busy, so that others get their turn."""
    at_once, results = services.limits.workers * BUNDLE_IMAGES, []
    for start in range(0, len(uploads), at_once):
        if start and await request.is_disconnected():
            raise Refused(408, "the client has gone")
        some = uploads[start : start + at_once]
        results += await asyncio.gather(*(_classify_one(services, model, upload) for upload in some))
    return results


async def _classify_one(services: Services, model: ServedModel, upload: Upload) -> Values:
    try:
        probabilities = await model.pool.classify(upload.data)
    except Refused as refusal:
        if refusal.status not in (415, 422):
            raise
        services.metrics.refused_images.labels(str(refusal.status)).inc()
        return {"file": upload.name, "status": refusal.status, "error": refusal.reason}
    classes = _by_probability(model.exported.preprocessing.classes, probabilities)
    services.metrics.count_prediction(classes[0]["name"], classes[0]["probability"])
    return {
        "file": upload.name,
        "predicted": classes[0]["name"],
        "probability": classes[0]["probability"],
        "classes": classes,
    }


def _by_probability(names: tuple[str, ...], data: bytes | memoryview) -> list[Values]:
    probabilities = np.frombuffer(data, "<f4")
    order = np.argsort(-probabilities, kind="stable")
    return [{"name": names[index], "probability": float(probabilities[index])} for index in order]


def _describe(services: Services) -> Values:
    model = services.switch.current
    exported = model.exported
    preprocessing = exported.preprocessing
    return {
        "name": exported.name,
        "version": exported.version,
        "candidate": exported.candidate,
        "network": exported.network,
        "format": model.format_name,
        "model_digest": exported.model_digest,
        "classes": list(preprocessing.classes),
        "input": {
            "image_size": preprocessing.image_size,
            "resize": preprocessing.resize,
            "color": preprocessing.color,
        },
        "scores": exported.scores,
        "lineage": exported.lineage,
        "commands": _commands(model),
        "formats": [
            {
                "format": name,
                "size_bytes": file.size_bytes,
                "accuracy": file.accuracy,
                "largest_difference": file.largest_difference,
                "latency_ms": file.latency_ms,
                "images_per_second": file.images_per_second,
            }
            for name, file in exported.files.items()
        ],
        "limits": _limits(services.limits),
        "following": services.following.to_json(),
        "samples": samples_of(preprocessing.classes, services.samples),
    }


def _commands(model: ServedModel) -> list[str]:
    """What to type in the project to learn more of where the model comes from."""
    exported = model.exported
    commands = []
    if is_registered(exported.name):
        commands.append(f"python -m pipeline lineage models:/{exported.name}/{exported.version}")
    elif run := exported.lineage.get("run_id"):
        commands.append(f"python -m pipeline lineage {run}")
    if commit := exported.lineage.get("git_commit"):
        commands.append(f"git show --stat {commit}")
    return commands


def _limits(limits: Limits) -> Values:
    return {"body_bytes": limits.body_bytes, "images": limits.images, "pixels": limits.pixels}
