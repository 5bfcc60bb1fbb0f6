"""TensorFlow Serving's REST protocol, so that its clients work unchanged.

It is described at https://www.tensorflow.org/tfx/serving/api_rest. There is one version at a time.
Not offered, with the error that TensorFlow Serving itself gives for a model without such signatures:
classify and regress.
"""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Path, Request
from pydantic import ConfigDict, Field

from pipeline.serving.refusals import Refused
from pipeline.serving.responses import Schema, errors, shell_sample
from pipeline.serving.routes.services import Services
from pipeline.serving.served_model import ServedModel
from pipeline.serving.workers.messages import Job
from pipeline.serving.workers.predict_request import (
    ARRAY_SIGNATURE,
    BYTES_SIGNATURE,
    INPUT_NAMES,
    OUTPUT_NAME,
    SignatureName,
)


class PredictBody(Schema):
    """As TensorFlow Serving's REST API describes it."""

    model_config = ConfigDict(extra="allow")

    signature_name: SignatureName = ARRAY_SIGNATURE


class RowsBody(PredictBody):
    """A value for each image."""

    instances: Annotated[list[Any], Field(min_length=1)]


class ColumnsBody(PredictBody):
    """All values of the only input, with or without its name."""

    inputs: Annotated[list[Any], Field(min_length=1)] | dict[str, list[Any]]


class RowPredictions(Schema):
    predictions: list[list[float]]


class ColumnOutputs(Schema):
    outputs: list[list[float]]


class VersionError(Schema):
    error_code: Literal["OK"] = "OK"
    error_message: Literal[""] = ""


class VersionStatus(Schema):
    version: str
    state: Literal["AVAILABLE"] = "AVAILABLE"
    status: VersionError = VersionError()


class ModelStatus(Schema):
    model_version_status: list[VersionStatus]


class Dimension(Schema):
    size: str
    name: Literal[""] = ""


class TensorShape(Schema):
    dim: list[Dimension]
    unknown_rank: Literal[False] = False


class TensorInfo(Schema):
    dtype: Literal["DT_UINT8", "DT_STRING", "DT_FLOAT"]
    tensor_shape: TensorShape
    name: str


class SignatureDef(Schema):
    inputs: dict[str, TensorInfo]
    outputs: dict[str, TensorInfo]
    method_name: Literal["tensorflow/serving/predict"] = "tensorflow/serving/predict"


class SignatureDefs(Schema):
    signature_def: dict[SignatureName, SignatureDef]


class ModelMetadata(Schema):
    signature_def: SignatureDefs


class ModelSpec(Schema):
    name: str
    signature_name: Literal[""] = ""
    version: str


class Metadata(Schema):
    model_spec: ModelSpec
    metadata: ModelMetadata


_READ_ERRORS = errors(400, 401, 403, 404)
_ERRORS = errors(400, 401, 403, 404, 408, 413, 422, 429, 500, 503)
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"oneOf": [RowsBody.model_json_schema(), ColumnsBody.model_json_schema()]}
            }
        },
    },
    **shell_sample(
        'curl -d \'{"signature_name": "serve_bytes", "instances": [{"b64": "\'$(base64 -w0 one.png)\'"}]}\' '
        "SERVER/v1/models/NAME:predict"
    ),
}
_ANY_BATCH = -1
_VERSION = "^[0-9]{1,18}$"
_Version = Annotated[str, Path(json_schema_extra={"pattern": _VERSION})]


def router(services: Services) -> APIRouter:
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

    async def status(name: str, version: str | None) -> ModelStatus:
        what = f"version {version} of model {name}" if version else f"any versions of model {name}"
        async with served(name, version, f"Could not find {what}") as model:
            available = VersionStatus(version=str(model.exported.version))
            return ModelStatus(model_version_status=[available])

    async def metadata(name: str, version: str | None) -> Metadata:
        async with served(name, version, _not_found(name, version)) as model:
            return _metadata(model)

    async def predict(request: Request, name: str, version: str | None) -> RowPredictions | ColumnOutputs:
        with services.admission.admit(request) as body:
            async with served(name, version, _not_found(name, version)) as model:
                reply = await model.pool.run(Job(await body.read()))
                classes = model.exported.preprocessing.classes
        probabilities = np.frombuffer(reply.data, "<f4").reshape(-1, len(classes))
        for row in probabilities:
            services.metrics.count_prediction(classes[row.argmax()], float(row.max()))
        rows = probabilities.tolist()
        if reply.answer_key == "predictions":
            return RowPredictions(predictions=rows)
        return ColumnOutputs(outputs=rows)

    # Before the others, whose names would take the verb for a part of the name.
    @routes.post("/{name}:predict", responses=_ERRORS, openapi_extra=_BODY)
    async def model_predict(request: Request, name: str) -> RowPredictions | ColumnOutputs:
        """Class probabilities of images, given as arrays of pixels or as encoded files."""
        return await predict(request, name, None)

    @routes.post("/{name}/versions/{version}:predict", responses=_ERRORS, openapi_extra=_BODY)
    async def version_predict(
        request: Request, name: str, version: _Version
    ) -> RowPredictions | ColumnOutputs:
        """Class probabilities of images, by a certain version."""
        return await predict(request, name, version)

    for path in ("/{name}:{verb}", "/{name}/versions/{version}:{verb}"):
        routes.add_api_route(path, _other_verb, methods=["POST"], include_in_schema=False)
        routes.add_api_route(path, _only_post, methods=["GET"], include_in_schema=False)

    @routes.get("/{name}", responses=_READ_ERRORS)
    async def model_status(name: str) -> ModelStatus:
        """The state of the model."""
        return await status(name, None)

    @routes.get("/{name}/versions/{version}", responses=_READ_ERRORS)
    async def version_status(name: str, version: _Version) -> ModelStatus:
        """The state of a version."""
        return await status(name, version)

    @routes.get("/{name}/metadata", responses=_READ_ERRORS)
    async def model_metadata(name: str) -> Metadata:
        """The signatures of the model."""
        return await metadata(name, None)

    @routes.get("/{name}/versions/{version}/metadata", responses=_READ_ERRORS)
    async def version_metadata(name: str, version: _Version) -> Metadata:
        """The signatures of a version."""
        return await metadata(name, version)

    return routes


async def _other_verb(verb: str) -> None:
    if verb not in ("classify", "regress"):
        raise Refused(400, "Malformed request: expected :predict")
    method = f"tensorflow/serving/{verb}"
    raise Refused(400, f"Expected {method} signature. Was: tensorflow/serving/predict")


async def _only_post() -> None:
    raise Refused(405, "Method Not Allowed", {"Allow": "POST"})


def _not_found(name: str, version: str | None) -> str:
    which = f"Latest({name})" if version is None else f"Specific({name}, {version})"
    return f"Servable not found for request: {which}"


def _metadata(model: ServedModel) -> Metadata:
    exported = model.exported
    probabilities = TensorInfo(
        dtype="DT_FLOAT",
        tensor_shape=_batch_of(len(exported.preprocessing.classes)),
        name="StatefulPartitionedCall:0",
    )

    def signature(name: SignatureName, dtype: Literal["DT_UINT8", "DT_STRING"], *shape: int) -> SignatureDef:
        input_name = INPUT_NAMES[name]
        tensor = TensorInfo(dtype=dtype, tensor_shape=_batch_of(*shape), name=f"{name}_{input_name}:0")
        return SignatureDef(inputs={input_name: tensor}, outputs={OUTPUT_NAME: probabilities})

    signatures: dict[SignatureName, SignatureDef] = {
        ARRAY_SIGNATURE: signature(ARRAY_SIGNATURE, "DT_UINT8", *exported.preprocessing.shape),
        BYTES_SIGNATURE: signature(BYTES_SIGNATURE, "DT_STRING"),
    }
    return Metadata(
        model_spec=ModelSpec(name=exported.name, version=str(exported.version)),
        metadata=ModelMetadata(signature_def=SignatureDefs(signature_def=signatures)),
    )


def _batch_of(*shape: int) -> TensorShape:
    return TensorShape(dim=[Dimension(size=str(size)) for size in (_ANY_BATCH, *shape)])
