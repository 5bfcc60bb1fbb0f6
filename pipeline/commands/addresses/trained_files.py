"""The files of a trained model, wherever it is: model.keras, and card.json beside it."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.commands.addresses.finding import Finder
from pipeline.commands.addresses.found import (
    Export,
    Found,
    InRegistry,
    InRevision,
    InWorkingTree,
    OfRun,
    OnDisk,
)
from pipeline.foundation.digests import digest_file
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.files import require
from pipeline.foundation.workspace import CARD_FILE, NETWORK_FILE
from pipeline.inference.exported_model import ExportedModel
from pipeline.inference.model_card import ModelCard
from pipeline.tracking.registry.model_files import download_trained, download_version


@dataclass(frozen=True)
class TrainedFiles:
    """A folder with model.keras and card.json, and what the card says."""

    folder: Path
    card: ModelCard

    @property
    def network(self) -> Path:
        return self.folder / NETWORK_FILE


def trained_files(finder: Finder, found: Found) -> TrainedFiles:
    """The files of a model; those of DVC and MLflow are brought into the finder's scratch folder.

    Raises PipelineError where they are gone, or do not belong together.
    """
    folder = _folder(finder, found)
    card = ModelCard.load(folder / CARD_FILE)
    digest = digest_file(require(folder / NETWORK_FILE))
    if digest != card.model_digest:
        raise PipelineError(
            f"{folder / CARD_FILE} does not belong to the {NETWORK_FILE} beside it.",
            expected=f"SHA-256 {card.model_digest}",
            found=digest,
            remedy="'dvc checkout' brings both back as they were made",
        )
    return TrainedFiles(folder, card)


def _folder(finder: Finder, found: Found) -> Path:
    match found:
        case InWorkingTree(candidate):
            return finder.workspace.model(candidate)
        case InRevision():
            folder = finder.outputs(found.commit).find(finder.workspace.model(finder.candidate(found)))
            if folder is None:
                raise PipelineError(
                    f"The files of {found} are gone.",
                    expected="the model in DVC's cache or remote",
                    remedy="'dvc pull' or 'dvc exp pull' brings what colleagues have; 'dvc repro' in that "
                    "revision makes it again",
                )
            return folder
        case OfRun(run):
            return download_trained(
                finder.store, finder.index.experiment, finder.digest(found), finder.scratch / run.run_id
            )
        case InRegistry(name, version):
            return download_version(finder.store, name, version, finder.scratch / f"{name}-{version}")
        case OnDisk(network):
            if network.name != NETWORK_FILE:
                raise PipelineError(
                    f"{network} comes without its card.",
                    expected=f"a file called {NETWORK_FILE} with {CARD_FILE} beside it",
                )
            return network.resolve().parent
        case Export(folder):
            exported = ExportedModel.load(folder)
            raise PipelineError(
                f"{folder} is an export, which has no {NETWORK_FILE} any more.",
                expected="the model that it was made from",
                remedy=f"type the same command with {exported.original} instead",
            )
