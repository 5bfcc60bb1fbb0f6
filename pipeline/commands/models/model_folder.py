"""The folder of a trained model that a command is given: a candidate of the workspace, or any folder."""

from pathlib import Path

from pipeline.foundation.digests import digest_file
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.files import read_json, require
from pipeline.foundation.workspace import CANDIDATES, Workspace
from pipeline.inference.model_card import ModelCard

BEST, REGISTERED = "best", "models:/"
_MODEL, _CARD = "model.keras", "card.json"


def local_folder(workspace: Workspace, model: str) -> Path:
    """Where model.keras and card.json are. Raises PipelineError where there is no such model.

    `model` is best, a candidate, a model file, or its folder.
    """
    candidate = str(read_json(workspace.best)["candidate"]) if model == BEST else model
    if candidate in CANDIDATES:
        return workspace.model(candidate)
    path = Path(model).expanduser()
    if not path.exists():
        raise PipelineError(
            f"There is no model '{model}'.",
            expected=f"{BEST}, {', '.join(CANDIDATES)}, a {_MODEL} or its folder, "
            f"{REGISTERED}<name>@<alias> or {REGISTERED}<name>/<version>",
        )
    return (path if path.is_dir() else path.parent).resolve()


def card_of(folder: Path) -> ModelCard:
    """The card beside a network. Raises PipelineError where one is missing or they are of two models."""
    card = ModelCard.load(folder / _CARD)
    found = digest_file(require(folder / _MODEL))
    if found != card.model_digest:
        raise PipelineError(
            f"{folder / _CARD} does not belong to the {_MODEL} beside it.",
            expected=f"SHA-256 {card.model_digest}",
            found=found,
            remedy="'dvc checkout' brings both back as they were made",
        )
    return card
