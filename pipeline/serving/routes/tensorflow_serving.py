"""TensorFlow Serving's REST protocol, so that its clients work unchanged.

It is described at https://www.tensorflow.org/tfx/serving/api_rest. There is one version at a time.
Not offered, with the error that TensorFlow Serving itself gives a model without such signatures:
classify and regress.
"""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Path, Request
from starlette.responses import JSONResponse

from pipeline.serving.answers import (
    ColumnOutputs,
    ColumnsBody,
    Metadata,
    ModelStatus,
    RowPredictions,
    RowsBody,
    errors,
    example,
)
from pipeline.serving.http.bodies import read_body
from pipeline.serving.routes.services import Services
from pipeline.serving.served_model import ServedModel
from pipeline.serving.workers.messages import PREDICT_REQUEST, Frame, Refused
from pipeline.serving.workers.predict_request import (
    ARRAY_SIGNATURE,
    BYTES_SIGNATURE,
    INPUT_NAMES,
    OUTPUT_NAME,
)

Values = dict[str, Any]

_READ_ERRORS = errors(400, 401, 403, 404)
_ERRORS = errors(400, 401, 403, 404, 408, 413, 422, 429, 500, 503)
_BODY: Values = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"oneOf": [RowsBody.model_json_schema(), ColumnsBody.model_json_schema()]}
            }
        },
    },
    **example(
        'curl -d \'{"signature_name": "serve_bytes", "instances": [{"b64": "\'$(base64 -w0 one.png)\'"}]}\' '
        "SERVER/v1/models/NAME:predict"
    ),
}
_ANY_BATCH = -1
_VERSION = "^[0-9]{1,18}$"
_Version = Annotated[str, Path(json_schema_extra={"pattern": _VERSION})]
_Answer = RowPredictions | ColumnOutputs


def router(services: Services) -> APIRouter:
    """/v1/models."""
    routes = APIRouter(prefix="/v1/models", tags=["TensorFlow Serving"])

    @asynccontextmanager
    async def served(name: str, version: str | None, missing: str) -> AsyncIterator[ServedModel]:
        """The model for one request, if it is the one that was asked for."""
        if version is not None and not re.search(_VERSION, version):
            raise Refused(400, "the version is not a number of 64 bits")
        async with services.switch.using() as model:
            same_version = version is None or int(version) == model.exported.version
            if name != model.exported.name or not same_version:
                raise Refused(404, missing)
            yield model

    async def status(name: str, version: str | None) -> JSONResponse:
        what = f"version {version} of model {name}" if version else f"any versions of model {name}"
        async with served(name, version, f"Could not find {what}") as model:
            return JSONResponse(_status(model))

    async def metadata(name: str, version: str | None) -> JSONResponse:
        async with served(name, version, _not_found(name, version)) as model:
            return JSONResponse(_metadata(model))

    async def predict(request: Request, name: str, version: str | None) -> JSONResponse:
        client = request.client.host if request.client else ""
        with services.admission.admit(client) as buffered:
            async with served(name, version, _not_found(name, version)) as model:
                body = await read_body(request, services.limits, buffered)
                answer = await model.pool.run(Frame({"kind": PREDICT_REQUEST}, body))
                classes = model.exported.preprocessing.classes
        probabilities = np.frombuffer(answer.data, "<f4").reshape(-1, len(classes))
        for row in probabilities:
            services.metrics.count_prediction(classes[row.argmax()], float(row.max()))
        return JSONResponse({answer.header["answer_key"]: probabilities.tolist()})

    # Before the others, whose names would take the verb for a part of the name.
    @routes.post("/{name}:predict", response_model=_Answer, responses=_ERRORS, openapi_extra=_BODY)
    async def model_predict(request: Request, name: str) -> JSONResponse:
        """Class probabilities of images, given as arrays of pixels or as encoded files."""
        return await predict(request, name, None)

    @routes.post(
        "/{name}/versions/{version}:predict", response_model=_Answer, responses=_ERRORS, openapi_extra=_BODY
    )
    async def version_predict(request: Request, name: str, version: _Version) -> JSONResponse:
        """Class probabilities of images, by a certain version."""
        return await predict(request, name, version)

    for path in ("/{name}:{verb}", "/{name}/versions/{version}:{verb}"):
        routes.add_api_route(path, _other_verb, methods=["POST"], include_in_schema=False)
        routes.add_api_route(path, _only_post, methods=["GET"], include_in_schema=False)

    @routes.get("/{name}", response_model=ModelStatus, responses=_READ_ERRORS)
    async def model_status(name: str) -> JSONResponse:
        """The state of the model."""
        return await status(name, None)

    @routes.get("/{name}/versions/{version}", response_model=ModelStatus, responses=_READ_ERRORS)
    async def version_status(name: str, version: _Version) -> JSONResponse:
        """The state of a version."""
        return await status(name, version)

    @routes.get("/{name}/metadata", response_model=Metadata, responses=_READ_ERRORS)
    async def model_metadata(name: str) -> JSONResponse:
        """The signatures of the model."""
        return await metadata(name, None)

    @routes.get("/{name}/versions/{version}/metadata", response_model=Metadata, responses=_READ_ERRORS)
    async def version_metadata(name: str, version: _Version) -> JSONResponse:
        """The signatures of a version."""
        return await metadata(name, version)

    return routes


async def _other_verb(verb: str) -> JSONResponse:
    if verb not in ("classify", "regress"):
        raise Refused(400, "Malformed request: expected :predict")
    method = f"tensorflow/serving/{verb}"
    raise Refused(400, f"Expected {method} signature. Was: tensorflow/serving/predict")


async def _only_post() -> JSONResponse:
    raise Refused(405, "Method Not Allowed", {"Allow": "POST"})


def _not_found(name: str, version: str | None) -> str:
    which = f"Latest({name})" if version is None else f"Specific({name}, {version})"
    return f"Servable not found for request: {which}"


def _status(model: ServedModel) -> Values:
    state = {"error_code": "OK", "error_message": ""}
    version = {"version": str(model.exported.version), "state": "AVAILABLE", "status": state}
    return {"model_version_status": [version]}


def _metadata(model: ServedModel) -> Values:
    exported = model.exported
    pixels = _tensor("DT_UINT8", _ANY_BATCH, *exported.preprocessing.shape)
    files = _tensor("DT_STRING", _ANY_BATCH)
    probabilities = _tensor("DT_FLOAT", _ANY_BATCH, len(exported.preprocessing.classes))
    signatures = {
        signature: {
            "inputs": {INPUT_NAMES[signature]: {**tensor, "name": f"{signature}_{INPUT_NAMES[signature]}:0"}},
            "outputs": {OUTPUT_NAME: {**probabilities, "name": "StatefulPartitionedCall:0"}},
            "method_name": "tensorflow/serving/predict",
        }
        for signature, tensor in ((ARRAY_SIGNATURE, pixels), (BYTES_SIGNATURE, files))
    }
    return {
        "model_spec": {"name": exported.name, "signature_name": "", "version": str(exported.version)},
        "metadata": {"signature_def": {"signature_def": signatures}},
    }


def _tensor(dtype: str, *shape: int) -> Values:
    sizes = [{"size": str(size), "name": ""} for size in shape]
    return {"dtype": dtype, "tensor_shape": {"dim": sizes, "unknown_rank": False}}
