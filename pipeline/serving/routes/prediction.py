"""/api/predict: image files in, classes with probabilities out."""

import asyncio
from dataclasses import dataclass
from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response

from pipeline.foundation.array_types import Float32
from pipeline.serving.http.bodies import FIELD, Upload
from pipeline.serving.refusals import Refused
from pipeline.serving.responses import Error, ModelName, Schema, errors, shell_sample
from pipeline.serving.routes.services import Services
from pipeline.serving.served_model import ServedModel
from pipeline.serving.workers.pool import BUNDLE_IMAGES


@dataclass(slots=True)
class ClassProbability:
    # Not a Schema, which costs three times as much: an answer can hold 100 classes for each of 256 images.
    name: str
    probability: float


class Prediction(Schema):
    """One image; the classes from the most to the least probable."""

    file: str
    predicted: str
    probability: float
    classes: list[ClassProbability]


class RefusedImage(Schema):
    """One image that was not classified; `status` is what the request would have got for this image alone."""

    file: str
    status: int
    error: str


class PredictResponse(Schema):
    """The results, in the order of the files."""

    model: ModelName
    results: list[Prediction | RefusedImage]


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
_RESULTS_OR_ERROR: dict[str, Any] = {"model": PredictResponse | Error}


def router(services: Services) -> APIRouter:
    routes = APIRouter(prefix="/api", tags=["Predict"])

    @routes.post(
        "/predict",
        responses={**_ERRORS, 415: _RESULTS_OR_ERROR, 422: _RESULTS_OR_ERROR},
        openapi_extra={
            "requestBody": _MULTIPART,
            **shell_sample("curl -F files=@one.png -F files=@two.jpg SERVER/api/predict"),
        },
    )
    async def predict(request: Request, response: Response) -> PredictResponse:
        """Classify image files, sent as a form.

        A file that cannot be classified has an error in its place and does not affect the others. If none
        can be classified, the answer has the status of the first file's error: 415 for something that is not
        an image, 422 for an image that is damaged or too large.
        """
        with services.admission.admit(request) as body:
            uploads = await body.files()
            async with services.switch.using() as model:
                results = await _classify(services, model, uploads, request)
        refused = [result.status for result in results if isinstance(result, RefusedImage)]
        if len(refused) == len(results):
            response.status_code = refused[0]
        return PredictResponse(model=model.name, results=results)

    return routes


async def _classify(
    services: Services, model: ServedModel, uploads: list[Upload], request: Request
) -> list[Prediction | RefusedImage]:
    """A result for each file; as many at once as keep all workers busy, so that others get their turn."""
    at_once = services.limits.workers * BUNDLE_IMAGES
    results: list[Prediction | RefusedImage] = []
    for start in range(0, len(uploads), at_once):
        if start and await request.is_disconnected():
            raise Refused(408, "the client has gone")
        some = uploads[start : start + at_once]
        results += await asyncio.gather(*(_classify_one(services, model, upload) for upload in some))
    return results


async def _classify_one(services: Services, model: ServedModel, upload: Upload) -> Prediction | RefusedImage:
    try:
        probabilities = await model.pool.classify(upload.data)
    except Refused as refusal:
        if refusal.status not in (415, 422):
            raise
        services.metrics.refused_images.labels(str(refusal.status)).inc()
        return RefusedImage(file=upload.name, status=refusal.status, error=refusal.reason)
    classes = _by_probability(model.exported.preprocessing.classes, probabilities)
    predicted, probability = classes[0].name, classes[0].probability
    services.metrics.count_prediction(predicted, probability)
    return Prediction(file=upload.name, predicted=predicted, probability=probability, classes=classes)


def _by_probability(
    names: tuple[str, ...], probabilities: Float32[np.ndarray, " k"]
) -> list[ClassProbability]:
    values = probabilities.tolist()
    order = np.argsort(-probabilities, kind="stable").tolist()
    return [ClassProbability(names[index], values[index]) for index in order]
