"""Everything that the earlier stages wrote, read once and typed: what the report is about."""

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.foundation.array_types import Float64, Int64
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.files import read_json, require
from pipeline.foundation.workspace import CANDIDATES, SUBSETS, Workspace
from pipeline.images.arrays import ChannelStatistics, ImageArrays
from pipeline.images.catalogue import Provenance, UnusedFile, load_unused
from pipeline.images.splitting import SplitReport
from pipeline.inference.model_card import ModelCard
from pipeline.inference.preprocessing import PreprocessingSpec
from pipeline.params.augmentation import AugmentationParams
from pipeline.params.evaluate import EvaluateParams
from pipeline.params.report import ReportParams
from pipeline.reporting.wording import accuracy_decimals, candidate_title
from pipeline.scoring.explanations import Explanations
from pipeline.scoring.paired import ModelComparison, load_comparisons
from pipeline.scoring.predictions import Predictions, load_predictions
from pipeline.scoring.scores import Scores, load_scores

_CURVES = ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate")
_TRIAL_COLUMNS = ("trial", "status", "epochs", "val_loss", "val_accuracy")


@dataclass(frozen=True)
class ReportSettings:
    """The sections of params.yaml that the report depends on; `seed` decides which images are shown."""

    seed: int
    report: ReportParams
    augmentation: AugmentationParams
    evaluate: EvaluateParams


@dataclass(frozen=True)
class History:
    """Training and validation figures per epoch; accuracies are shares of 1.

    Attributes:
      phases: what each epoch belongs to: train, head or fine_tune.
      epochs: 1, 2, ... over all phases.
    """

    phases: tuple[str, ...]
    epochs: Int64[np.ndarray, " e"]
    loss: Float64[np.ndarray, " e"]
    accuracy: Float64[np.ndarray, " e"]
    val_loss: Float64[np.ndarray, " e"]
    val_accuracy: Float64[np.ndarray, " e"]
    learning_rate: Float64[np.ndarray, " e"]

    def __len__(self) -> int:
        return len(self.epochs)

    @classmethod
    def load(cls, path: Path) -> "History":
        rows = read_table(path)
        curves = {name: np.array([float(row[name]) for row in rows]) for name in _CURVES}
        epochs = np.array([int(row["epoch"]) for row in rows], dtype=np.int64)
        return cls(phases=tuple(row["phase"] for row in rows), epochs=epochs, **curves)

    def phase_starts(self) -> list[tuple[int, str]]:
        """First epoch and name of each phase, in order."""
        changes = [i for i, phase in enumerate(self.phases) if i == 0 or phase != self.phases[i - 1]]
        return [(int(self.epochs[i]), self.phases[i]) for i in changes]


@dataclass(frozen=True)
class SearchedSetting:
    """A row of models/tuned/trials.csv; `val_loss` and `val_accuracy` are None where the trial failed."""

    name: str
    completed: bool
    epochs: int | None
    val_loss: float | None
    val_accuracy: float | None
    hyperparameters: dict[str, str]


@dataclass(frozen=True)
class FullTraining:
    """A row of models/tuned/confirmation.csv.

    Attributes:
      found: whether it had the setting that the search found, and not the given one.
      val_accuracy: None where its loss was not finite.
    """

    found: bool
    seed: int
    val_accuracy: float | None


@dataclass(frozen=True)
class ClassResult:
    """A row of metrics/per_class.csv; precision, recall and F1 are shares of 1."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Candidate:
    """A trained model and how it did.

    Attributes:
      validation: scores on the validation subset.
      test: scores on the test subset, as are all of the following.
      classes: in the order of the labels.
      explanations: what it looks at.
    """

    name: str
    card: ModelCard
    history: History
    validation: Scores
    test: Scores
    predictions: Predictions
    classes: tuple[ClassResult, ...]
    explanations: Explanations

    @property
    def title(self) -> str:
        return candidate_title(self.name)

    @property
    def kept_epoch(self) -> int:
        """The epoch whose weights were kept."""
        return self.card.training.best_epoch

    @property
    def kept_phase(self) -> str:
        """The phase of that epoch."""
        return self.history.phases[list(self.history.epochs).index(self.kept_epoch)]

    @property
    def is_transferred(self) -> bool:
        """Whether it stands on a pretrained backbone; the tuned candidate may."""
        return "train_transfer" in self.card.hyperparameters

    @property
    def decimals(self) -> int:
        """Of percentages of the test images."""
        return accuracy_decimals(self.test.images)

    @property
    def mistakes(self) -> int:
        """Test images that it gets wrong."""
        return int((~self.predictions.right).sum())

    @property
    def confidence(self) -> Float64[np.ndarray, " n"]:
        """The probability of the predicted class for each test image."""
        highest: Float64[np.ndarray, " n"] = self.predictions.probabilities.max(axis=1).astype(np.float64)
        return highest


@dataclass(frozen=True)
class RunResults:
    """The whole of a run.

    Attributes:
      source: where the images come from.
      image_names: of every original image, by its id.
      original_sizes: width and height of every original image, pixels.
      rejected: files that could not be used, and `ignored` those that are not meant as images.
      split: how the images were divided.
      subsets: arrays by subset (train, validation, test).
      candidates: in the order of metrics/evaluate.json.
      references: scores of the simple references on the subsets, from metrics/references.json.
      paired_tests: of candidates on the test subset.
      best: the name of the candidate that was chosen on the validation subset.
      trials: in the order in which they were run; empty where nothing was tuned.
      confirmation: full trainings of what the search found and of what was given, under the same seeds;
        empty where no trial did better than the given setting.
      best_hyperparameters: of the setting that was kept.
    """

    source: Provenance
    image_names: tuple[str, ...]
    original_sizes: Int64[np.ndarray, "n 2"]
    rejected: tuple[UnusedFile, ...]
    ignored: tuple[UnusedFile, ...]
    split: SplitReport
    preprocessing: PreprocessingSpec
    statistics: ChannelStatistics
    subsets: dict[str, ImageArrays]
    candidates: tuple[Candidate, ...]
    references: dict[str, dict[str, Scores]]
    paired_tests: tuple[ModelComparison, ...]
    best: str
    trials: tuple[SearchedSetting, ...]
    confirmation: tuple[FullTraining, ...]
    best_hyperparameters: dict[str, Any]

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(self.preprocessing.classes)

    @property
    def winner(self) -> Candidate:
        """The candidate that was chosen."""
        return self.candidate(self.best)

    @property
    def winner_place(self) -> int:
        """Its place among the candidates."""
        return [candidate.name for candidate in self.candidates].index(self.best)

    @property
    def others(self) -> list[Candidate]:
        """The candidates that were not."""
        return [candidate for candidate in self.candidates if candidate.name != self.best]

    @property
    def tests_of_winner(self) -> list[ModelComparison]:
        """The paired tests of the chosen candidate, seen from it."""
        tests = (test if test.first == self.best else test.reversed() for test in self.paired_tests)
        return [test for test in tests if test.first == self.best]

    @property
    def class_counts(self) -> dict[str, Int64[np.ndarray, " k"]]:
        """Images of each class, by subset."""
        size = len(self.class_names)
        return {name: np.bincount(subset.labels, minlength=size) for name, subset in self.subsets.items()}

    def candidate(self, name: str) -> Candidate:
        return next(candidate for candidate in self.candidates if candidate.name == name)

    def equal_to(self, candidate: Candidate) -> tuple[Candidate, ...]:
        """The others that are the same network, to the byte: a search may keep the given setting."""
        digest = candidate.card.model_digest
        return tuple(
            each
            for each in self.candidates
            if each.name != candidate.name and each.card.model_digest == digest
        )

    @property
    def best_trial(self) -> SearchedSetting | None:
        """The trial whose setting the search chose; Hyperband tries one again with more epochs."""
        matching = [
            trial
            for trial in self.trials
            if trial.completed and _same_setting(trial.hyperparameters, self.best_hyperparameters)
        ]
        return max(matching, key=lambda trial: trial.val_accuracy or 0.0, default=None)

    @classmethod
    def load(cls, workspace: Workspace) -> "RunResults":
        """Raises PipelineError where a file is missing or files contradict each other."""
        scores = load_scores(workspace.scores)
        names = [name for name in CANDIDATES if name in scores]
        per_class = read_table(workspace.per_class_scores)
        subsets = {name: ImageArrays.load(workspace.subset(name)) for name in SUBSETS}
        candidates = tuple(_load_candidate(workspace, name, scores[name], per_class) for name in names)
        for candidate in candidates:
            _check_same_images(candidate, subsets["test"])
        trials, confirmation, best_hyperparameters = _load_search(workspace)
        catalogue = read_table(workspace.catalogue)
        return cls(
            source=Provenance.load(workspace.source),
            image_names=tuple(row["name"] for row in catalogue),
            original_sizes=np.array([(int(row["width"]), int(row["height"])) for row in catalogue]),
            rejected=tuple(load_unused(workspace.rejected)),
            ignored=tuple(load_unused(workspace.ignored)),
            split=SplitReport.load(workspace.split_metrics),
            preprocessing=PreprocessingSpec.from_json(read_json(workspace.preprocessing)),
            statistics=ChannelStatistics.load(workspace.statistics),
            subsets=subsets,
            candidates=candidates,
            references=load_scores(workspace.references),
            paired_tests=tuple(
                test for test in load_comparisons(workspace.comparisons) if test.subset == "test"
            ),
            best=read_json(workspace.best)["candidate"],
            trials=trials,
            confirmation=confirmation,
            best_hyperparameters=best_hyperparameters,
        )


def read_table(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file. Raises PipelineError where it is missing."""
    with require(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _load_candidate(
    workspace: Workspace,
    name: str,
    scores: Mapping[str, Scores],
    per_class: list[dict[str, str]],
) -> Candidate:
    of_candidate = {"candidate": name, "subset": "test"}
    return Candidate(
        name=name,
        card=ModelCard.load(workspace.card(name)),
        history=History.load(workspace.history(name)),
        validation=scores["validation"],
        test=scores["test"],
        predictions=load_predictions(workspace.predictions_of(name))["test"],
        classes=tuple(_class_result(row) for row in per_class if row.items() >= of_candidate.items()),
        explanations=Explanations.load(workspace.explanations_of(name)),
    )


def _class_result(row: Mapping[str, str]) -> ClassResult:
    scores = {name: float(row[name]) for name in ("precision", "recall", "f1")}
    return ClassResult(name=row["class"], support=int(row["support"]), **scores)


def _load_search(
    workspace: Workspace,
) -> tuple[tuple[SearchedSetting, ...], tuple[FullTraining, ...], dict[str, Any]]:
    if not workspace.model("tuned").exists():
        return (), (), {}
    trials = tuple(
        SearchedSetting(
            name=row["trial"],
            completed=row["status"] == "completed",
            epochs=int(row["epochs"]) if row["epochs"] else None,
            val_loss=float(row["val_loss"]) if row["val_loss"] else None,
            val_accuracy=float(row["val_accuracy"]) if row["val_accuracy"] else None,
            hyperparameters={name: value for name, value in row.items() if name not in _TRIAL_COLUMNS},
        )
        for row in read_table(workspace.trials)
    )
    confirmation = tuple(
        FullTraining(
            found=row["setting"] == "found",
            seed=int(row["seed"]),
            val_accuracy=float(row["val_accuracy"]) if row["val_accuracy"] else None,
        )
        for row in read_table(workspace.confirmation)
    )
    return trials, confirmation, read_json(workspace.best_hyperparameters)


def _same_setting(written: Mapping[str, str], chosen: Mapping[str, Any]) -> bool:
    """Whether the texts of a CSV row are the values of a JSON object."""
    return written.keys() == chosen.keys() and all(_same(written[name], chosen[name]) for name in chosen)


def _same(text: str, value: Any) -> bool:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return math.isclose(float(text), value, rel_tol=1e-9)
    return text == str(value)


def _check_same_images(candidate: Candidate, test: ImageArrays) -> None:
    if not np.array_equal(candidate.predictions.ids, test.ids):
        raise PipelineError(
            f"The predictions of {candidate.name} are of other images than those in data/arrays/test.",
            remedy="run 'dvc repro', so that evaluate sees the present arrays",
        )
