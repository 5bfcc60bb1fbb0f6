"""Which model `python -m pipeline export` is asked for: in the workspace, in a folder, or in MLflow."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.commands.models.model_folder import BEST, REGISTERED, card_of, local_folder
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.workspace import Workspace
from pipeline.inference.model_card import ModelCard
from pipeline.params.whole import Params
from pipeline.repository.repository import Repository
from pipeline.tracking import tags
from pipeline.tracking.registry.model_files import (
    champion_address,
    download_model,
    lineage_of_model,
)
from pipeline.tracking.store import Store

Say = Callable[[str], None]


@dataclass(frozen=True)
class ExportSource:
    """A model to export.

    Attributes:
      given: how it was asked for.
      folder: of model.keras and card.json.
      card: what that says.
      name: of the exported model.
      version: in the registry; None for a model that is not taken from there.
      lineage: tags of the run that trained it, as far as they are known.
      is_default: whether `predict` and `serve` shall start from its export.
    """

    given: str
    folder: Path
    card: ModelCard
    name: str
    version: int | None
    lineage: Mapping[str, str]
    is_default: bool


def find_source(
    workspace: Workspace, store: Store, params: Params, model: str | None, scratch: Path, say: Say
) -> ExportSource:
    """The model that is meant; one from MLflow is brought into `scratch`.

    `model` is best, a candidate, a model file or its folder, models:/<name>@<alias>,
    models:/<name>/<version>, or None for the champion, or best where there is none.

    Raises PipelineError where there is no such model, or MLflow has to be asked and does not answer.
    """
    if model is None:
        model = champion_address(store, params.registry.model) or BEST
    if model.startswith(REGISTERED):
        return _registered(store, params, model, scratch, say)
    folder = local_folder(workspace, model)
    card = card_of(folder)
    lineage = _lineage(workspace, store, params, card, say)
    say(f"exporting {card.candidate}: {card.network}, {card.parameters['total']:,} parameters")
    return ExportSource(model, folder, card, card.candidate, None, lineage, model == BEST)


def _registered(store: Store, params: Params, address: str, scratch: Path, say: Say) -> ExportSource:
    say(f"fetching {address} from MLflow")
    files = download_model(store, address, scratch)
    card = card_of(files.folder)
    say(
        f"exporting version {files.version} of '{files.name}': {card.network}, "
        f"{card.parameters['total']:,} parameters"
    )
    is_default = files.is_champion and files.name == params.registry.model
    return ExportSource(address, files.folder, card, files.name, files.version, files.lineage, is_default)


def _lineage(workspace: Workspace, store: Store, params: Params, card: ModelCard, say: Say) -> dict[str, str]:
    """What the card, git and DVC know of a model, and what MLflow knows where it can be asked."""
    repository = Repository(workspace.root)
    output = workspace.model(card.candidate).relative_to(workspace.root).as_posix()
    dvc_hash = repository.lock(None).outputs.get(output, "")
    known = {
        tags.STAGE: card.stage,
        tags.CANDIDATE: card.candidate,
        tags.NETWORK: card.network,
        tags.MODEL_DIGEST: card.model_digest,
        tags.DATA_DIGEST: card.data_digest,
        tags.DVC_HASH: dvc_hash,
        tags.GIT_COMMIT: (dvc_hash and repository.first_commit_with(dvc_hash)) or "",
    }
    if store.exists:
        try:
            known |= lineage_of_model(store, params.tracking.experiment, card.model_digest)
        except PipelineError as error:
            say(f"{error.what}; the lineage is what git and DVC know")
    return {name: value for name, value in known.items() if value}
