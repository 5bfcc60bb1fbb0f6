"""/api/model: what answers, where it comes from and what it accepts."""

from fastapi import APIRouter

from pipeline.images.decoding import Color, Resize
from pipeline.inference.exported_model import ExportedModel, Latency
from pipeline.serving.following import Following, is_registered
from pipeline.serving.responses import ModelName, Schema, errors, shell_sample
from pipeline.serving.routes.pages import samples_of
from pipeline.serving.routes.services import Services


class ModelScores(Schema):
    """On the test subset; the interval of the accuracy has this confidence."""

    accuracy: float
    accuracy_low: float
    accuracy_high: float
    images: int
    confidence: float


class Input(Schema):
    """What becomes of an image before the network sees it; sizes in pixels."""

    image_size: int
    resize: Resize
    color: Color


class ExportedFormat(Schema):
    """One file of the export, as it was measured when it was made."""

    format: str
    size_bytes: int
    accuracy: float
    largest_difference: float
    latency_ms: Latency
    images_per_second: float


class RequestLimits(Schema):
    body_bytes: int
    images: int
    pixels: int


class ModelDescription(ModelName):
    """The model that answers, and where it comes from."""

    candidate: str
    network: str
    format: str
    model_digest: str
    classes: list[str]
    input: Input
    scores: ModelScores
    lineage: dict[str, str]
    commands: list[str]
    formats: list[ExportedFormat]
    limits: RequestLimits
    following: Following
    samples: list[str]


def router(services: Services) -> APIRouter:
    routes = APIRouter(prefix="/api", tags=["Predict"])

    @routes.get("/model", responses=errors(401, 403), openapi_extra=shell_sample("curl SERVER/api/model"))
    async def model() -> ModelDescription:
        """The model that answers: its classes, scores and lineage, and what it accepts."""
        return _describe(services)

    return routes


def _describe(services: Services) -> ModelDescription:
    model = services.switch.current
    exported = model.exported
    preprocessing = exported.preprocessing
    return ModelDescription(
        name=exported.name,
        version=exported.version,
        candidate=exported.candidate,
        network=exported.network,
        format=model.format_name,
        model_digest=exported.model_digest,
        classes=list(preprocessing.classes),
        input=Input.model_validate(preprocessing),
        scores=ModelScores.model_validate(exported.scores),
        lineage=exported.lineage,
        commands=_commands(exported),
        formats=[
            ExportedFormat(
                format=name,
                size_bytes=file.size_bytes,
                accuracy=file.accuracy,
                largest_difference=file.largest_difference,
                latency_ms=file.latency_ms,
                images_per_second=file.images_per_second,
            )
            for name, file in exported.files.items()
        ],
        limits=RequestLimits.model_validate(services.limits),
        following=services.following,
        samples=samples_of(preprocessing.classes, services.samples),
    )


def _commands(exported: ExportedModel) -> list[str]:
    """What to type in the project to learn more about where the model comes from."""
    commands = []
    if is_registered(exported.name):
        commands.append(f"python -m pipeline lineage models:/{exported.name}/{exported.version}")
    elif run := exported.lineage.get("run_id"):
        commands.append(f"python -m pipeline lineage {run}")
    if commit := exported.lineage.get("git_commit"):
        commands.append(f"git show --stat {commit}")
    return commands
