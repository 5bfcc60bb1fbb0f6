"""Everything that the earlier stages wrote, read once and typed: what the report is about."""

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.foundation.errors import PipelineError
from pipeline.foundation.files import read_json, require
from pipeline.foundation.workspace import CANDIDATES, SUBSETS, Workspace
from pipeline.images.arrays import ChannelStatistics, ImageArrays
from pipeline.inference.model_card import ModelCard
from pipeline.inference.preprocessing import PreprocessingSpec
from pipeline.scoring.explanations import Explanations
from pipeline.scoring.predictions import Predictions, load_predictions

_HISTORY_FIGURES = ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate")
_TRIAL_FIGURES = ("trial", "status", "epochs", "val_loss", "val_accuracy")


@dataclass(frozen=True)
class History:
    """Training and validation figures per epoch.

    Attributes:
      phases: what each epoch belongs to, (E,): train, head or fine_tune.
      epochs: int64, (E,); 1, 2, ... over all phases.
      loss, accuracy, val_loss, val_accuracy, learning_rate: float64, (E,); accuracies are shares of 1.
    """

    phases: tuple[str, ...]
    epochs: np.ndarray
    loss: np.ndarray
    accuracy: np.ndarray
    val_loss: np.ndarray
    val_accuracy: np.ndarray
    learning_rate: np.ndarray

    def __len__(self) -> int:
        return len(self.epochs)

    @classmethod
    def load(cls, path: Path) -> "History":
        rows = read_table(path)
        figures = {name: np.array([float(row[name]) for row in rows]) for name in _HISTORY_FIGURES}
        epochs = np.array([int(row["epoch"]) for row in rows], dtype=np.int64)
        return cls(phases=tuple(row["phase"] for row in rows), epochs=epochs, **figures)

    def phase_starts(self) -> list[tuple[int, str]]:
        """First epoch and name of each phase, in order."""
        changes = [i for i, phase in enumerate(self.phases) if i == 0 or phase != self.phases[i - 1]]
        return [(int(self.epochs[i]), self.phases[i]) for i in changes]


@dataclass(frozen=True)
class Trial:
    """One training of the search; `val_loss` and `val_accuracy` are None where it failed."""

    name: str
    completed: bool
    epochs: int | None
    val_loss: float | None
    val_accuracy: float | None
    hyperparameters: dict[str, str]


@dataclass(frozen=True)
class ClassResult:
    """One row of metrics/per_class.csv; precision, recall and F1 are shares of 1."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Candidate:
    """A trained model and how it did.

    Attributes:
      scores: the scores of metrics/evaluate.json by subset (validation, test).
      predictions: by subset.
      classes: results on the test subset, in the order of the labels.
      explanations: what it looks at in images of the test subset.
    """

    name: str
    card: ModelCard
    history: History
    scores: dict[str, dict[str, float]]
    predictions: dict[str, Predictions]
    classes: tuple[ClassResult, ...]
    explanations: Explanations


@dataclass(frozen=True)
class PairedTest:
    """Two candidates on the test images; the difference is the first's accuracy minus the second's."""

    first: str
    second: str
    only_first_right: int
    only_second_right: int
    p_value: float
    difference: float
    low: float
    high: float

    def seen_from(self, candidate: str) -> "PairedTest":
        """The same test with `candidate` as the first of the two."""
        if candidate == self.first:
            return self
        assert candidate == self.second
        return PairedTest(
            first=self.second,
            second=self.first,
            only_first_right=self.only_second_right,
            only_second_right=self.only_first_right,
            p_value=self.p_value,
            difference=-self.difference,
            low=-self.high,
            high=-self.low,
        )


@dataclass(frozen=True)
class Results:
    """The whole of a run.

    Attributes:
      source: data/raw/source.json.
      image_names: of every original image, by its id.
      original_sizes: int64, (N, 2); width and height of every original image, pixels.
      rejected: file and reason of every image that could not be used.
      split: metrics/split.json.
      subsets: arrays by subset (train, validation, test).
      candidates: in the order of metrics/evaluate.json.
      references: metrics/references.json: scores by reference and subset.
      paired_tests: of candidates on the test subset.
      best: models/best.json.
      trials: in the order in which they were run; empty where nothing was tuned.
      best_hyperparameters: what the search chose.
    """

    source: dict[str, Any]
    image_names: tuple[str, ...]
    original_sizes: np.ndarray
    rejected: tuple[tuple[str, str], ...]
    split: dict[str, Any]
    preprocessing: PreprocessingSpec
    statistics: ChannelStatistics
    subsets: dict[str, ImageArrays]
    candidates: tuple[Candidate, ...]
    references: dict[str, dict[str, dict[str, float]]]
    paired_tests: tuple[PairedTest, ...]
    best: dict[str, Any]
    trials: tuple[Trial, ...]
    best_hyperparameters: dict[str, Any]

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(self.preprocessing.classes)

    @property
    def winner(self) -> Candidate:
        """The candidate that was chosen on the validation subset."""
        return self.candidate(self.best["candidate"])

    def candidate(self, name: str) -> Candidate:
        return next(candidate for candidate in self.candidates if candidate.name == name)

    def paired_test(self, first: str, second: str) -> PairedTest | None:
        """The test of these two, seen from the first."""
        for test in self.paired_tests:
            if {test.first, test.second} == {first, second}:
                return test.seen_from(first)
        return None

    @property
    def best_trial(self) -> Trial | None:
        """The trial whose setting the search chose; Hyperband tries one again with more epochs."""
        matching = [
            trial
            for trial in self.trials
            if trial.completed and _same_setting(trial.hyperparameters, self.best_hyperparameters)
        ]
        return max(matching, key=lambda trial: trial.val_accuracy or 0.0, default=None)

    @classmethod
    def load(cls, workspace: Workspace) -> "Results":
        """Raises PipelineError where a file is missing or files contradict each other."""
        scores = read_json(workspace.scores)
        names = [name for name in CANDIDATES if name in scores]
        per_class = read_table(workspace.per_class_scores)
        subsets = {name: ImageArrays.load(workspace.arrays / name) for name in SUBSETS}
        candidates = tuple(_load_candidate(workspace, name, scores[name], per_class) for name in names)
        _check_same_images(candidates, subsets)
        trials, best_hyperparameters = _load_trials(workspace)
        catalogue = read_table(workspace.raw / "catalogue.csv")
        return cls(
            source=read_json(workspace.raw / "source.json"),
            image_names=tuple(row["name"] for row in catalogue),
            original_sizes=np.array([(int(row["width"]), int(row["height"])) for row in catalogue]),
            rejected=tuple(
                (row["file"], row["reason"]) for row in read_table(workspace.raw / "rejected.csv")
            ),
            split=read_json(workspace.split_metrics),
            preprocessing=PreprocessingSpec.from_json(read_json(workspace.arrays / "preprocessing.json")),
            statistics=ChannelStatistics.load(workspace.arrays / "statistics.json"),
            subsets=subsets,
            candidates=candidates,
            references=read_json(workspace.references),
            paired_tests=tuple(
                _paired_test(row) for row in read_json(workspace.comparisons) if row["subset"] == "test"
            ),
            best=read_json(workspace.best),
            trials=trials,
            best_hyperparameters=best_hyperparameters,
        )


def read_table(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file. Raises PipelineError where it is missing."""
    with require(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _load_candidate(
    workspace: Workspace, name: str, scores: dict[str, dict[str, float]], per_class: list[dict[str, str]]
) -> Candidate:
    folder = workspace.model(name)
    return Candidate(
        name=name,
        card=ModelCard.load(folder / "card.json"),
        history=History.load(folder / "history.csv"),
        scores=scores,
        predictions=load_predictions(workspace.predictions / f"{name}.npz"),
        classes=tuple(
            _class_result(row) for row in per_class if row["candidate"] == name and row["subset"] == "test"
        ),
        explanations=Explanations.load(workspace.explanations / f"{name}.npz"),
    )


def _class_result(row: Mapping[str, str]) -> ClassResult:
    scores = {name: float(row[name]) for name in ("precision", "recall", "f1")}
    return ClassResult(name=row["class"], support=int(row["support"]), **scores)


def _load_trials(workspace: Workspace) -> tuple[tuple[Trial, ...], dict[str, Any]]:
    folder = workspace.model("tuned")
    if not folder.exists():
        return (), {}
    rows = read_table(folder / "trials.csv")
    trials = tuple(
        Trial(
            name=row["trial"],
            completed=row["status"] == "completed",
            epochs=int(row["epochs"]) if row["epochs"] else None,
            val_loss=float(row["val_loss"]) if row["val_loss"] else None,
            val_accuracy=float(row["val_accuracy"]) if row["val_accuracy"] else None,
            hyperparameters={name: value for name, value in row.items() if name not in _TRIAL_FIGURES},
        )
        for row in rows
    )
    return trials, read_json(folder / "best_params.json")


def _same_setting(written: Mapping[str, str], chosen: Mapping[str, Any]) -> bool:
    """Whether the texts of a CSV row are the values of a JSON object."""
    return written.keys() == chosen.keys() and all(_same(written[name], chosen[name]) for name in chosen)


def _same(text: str, value: Any) -> bool:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return math.isclose(float(text), value, rel_tol=1e-9)
    return text == str(value)


def _paired_test(row: Mapping[str, Any]) -> PairedTest:
    return PairedTest(
        first=row["first"],
        second=row["second"],
        only_first_right=row["only_first_right"],
        only_second_right=row["only_second_right"],
        p_value=row["p_value"],
        difference=row["accuracy_difference"],
        low=row["difference_low"],
        high=row["difference_high"],
    )


def _check_same_images(candidates: tuple[Candidate, ...], subsets: Mapping[str, ImageArrays]) -> None:
    for candidate in candidates:
        if not np.array_equal(candidate.predictions["test"].ids, subsets["test"].ids):
            raise PipelineError(
                f"The predictions of {candidate.name} are of other images than data/arrays/test holds.",
                remedy="run 'dvc repro', so that evaluate sees the present arrays",
            )
