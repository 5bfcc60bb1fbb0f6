"""`python -m pipeline export`: a trained model in the formats of other runtimes, if they agree with it."""

import argparse
import dataclasses
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from pipeline.commands.addresses.address import BEST, Address, NamedCandidate, Registered, add_address
from pipeline.commands.addresses.finding import Finder
from pipeline.commands.addresses.found import Found, InRegistry, InRevision, InWorkingTree
from pipeline.commands.addresses.trained_files import TrainedFiles, trained_files
from pipeline.commands.runs.sync import bring_up_to_date
from pipeline.commands.terminal import WIDTH, say
from pipeline.deployment.job import ExportJob, ExportResult
from pipeline.foundation.errors import EXIT_REFUSED, PipelineError
from pipeline.foundation.files import atomic_folder
from pipeline.foundation.workspace import NETWORK_FILE, Workspace
from pipeline.images.arrays import arrays_digest
from pipeline.inference.exported_model import (
    FORMATS,
    SAVED_MODEL_FORMAT,
    ExportedModel,
    publish,
    serving_folder,
)
from pipeline.inference.model_card import ModelCard
from pipeline.inference.preprocessing import PreprocessingSpec
from pipeline.params.whole import Params, load_params
from pipeline.processes.child_process import Say
from pipeline.tracking import tags
from pipeline.tracking.registry.model_files import champion, record_export, tags_of_model, tags_of_version
from pipeline.tracking.registry.registry import CHAMPION
from pipeline.tracking.runs.facts import model_tags
from pipeline.tracking.store import Store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_address(
        parser,
        "model",
        nargs="?",
        metavar="MODEL",
        role="the model to export (default: the champion, or best where there is none)",
    )
    parser.add_argument(
        "--format",
        action="append",
        default=[],
        metavar="FORMAT",
        dest="formats",
        help="only this format, such as litert_fp32 or onnx; may be repeated",
    )


def run(workspace: Workspace, store: Store, options: argparse.Namespace) -> int:
    """Export a model as SavedModel, LiteRT and ONNX files, each compared with the original.

    Exit code 3, and nothing is kept, where a file does not give the original's answers.
    """
    bring_up_to_date(workspace, store, say)
    return export(workspace, store, options.model, options.formats, say)


@dataclass(frozen=True)
class _ModelToExport:
    """A model to export.

    Attributes:
      address: how it was asked for.
      files: of the trained model.
      name: of the exported model.
      version: in the registry; None for a model that is not taken from there.
      lineage: tags of the run that trained it, as far as they are known.
      is_default: whether `predict` and `serve` shall start from its export.
    """

    address: Address
    files: TrainedFiles
    name: str
    version: int | None
    lineage: Mapping[str, str]
    is_default: bool

    @property
    def card(self) -> ModelCard:
        return self.files.card


class _RefusedError(Exception):
    """A check has failed; what was written goes away with the temporary folders."""


def export(
    workspace: Workspace, store: Store, model: Address | None, formats: Sequence[str], say: Say
) -> int:
    """Export a model, compare every file with it, and keep the files if all of them agree.

    Formats that were exported of the very same model before stay beside the new ones.

    Args:
      workspace: the project; its test subset is what is compared on.
      store: where a registered model is, and where the export is recorded.
      model: what to export; None for the champion, or best where there is none.
      formats: names of formats; all where there are none.
      say: is told what is being done.

    Returns:
      0, or EXIT_REFUSED where a file does not agree with the model; nothing is kept then.

    Raises:
      PipelineError: the model cannot be found or used, or the workspace has no images for it.
    """
    chosen = _chosen(formats)
    params = load_params(workspace.params)
    with Finder(workspace, store) as finder:
        source = _source(finder, params, model, say)
        _require_fitting_images(workspace, source, say)
        folder = _folder(workspace.exports, source)
        try:
            exported = _export(workspace, params, source, chosen, folder, say)
        except _RefusedError:
            return EXIT_REFUSED
    say(f"exported to {_shown(workspace, folder)}")
    if SAVED_MODEL_FORMAT in chosen:
        say(f"for TensorFlow Serving: {_shown(workspace, exported.file(folder, SAVED_MODEL_FORMAT))}")
    if source.is_default:
        publish(workspace.exports, folder)
        say("published: 'predict' and 'serve' start from it")
    registered_name = params.registry.model if source.version is None else source.name
    _record(store, params.tracking.experiment, registered_name, exported, folder, say)
    return 0


def _source(finder: Finder, params: Params, address: Address | None, say: Say) -> _ModelToExport:
    registered = params.registry.model
    if address is None and champion(finder.store, registered) is not None:
        address = Registered(registered, CHAMPION)
    found = finder.find(address) if address else finder.best()
    address = address or NamedCandidate(BEST)
    if isinstance(found, InRegistry):
        say(f"fetching {found} from MLflow")
    files = trained_files(finder, found)
    card = files.card
    say(f"exporting {found}: {card.network}, {card.parameters.total:,} parameters")
    if isinstance(found, InRegistry):
        lineage = tags_of_version(finder.store, found.name, found.version)
        is_champion = found == InRegistry(registered, champion(finder.store, registered) or 0)
        return _ModelToExport(address, files, found.name, found.version, lineage, is_champion)
    lineage = _lineage(finder, found, card, say)
    return _ModelToExport(address, files, card.candidate, None, lineage, address == NamedCandidate(BEST))


def _lineage(finder: Finder, found: Found, card: ModelCard, say: Say) -> dict[str, str]:
    """What the card, git and DVC know of a model, and what MLflow knows where it can be asked."""
    dvc_hash = ""
    if isinstance(found, InWorkingTree | InRevision):
        outputs = finder.working_tree if isinstance(found, InWorkingTree) else finder.outputs(found.commit)
        dvc_hash = outputs.main_hash(card.stage)
    known = {
        tags.STAGE: card.stage,
        **model_tags(card.candidate, card.network, card.model_digest),
        tags.DATA_DIGEST: card.data_digest,
        tags.DVC_HASH: dvc_hash,
        tags.GIT_COMMIT: (dvc_hash and finder.repository.first_commit_with(dvc_hash)) or "",
    }
    if finder.store.exists:
        try:
            known |= tags_of_model(finder.store, finder.index.experiment, card.model_digest)
        except PipelineError as error:
            say(f"{error.what} The lineage is what git and DVC know.")
    return {name: value for name, value in known.items() if value}


def _chosen(formats: Sequence[str]) -> list[str]:
    """The formats to export, in our order. Raises PipelineError where one is not known."""
    unknown = [name for name in formats if name not in FORMATS]
    if unknown:
        raise PipelineError(f"There is no format '{unknown[0]}'.", expected="one of " + ", ".join(FORMATS))
    return [name for name in FORMATS if name in formats or not formats]


def _require_fitting_images(workspace: Workspace, source: _ModelToExport, say: Say) -> None:
    """Raises PipelineError where the workspace's arrays are not what the model takes."""
    card = source.card
    found = PreprocessingSpec.load(workspace.preprocessing).to_json()
    expected = card.preprocessing.to_json()
    differing = [name for name in expected if found[name] != expected[name]]
    if differing:
        raise PipelineError(
            f"The images of this project are not what the model takes: {', '.join(differing)} differ.",
            expected="; ".join(f"{name} {expected[name]}" for name in differing),
            found="; ".join(f"{name} {found[name]}" for name in differing),
            remedy="check out the commit that the model comes from: "
            f"python -m pipeline lineage {source.address}",
        )
    if arrays_digest([workspace.subset("train"), workspace.subset("validation")]) != card.data_digest:
        say(
            "The model was trained on other images than this project has now. If test images are among "
            "those, its accuracy is too high."
        )


def _folder(exports: Path, source: _ModelToExport) -> Path:
    """Where the export goes: a registered model by its version, others by counting their models up."""
    parent = exports / source.name
    if source.version is not None:
        return parent / str(source.version)
    versions = [int(path.name) for path in parent.glob("*") if path.name.isdecimal()]
    latest = max(versions, default=0)
    if latest and _previous(parent / str(latest), source.card) is not None:
        return parent / str(latest)
    return parent / str(latest + 1)


def _previous(folder: Path, card: ModelCard) -> ExportedModel | None:
    """What was exported there before, if it is the same model."""
    try:
        found = ExportedModel.load(folder)
    except PipelineError:
        return None
    return found if found.model_digest == card.model_digest else None


def _export(
    workspace: Workspace,
    params: Params,
    source: _ModelToExport,
    formats: Sequence[str],
    folder: Path,
    say: Say,
) -> ExportedModel:
    """Write `folder`, and the SavedModel where it is among the formats; both appear whole or not at all.

    Raises _RefusedError where a check has failed.
    """
    saved_model = serving_folder(workspace.exports, source.name, int(folder.name))
    with ExitStack() as folders:
        folders.callback(_remove_if_empty, folder.parent, saved_model.parent, saved_model.parent.parent)
        files = folders.enter_context(atomic_folder(folder))
        built = folders.enter_context(atomic_folder(saved_model)) if SAVED_MODEL_FORMAT in formats else files
        job = ExportJob(
            model=source.files.folder.resolve(),
            arrays=workspace.arrays,
            files=files,
            saved_model=built,
            formats=tuple(formats),
            export=params.export,
            evaluate=params.evaluate,
            seed=params.seed,
            threads=params.threads,
        )
        say(f"loading TensorFlow, for {len(formats)} formats" if len(formats) > 1 else "loading TensorFlow")
        result = job.run(say)
        _print_table(source, result)
        if any(each.failed for each in result.formats.values()):
            _explain_refusal(source, result, say)
            raise _RefusedError
        exported = _described(source, result, folder, saved_model)
        exported = _with_previous(exported, _previous(folder, source.card), folder, files, say)
        exported.save(files)
    return exported


def _remove_if_empty(*folders: Path) -> None:
    """Those of a model without versions, about which TensorFlow Serving would complain."""
    for folder in folders:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _described(
    source: _ModelToExport, result: ExportResult, folder: Path, saved_model: Path
) -> ExportedModel:
    files = {name: each.file for name, each in result.formats.items()}
    if SAVED_MODEL_FORMAT in files:
        place = Path(os.path.relpath(saved_model, folder)).as_posix()
        files[SAVED_MODEL_FORMAT] = dataclasses.replace(files[SAVED_MODEL_FORMAT], path=place)
    return ExportedModel(
        name=source.name,
        version=int(folder.name),
        candidate=source.card.candidate,
        network=source.card.network,
        model_digest=source.card.model_digest,
        preprocessing=source.card.preprocessing,
        scores=result.scores,
        lineage=dict(source.lineage),
        files=files,
    )


def _with_previous(
    exported: ExportedModel, previous: ExportedModel | None, folder: Path, files: Path, say: Say
) -> ExportedModel:
    """`exported` with the formats that were exported of the same model before, and not again now.

    Their files are copied from `folder`, which is to be replaced, to `files`, which is to take its place.
    Left out are those whose figures are of other test images, and those that are no longer what they were.
    """
    if previous is None:
        return exported
    kept = {name: file for name, file in previous.files.items() if name not in exported.files}
    if kept and previous.scores != exported.scores:
        say(f"left out, as they were compared with the model on other test images: {', '.join(kept)}")
        return exported
    for name, file in list(kept.items()):
        try:
            path = previous.file(folder, name)
        except PipelineError as error:
            say(f"left out: {name}. {error.what}")
            del kept[name]
            continue
        if name != SAVED_MODEL_FORMAT:
            shutil.copy2(path, files / file.path)
    merged = {**kept, **exported.files}
    return dataclasses.replace(exported, files={name: merged[name] for name in FORMATS if name in merged})


def _print_table(source: _ModelToExport, result: ExportResult) -> None:
    """One row per format, the original's first."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("format", no_wrap=True)
    for title in (
        "size,\nMB",
        "zipped,\nMB",
        "accuracy,\n%",
        "largest\ndifference",
        "1 image, ms\nmedian (p99)",
        "images/s",
        "cold\nstart, s",
    ):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("checks")
    scores = result.scores
    size = source.files.network.stat().st_size
    table.add_row(NETWORK_FILE, _megabytes(size), "", f"{100 * scores.accuracy:.2f}", style="dim")
    for name, each in result.formats.items():
        file = each.file
        table.add_row(
            name,
            _megabytes(file.size_bytes),
            _megabytes(file.compressed_bytes),
            f"{100 * file.accuracy:.2f}",
            f"{file.largest_difference:.1e}",
            f"{file.latency_ms.median:.2f} ({file.latency_ms.p99:.2f})",
            f"{file.images_per_second:,.0f}",
            f"{file.cold_start_seconds:.2f}",
            "failed" if each.failed else "passed",
            style="bold red" if each.failed else None,
        )
    console = Console(width=WIDTH, highlight=False)
    console.print(table)
    console.print(
        f"accuracy and differences on {scores.images:,} test images, where the original's interval is "
        f"[{100 * scores.accuracy_low:.2f}, {100 * scores.accuracy_high:.2f}]; times with one thread"
    )


def _megabytes(count: float) -> str:
    return f"{count / 1e6:.2f}"


def _explain_refusal(source: _ModelToExport, result: ExportResult, say: Say) -> None:
    say("Nothing was exported, as not every format agrees with the model:")
    for name, each in result.formats.items():
        for check in each.failed:
            say(f"  {name}: {check.name} {_figure(check.found)}, at most {_figure(check.limit)}")
    passed = [name for name, each in result.formats.items() if not each.failed]
    if passed:
        options = " ".join(f"--format {name}" for name in passed)
        say(f"The others alone: python -m pipeline export {source.address} {options}")


def _figure(value: float) -> str:
    return f"{value:.0f}" if value == int(value) else f"{value:.2g}"


def _record(
    store: Store,
    experiment: str,
    registered_name: str,
    exported: ExportedModel,
    folder: Path,
    say: Say,
) -> None:
    """Add the export to MLflow. It is a mirror: where that is not possible, the export holds all the same."""
    if not store.exists:
        say("not recorded: there is no MLflow store here")
        return
    say("recording the export in MLflow")
    try:
        place = record_export(store, experiment, registered_name, exported, folder)
    except PipelineError as error:
        say(f"not recorded: {error.what}")
    else:
        say(f"recorded {place}")


def _shown(workspace: Workspace, path: Path) -> str:
    """A path as short as it can be."""
    return os.path.relpath(path, workspace.root)
