"""The export of a model, which `predict` and `serve` run. Imports nothing that serving does not need."""

import argparse
from pathlib import Path

from pipeline.commands.addresses.address import Address, add_address
from pipeline.commands.addresses.finding import Finder
from pipeline.commands.addresses.found import Export, InRegistry, InWorkingTree
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.workspace import Workspace
from pipeline.inference.exported_model import EXPORT_FILE, ExportedModel, exports_below, latest_export
from pipeline.tracking.store import Store


def add_exported(parser: argparse.ArgumentParser) -> None:
    """Declare `--model` and `--format`: what to run."""
    add_address(
        parser, "--model", metavar="MODEL", role="the exported model (default: the one published last)"
    )
    parser.add_argument(
        "--format", metavar="FORMAT", help="format to run (default: LiteRT in float32, else the next best)"
    )


def exported_folder(workspace: Workspace, store: Store, address: Address | None) -> Path:
    """The folder with the export of a model; of the one published last where no address is given.

    Raises PipelineError where there is no such model, or it has not been exported; says then what exports it.
    """
    with Finder(workspace, store) as finder:
        found = finder.find(address) if address else finder.published()
        match found:
            case Export(folder):
                return folder
            case InRegistry(name, version):
                folder = workspace.exports / name / str(version)
                if (folder / EXPORT_FILE).exists():
                    return folder
            case InWorkingTree(candidate) if not workspace.card(candidate).exists():
                # On a machine that only predicts, a candidate is known by its export alone.
                if (latest := latest_export(workspace.exports / candidate)) is not None:
                    return latest
        digest = finder.digest(found)
    for folder in reversed(exports_below(workspace.exports)):
        if ExportedModel.load(folder).model_digest == digest:
            return folder
    raise PipelineError(
        f"{str(found)[0].upper()}{str(found)[1:]} has not been exported.",
        expected=f"an export of the model with the digest {digest[:12]}… below {workspace.exports.name}/",
        remedy=f"python -m pipeline export {address}",
    )
