"""What requests and answers look like: the source of the OpenAPI description.

Answers are built as plain values, which is quicker; a test holds them to these.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Schema(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Error(Schema):
    error: str


class ModelName(Schema):
    name: str
    version: int


class ClassProbability(Schema):
    name: str
    probability: float


class Prediction(Schema):
    """One image; the classes from the most to the least probable."""

    file: str
    predicted: str
    probability: float
    classes: list[ClassProbability]


class RefusedImage(Schema):
    """One image that was not predicted; `status` is the one it would have had on its own."""

    file: str
    status: int
    error: str


class Predictions(Schema):
    """In the order of the files."""

    model: ModelName
    results: list[Prediction | RefusedImage]


class Scores(Schema):
    """On the test subset; the interval of the accuracy has this confidence."""

    accuracy: float
    accuracy_low: float
    accuracy_high: float
    images: float
    confidence: float


class Input(Schema):
    """What becomes of an image before the network sees it; sizes in pixels."""

    image_size: int
    resize: Literal["pad", "crop", "stretch"]
    color: Literal["rgb", "grayscale"]


class ExportedFormat(Schema):
    format: str
    size_bytes: int
    accuracy: float
    largest_difference: float
    latency_ms: dict[str, float]
    images_per_second: float


class RequestLimits(Schema):
    body_bytes: int
    images: int
    pixels: int


class Following(Schema):
    published: bool
    registry: bool
    champion_version: int | None
    problem: str | None


class Model(ModelName):
    """The model that answers, and where it comes from."""

    candidate: str
    network: str
    format: str
    model_digest: str
    classes: list[str]
    input: Input
    scores: Scores
    lineage: dict[str, str]
    commands: list[str]
    formats: list[ExportedFormat]
    limits: RequestLimits
    following: Following
    samples: list[str]


class Health(Schema):
    status: Literal["ok"]


class Readiness(Schema):
    status: Literal["ready"]
    model: ModelName
    workers: int
    following: Following


class PredictBody(Schema):
    """As TensorFlow Serving's REST API describes it."""

    model_config = ConfigDict(extra="allow")

    signature_name: Literal["serving_default", "serve_bytes"] = "serving_default"


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
    error_code: str
    error_message: str


class VersionStatus(Schema):
    version: str
    state: str
    status: VersionError


class ModelStatus(Schema):
    model_version_status: list[VersionStatus]


class Metadata(Schema):
    model_spec: dict[str, str]
    metadata: dict[str, Any]


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For FastAPI's `responses`: these statuses, and whatever else goes wrong, come with an `Error`."""
    named: tuple[int | str, ...] = (*statuses, "default")
    return {status: {"model": Error} for status in named}


def example(command: str) -> dict[str, Any]:
    """For FastAPI's `openapi_extra`: a shell command, in which SERVER stands for the address."""
    return {"x-codeSamples": [{"lang": "Shell", "source": command}]}
