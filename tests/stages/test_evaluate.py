"""The evaluate stage on models that need no network."""

import csv
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix

from pipeline import evaluate
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.tracker import SilentTracker
from pipeline.foundation.workspace import CANDIDATES, SUBSETS, Workspace
from pipeline.inference.model_card import ParameterCounts
from pipeline.scoring.explanations import Explanations
from pipeline.scoring.predictions import load_predictions
from pipeline.training.trained_model import TrainedModel
from tests.evaluate_params import evaluate_params
from tests.explanation.made_networks import from_scratch

CLASSES = ("cat", "dog", "a, bird")  # a comma must not break a table
CONFIG = evaluate.Config(
    seed=0,
    threads=1,
    evaluate=evaluate_params(
        batch_size=16, top_k=2, calibration_bins=10, bootstrap_samples=200, confidence=0.95
    ),
)
ERRS_EVERY = {"baseline": 3, "transfer": 7, "tuned": 5}


@cache
def untrained_network() -> keras.Model:
    return from_scratch("small_cnn", 8, 1)


@dataclass
class FakeModel:
    """Reads the class from pixel (0, 0), and errs where pixel (0, 1) is a multiple of `errs_every`.

    What is explained is another network, which need not have anything to do with it.
    """

    card: Any
    errs_every: int

    @property
    def network(self) -> keras.Model:
        return untrained_network()

    def predict(self, images: np.ndarray, batch_size: int) -> np.ndarray:
        assert batch_size == 16
        actual, counter = images[:, 0, 0, 0] // 80, images[:, 0, 1, 0]
        predicted = np.where(counter % self.errs_every == 0, (actual + 1) % 3, actual)
        return np.where(np.eye(3)[predicted] == 1, 0.8, 0.1).astype(np.float32)


def _write_subset(folder: Path, labels: np.ndarray, first_id: int) -> None:
    images = np.random.default_rng(first_id).integers(0, 20, size=(len(labels), 8, 8, 1), dtype=np.uint8)
    images += (labels * 80).astype(np.uint8)[:, np.newaxis, np.newaxis, np.newaxis]
    images[:, 0, 1, 0] = np.arange(len(labels)) % 256
    folder.mkdir(parents=True)
    np.save(folder / "images.npy", images)
    np.save(folder / "labels.npy", labels.astype(np.int64))
    np.save(folder / "ids.npy", np.arange(first_id, first_id + len(labels), dtype=np.int64))


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Arrays of three subsets, and a fake model for each candidate."""
    workspace = Workspace(root=tmp_path, home=tmp_path)
    for number, (subset, images) in enumerate(zip(SUBSETS, (60, 42, 45), strict=True)):
        _write_subset(workspace.subset(subset), np.arange(images) % 3, first_id=1000 * number)
    spec = {"image_size": 8, "resize": "pad", "color": "grayscale", "classes": list(CLASSES)}
    workspace.preprocessing.write_text(json.dumps(spec))
    models = {
        workspace.model(name): FakeModel(_card(name), errs_every) for name, errs_every in ERRS_EVERY.items()
    }
    monkeypatch.setattr(TrainedModel, "load", models.__getitem__)
    return workspace


def _card(candidate: str, classes: tuple[str, ...] = CLASSES) -> SimpleNamespace:
    return SimpleNamespace(
        candidate=candidate,
        model_digest=f"digest-{candidate}",
        preprocessing=SimpleNamespace(classes=classes),
        parameters=ParameterCounts(total=100, trainable=100, frozen=0),
    )


def _run(workspace: Workspace) -> None:
    evaluate.run(workspace, CONFIG, SilentTracker())


def _outputs(workspace: Workspace) -> dict[str, bytes]:
    files = [*workspace.scores.parent.rglob("*"), workspace.best]
    return {str(file.relative_to(workspace.root)): file.read_bytes() for file in files if file.is_file()}


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_scores_of_every_candidate_on_both_subsets(workspace: Workspace) -> None:
    _run(workspace)
    scores = json.loads(workspace.scores.read_text())
    assert list(scores) == list(CANDIDATES)
    for candidate, errs_every in ERRS_EVERY.items():
        assert list(scores[candidate]) == ["validation", "test"]
        for subset, images in (("validation", 42), ("test", 45)):
            errors = len(range(0, images, errs_every))
            found = scores[candidate][subset]
            assert found["images"] == images
            assert found["accuracy"] == pytest.approx(1 - errors / images, abs=1e-6)
            assert found["accuracy_low"] < found["accuracy"] < found["accuracy_high"]
            assert found["ece"] == pytest.approx(abs(0.8 - found["accuracy"]), abs=1e-6)
            assert found["top_2_accuracy"] >= found["accuracy"]


def test_other_files_agree_with_the_stored_predictions(workspace: Workspace) -> None:
    _run(workspace)
    ids = {name: np.load(workspace.subset(name) / "ids.npy") for name in ("validation", "test")}
    stored = {name: load_predictions(workspace.predictions / f"{name}.npz") for name in CANDIDATES}
    index = {name: label for label, name in enumerate(CLASSES)}
    for candidate, subsets in stored.items():
        for name, subset in subsets.items():
            np.testing.assert_array_equal(subset.ids, ids[name])
        test = subsets["test"]
        outcomes = _rows(workspace.plots / f"confusion_{candidate}.csv")
        counted = confusion_matrix(
            [index[row["actual"]] for row in outcomes], [index[row["predicted"]] for row in outcomes]
        )
        np.testing.assert_array_equal(counted, confusion_matrix(test.labels, test.predicted))
        bins = _rows(workspace.plots / f"calibration_{candidate}.csv")
        assert [(row["bin"], row["confidence"], row["images"]) for row in bins] == [("9", "0.8", "45")]
        assert float(bins[0]["accuracy"]) == pytest.approx(
            accuracy_score(test.labels, test.predicted), abs=1e-6
        )

    classes = _rows(workspace.per_class_scores)
    assert len(classes) == 3 * 2 * 3
    assert {(row["class"], row["support"]) for row in classes if row["subset"] == "test"} == {
        (name, "15") for name in CLASSES
    }

    comparisons = json.loads(workspace.comparisons.read_text())
    assert [(c["first"], c["second"], c["subset"]) for c in comparisons] == [
        (first, second, subset)
        for first, second in (("baseline", "transfer"), ("baseline", "tuned"), ("transfer", "tuned"))
        for subset in ("validation", "test")
    ]
    right = {name: subsets["test"].predicted == subsets["test"].labels for name, subsets in stored.items()}
    assert comparisons[1]["only_first_right"] == (right["baseline"] & ~right["transfer"]).sum()
    assert comparisons[1]["only_second_right"] == (right["transfer"] & ~right["baseline"]).sum()


def test_explanations_of_every_candidate(workspace: Workspace) -> None:
    _run(workspace)
    assert sorted(path.name for path in workspace.explanations.iterdir()) == sorted(
        f"{candidate}.npz" for candidate in CANDIDATES
    )
    for candidate, errs_every in ERRS_EVERY.items():
        found = Explanations.load(workspace.explanations / f"{candidate}.npz")
        mistakes = set(range(0, 45, errs_every))
        # All candidates err in image 0, and five more mistakes of each are explained.
        assert 0 in found.rows
        assert len(mistakes & set(found.rows)) >= 5
        assert set(found.rows) - mistakes
        assert found.heatmap_layer == "block2_relu"
        assert len(found.map_rows) == 20


def test_references_are_scored_alike(workspace: Workspace) -> None:
    _run(workspace)
    references = json.loads(workspace.references.read_text())
    scores = json.loads(workspace.scores.read_text())
    assert list(references) == ["majority_class", "logistic_regression"]
    assert references["majority_class"]["test"]["accuracy"] == pytest.approx(1 / 3, abs=1e-6)
    # The brightness of an image gives its class away.
    assert references["logistic_regression"]["test"]["accuracy"] > 0.9
    for reference in references.values():
        assert reference["test"].keys() == scores["baseline"]["test"].keys()


def test_best_is_chosen_on_validation_and_no_test_label_matters(workspace: Workspace) -> None:
    _run(workspace)
    before = _outputs(workspace)
    assert json.loads(before["models/best.json"]) == {
        "candidate": "transfer",
        "chosen_by": "validation accuracy",
        "validation_accuracy": pytest.approx(1 - 6 / 42, abs=1e-6),
        "model_digest": "digest-transfer",
    }
    labels = workspace.subset("test") / "labels.npy"
    # With baseline's answers as labels it is right everywhere, and would be the best on test.
    stored = load_predictions(workspace.predictions / "baseline.npz")["test"]
    np.save(labels, stored.predicted.astype(np.int64))
    _run(workspace)
    after = _outputs(workspace)
    assert json.loads(after["metrics/evaluate.json"])["baseline"]["test"]["accuracy"] == 1.0
    assert after["models/best.json"] == before["models/best.json"]
    before_scores, after_scores = (json.loads(each["metrics/evaluate.json"]) for each in (before, after))
    assert all(before_scores[name]["validation"] == after_scores[name]["validation"] for name in CANDIDATES)


def test_same_inputs_same_bytes(workspace: Workspace) -> None:
    _run(workspace)
    first = _outputs(workspace)
    for name in first:
        (workspace.root / name).unlink()
    _run(workspace)
    assert _outputs(workspace) == first


def test_model_of_other_classes_is_refused(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    swapped = FakeModel(_card("any", classes=("dog", "cat", "a, bird")), errs_every=3)
    monkeypatch.setattr(TrainedModel, "load", lambda folder: swapped)
    with pytest.raises(PipelineError, match="models/baseline was trained on other classes") as caught:
        _run(workspace)
    assert (caught.value.expected, caught.value.found) == ("cat, dog, a, bird", "dog, cat, a, bird")
    assert not workspace.scores.parent.exists()
    assert not workspace.best.exists()


def test_probabilities_that_are_no_numbers_are_refused(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: FakeModel, images: np.ndarray, batch_size: int) -> np.ndarray:
        return np.full((len(images), 3), np.nan, dtype=np.float32)

    monkeypatch.setattr(FakeModel, "predict", broken)
    with pytest.raises(PipelineError, match="models/baseline predicts probabilities that are not numbers"):
        _run(workspace)
    assert not workspace.scores.parent.exists()
    assert not workspace.best.exists()


def test_networks_that_are_equal_are_evaluated_once(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As where a search has kept the given setting."""
    twin = _card("tuned")
    twin.model_digest = "digest-baseline"
    errs_every = ERRS_EVERY["baseline"]
    models = {
        workspace.model("baseline"): FakeModel(_card("baseline"), errs_every),
        workspace.model("transfer"): FakeModel(_card("transfer"), ERRS_EVERY["transfer"]),
        workspace.model("tuned"): FakeModel(twin, errs_every),
    }
    monkeypatch.setattr(TrainedModel, "load", models.__getitem__)
    _run(workspace)
    assert "evaluate: tuned on" not in capsys.readouterr().out
    scores = json.loads(workspace.scores.read_text())
    assert list(scores) == list(CANDIDATES)
    assert scores["tuned"] == scores["baseline"] != scores["transfer"]
    for place in (workspace.predictions_of, workspace.explanations_of):
        assert place("tuned").read_bytes() == place("baseline").read_bytes()
