"""Gives MLflow runs of results that DVC took from its run cache, where nothing was executed.

What a stage would have recorded is read back from what it wrote and recorded in the same words, so
that a restored run can be compared with any other. Trials of a search are not made anew, of them only
the table is kept; nor are durations and the machine, as nothing ran.
"""

import csv
import io
import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.foundation.digests import digest_json
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.tracker import Run
from pipeline.foundation.workspace import CANDIDATES
from pipeline.params.whole import parse_params
from pipeline.repository.repository import Repository, StageLock
from pipeline.repository.stage_outputs import TRAININGS, Card, Results, Scores, flat_scores
from pipeline.tracking import provenance, tags
from pipeline.tracking.journal.journal import Journal
from pipeline.tracking.journal.journal_tracker import RestoringTracker
from pipeline.tracking.journal.parents import parent_run
from pipeline.tracking.redaction import without_credentials
from pipeline.tracking.runs.resolution import Unrecorded

_MODEL_FILES = ("model.keras", "card.json", "history.csv")
_SEARCH_FILES = ("trials.csv", "best_params.json")
_CURVES = ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate")
_FIGURES = "evaluation"
_MOST_CHANGES = 50


@dataclass(frozen=True)
class Restoration:
    """What was restored of an experiment or of the working tree.

    Attributes:
      journal: holds the runs until it is delivered; None where there are none.
      runs: how many.
      failed: names of the runs whose files DVC does not have any more.
    """

    journal: Journal | None
    runs: int
    failed: tuple[str, ...]


class _GoneError(Exception):
    """A file is neither in DVC's cache nor in its remote."""


def restore(
    results: Results, unrecorded: Sequence[Unrecorded], experiment: str, repository: Repository
) -> Restoration:
    """Record runs of results that have none, in a journal that is to be delivered.

    A run whose files are gone is passed over. `experiment` is MLflow's name for the project.
    """
    project_tags = _project_tags(results, repository)
    parent = parent_run(project_tags, results.params)
    declared = repository.declarations(results.commit if results.experiment else None)
    failed = []
    with (
        tempfile.TemporaryDirectory() as folder,
        RestoringTracker(results.workspace, experiment, parent, results.time) as tracker,
    ):
        files = _Files(results, Path(folder))
        for each in unrecorded:
            stage = each.stage
            name = TRAININGS.get(stage, stage)
            own_tags = _stage_tags(results, each, declared[stage].dependencies if stage in declared else ())
            key = digest_json(["restored", parent.key, stage, dict(results.lock.stages[stage].outputs)])
            try:
                replay = _Training.read(files, name) if stage in TRAININGS else _Evaluation.read(files, each)
            except _GoneError:
                failed.append(name)
                continue
            with tracker.restored_run(name, key, project_tags | own_tags) as run:
                replay.record(run)
    return Restoration(tracker.journal, len(unrecorded) - len(failed), tuple(failed))


def _project_tags(results: Results, repository: Repository) -> dict[str, str]:
    """Where the results are from. Of the code they say which commit has it; none of it was executed."""
    changes = [] if results.experiment else repository.changes(*provenance.DECISIVE_FILES)
    values = {
        tags.ORIGIN: provenance.origin(results.workspace.home),
        tags.GIT_COMMIT: results.commit,
        tags.GIT_DIRTY: "unknown" if changes is None else str(bool(changes)).lower(),
        tags.GIT_CHANGES: json.dumps(changes[:_MOST_CHANGES]) if changes else "",
        tags.DVC_EXPERIMENT: results.experiment,
        tags.DVC_BASELINE: results.baseline if results.experiment else "",
        tags.DVC_COMMIT: results.commit if results.experiment else "",
        "mlflow.source.git.commit": results.commit,
        "mlflow.source.name": "python -m pipeline sync",
        "mlflow.source.type": "LOCAL",
        "mlflow.user": provenance.user(),
    }
    return {name: value for name, value in values.items() if value}


def _stage_tags(results: Results, restored: Unrecorded, dependencies: Iterable[str]) -> dict[str, str]:
    stage = restored.stage
    inputs = results.lock.data_inputs(stage, dependencies)
    source = results.read_json(results.path(results.workspace.raw / "source.json")) or {}
    known_source = {name: source[name] for name in ("dataset", "location", "fingerprint") if name in source}
    values = {
        tags.STAGE: stage,
        tags.KIND: tags.KIND_TRAINING if stage in TRAININGS else tags.KIND_EVALUATION,
        tags.DVC_HASH: results.main_hash(stage),
        tags.PARAMS_DIGEST: _params_digest(results, results.lock.stages[stage]),
        tags.INPUTS: _compact_json(inputs) if inputs else "",
        tags.DATA_SOURCE: without_credentials(_compact_json(known_source)) if known_source else "",
        tags.RESTORED_FROM: restored.original or "",
    }
    return {name: value for name, value in values.items() if value}


def _params_digest(results: Results, entry: StageLock) -> str:
    """As an executed run has it; empty where the params of that time do not fit any more."""
    try:
        values = parse_params(results.params).model_dump(mode="json")
        return digest_json({key: values[key] for key in entry.params})
    except (PipelineError, KeyError):
        return ""


def _compact_json(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


@dataclass(frozen=True)
class _Files:
    """Copies of files among the results, in a temporary folder."""

    results: Results
    folder: Path

    def fetch(self, path: str) -> Path | None:
        """A copy of a file; None where it is not to be had."""
        return self.results.copy(path, self.folder)

    def require(self, path: str) -> Path:
        copy = self.fetch(path)
        if copy is None:
            raise _GoneError(path)
        return copy

    def predictions(self, candidate: str) -> Path | None:
        workspace = self.results.workspace
        return self.fetch(self.results.path(workspace.predictions / f"{candidate}.npz"))

    def heatmaps(self, candidate: str) -> Path | None:
        """The picture of them, which results from before evaluate made any lack."""
        workspace = self.results.workspace
        return self.fetch(self.results.path(workspace.explanations / f"heatmaps_{candidate}.png"))


@dataclass(frozen=True)
class _Training:
    """What a stage that trains would have recorded."""

    files: _Files
    card: Card
    folder: Path
    history: Sequence[Mapping[str, str]]
    scores: Scores | None

    @classmethod
    def read(cls, files: _Files, candidate: str) -> "_Training":
        """Raises _GoneError."""
        results = files.results
        model = results.path(results.workspace.model(candidate))
        _, card, history = (files.require(f"{model}/{name}") for name in _MODEL_FILES)
        for name in _SEARCH_FILES:
            files.fetch(f"{model}/{name}")
        return cls(
            files=files,
            card=json.loads(card.read_text(encoding="utf-8")),
            folder=card.parent,
            history=list(csv.DictReader(io.StringIO(history.read_text(encoding="utf-8")))),
            scores=results.scores,
        )

    def record(self, run: Run) -> None:
        candidate = self.card["candidate"]
        run.set_tags({tags.NETWORK: self.card["network"], tags.CANDIDATE: candidate})
        run.log_params(self.card["hyperparameters"])
        results = self.files.results
        split = results.read_json(results.path(results.workspace.split_metrics)) or {}
        sizes = {subset: split[subset] for subset in ("train", "validation") if subset in split}
        run.log_dataset("arrays", self.card["data_digest"], sizes)
        for row in self.history:
            run.log_metrics({name: float(row[name]) for name in _CURVES}, step=int(row["epoch"]))
        counts = {
            "parameters": self.card["parameters"]["total"],
            "forward_macs": self.card["forward_macs"],
        }
        run.log_metrics(counts)
        for file in sorted(self.folder.iterdir()):
            if file.name != "model.keras":
                run.log_artifact(file)
        run.log_model(self.folder, self.card["model_digest"])
        if self.scores is not None:
            run.log_metrics(flat_scores(self.scores, candidate))
            self._record_predictions(run, candidate)

    def _record_predictions(self, run: Run, candidate: str) -> None:
        from pipeline.scoring.evaluation import classification_report_text, confusion_csv
        from pipeline.scoring.predictions import load_predictions
        from pipeline.scoring.scores import confusion_matrix

        if (file := self.files.predictions(candidate)) is None:
            return
        test = load_predictions(file)["test"]
        class_names = self.card["preprocessing"]["classes"]
        confusion = confusion_matrix(test)
        run.log_artifact(_confusion_picture(file, candidate, class_names), _FIGURES)
        run.log_text(confusion_csv(confusion, class_names), f"{_FIGURES}/confusion_matrix.csv")
        report = classification_report_text(test, class_names)
        run.log_text(report, f"{_FIGURES}/classification_report.txt")
        if (heatmaps := self.files.heatmaps(candidate)) is not None:
            run.log_artifact(heatmaps, _FIGURES)


@dataclass(frozen=True)
class _Evaluation:
    """What the stage evaluate would have recorded."""

    files: _Files
    scores: Scores
    best: str
    cards: Mapping[str, Card]
    data_digest: str | None

    @classmethod
    def read(cls, files: _Files, restored: Unrecorded) -> "_Evaluation":
        """Raises _GoneError."""
        results = files.results
        scores, best = results.scores, results.read_json(results.path(results.workspace.best))
        cards = {candidate: results.card(candidate) for candidate in CANDIDATES}
        known_cards = {candidate: card for candidate, card in cards.items() if card is not None}
        if scores is None or best is None or len(known_cards) < len(CANDIDATES):
            raise _GoneError(restored.stage)
        return cls(files, scores, best["candidate"], known_cards, restored.data_digest)

    def record(self, run: Run) -> None:
        results, workspace = self.files.results, self.files.results.workspace
        run.log_params(results.lock.stages["evaluate"].params)
        first = next(iter(self.scores.values()))
        if self.data_digest is not None:  # only a run that has read the arrays knows it
            sizes = {subset: int(values["images"]) for subset, values in first.items()}
            run.log_dataset("evaluation", self.data_digest, sizes)
        digests = {f"{tags.MODEL_DIGEST}.{name}": card["model_digest"] for name, card in self.cards.items()}
        run.set_tags({tags.BEST_CANDIDATE: self.best, **digests})
        for candidate in self.scores:
            scores = flat_scores(self.scores, candidate)
            run.log_metrics({f"{candidate}/{name}": value for name, value in scores.items()})
        for path in (
            workspace.scores,
            workspace.per_class_scores,
            workspace.comparisons,
            workspace.references,
        ):
            if (file := self.files.fetch(results.path(path))) is not None:
                run.log_artifact(file)
        for candidate, card in self.cards.items():
            if (file := self.files.predictions(candidate)) is not None:
                class_names = card["preprocessing"]["classes"]
                run.log_artifact(_confusion_picture(file, candidate, class_names), _FIGURES)
            if (heatmaps := self.files.heatmaps(candidate)) is not None:
                run.log_artifact(heatmaps, _FIGURES)


def _confusion_picture(predictions: Path, candidate: str, class_names: Sequence[str]) -> Path:
    """The picture that evaluate makes, beside the predictions that it is made from."""
    from pipeline.reporting.house_style import save_figure
    from pipeline.reporting.topics.mistakes.figures import confusion_matrix_figure
    from pipeline.scoring.predictions import load_predictions
    from pipeline.scoring.scores import confusion_matrix

    picture = predictions.with_name(f"confusion_matrix_{candidate}.png")
    if not picture.exists():
        confusion = confusion_matrix(load_predictions(predictions)["test"])
        save_figure(confusion_matrix_figure(confusion, class_names, f"{candidate}: test subset"), picture)
    return picture
