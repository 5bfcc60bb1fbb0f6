"""A workspace as it is after evaluate, with one candidate, and without a network that could predict."""

import json
import shutil
from pathlib import Path

import numpy as np

from pipeline.foundation.digests import digest_file
from pipeline.foundation.workspace import SUBSETS, Workspace
from pipeline.images.arrays import ChannelStatistics
from pipeline.images.catalogue import Provenance
from pipeline.inference.model_card import ModelCard, ParameterCounts, TrainingSummary
from pipeline.inference.preprocessing import PreprocessingSpec
from pipeline.repository.repository import Lock, StageLock
from pipeline.repository.stage_outputs import StageOutputs
from pipeline.scoring.evaluation import evaluate_predictions
from pipeline.scoring.predictions import Predictions, save_predictions
from tests.evaluate_params import evaluate_params

EVALUATE = evaluate_params(batch_size=8, top_k=2, calibration_bins=10, bootstrap_samples=100, confidence=0.95)


def probabilities(predicted: np.ndarray, num_classes: int) -> np.ndarray:
    """float32, (N, num_classes): 90 % for each predicted class, the rest shared."""
    rest = 0.1 / (num_classes - 1)
    return np.where(np.eye(num_classes)[predicted] == 1, 0.9, rest).astype(np.float32)


def outputs_of(workspace: Workspace, experiment: str = "") -> StageOutputs:
    """All that lies in a workspace, as outputs of an experiment or of the working tree."""
    made = {"models/baseline": "made.dir"}
    stages = {"train_baseline": StageLock({}, {}, made, {}), "evaluate": StageLock(made, {}, {}, {})}
    lock = Lock("", stages)
    return StageOutputs(
        workspace=workspace,
        experiment=experiment,
        baseline="",
        commit="",
        time=0,
        params={},
        lock=lock,
        base=lock,
        find=lambda path: path if path.exists() else None,
    )


def make_workspace(
    folder: Path,
    project: Path,
    classes: tuple[str, ...] = ("cat", "dog", "a, bird"),
    images: int = 60,
    errors: dict[int, int] | None = None,
) -> Workspace:
    """Every subset has `images` images of 8x8 pixels, of classes in turn.

    `errors` says which class is predicted for which image of each subset; all others are right.
    """
    workspace = Workspace(root=folder, home=folder)
    shutil.copy(project / "params.yaml", workspace.params)
    count = len(classes)
    labels = np.arange(images) % count
    generator = np.random.default_rng(0)
    for subset in SUBSETS:
        arrays = workspace.subset(subset)
        arrays.mkdir(parents=True)
        np.save(arrays / "images.npy", generator.integers(0, 256, (images, 8, 8, 3), dtype=np.uint8))
        np.save(arrays / "labels.npy", labels)
        np.save(arrays / "ids.npy", np.arange(images))
    workspace.fetched.mkdir()
    Provenance("folder", "pictures", "Drawn by hand", classes, "f" * 64, 3 * images, 0, 0).save(
        workspace.source
    )
    predicted = labels.copy()
    for row, label in (errors or {}).items():
        predicted[row] = label
    made = {
        "baseline": probabilities(predicted, count),
        "majority_class": np.full((images, count), 1 / count, dtype=np.float32),
        "logistic_regression": probabilities((labels + 1) % count, count),
    }
    scores = {}
    for name, values in made.items():
        predictions = {
            subset: Predictions(values, labels, np.arange(images)) for subset in ("validation", "test")
        }
        save_predictions(workspace.predictions / f"{name}.npz", predictions)
        evaluation = evaluate_predictions(predictions, EVALUATE, seed=0)
        scores[name] = {subset: each.to_json() for subset, each in evaluation.scores.items()}
    workspace.scores.write_text(json.dumps({"baseline": scores.pop("baseline")}))
    workspace.references.write_text(json.dumps(scores))
    model = workspace.model("baseline")
    model.mkdir(parents=True)
    (model / "model.keras").write_bytes(b"weights of " + ", ".join(classes).encode())
    card = ModelCard(
        candidate="baseline",
        stage="train_baseline",
        network="fast_cnn",
        model_digest=digest_file(model / "model.keras"),
        data_digest="a" * 64,
        preprocessing=PreprocessingSpec(8, "pad", "rgb", classes),
        statistics=ChannelStatistics((1.0, 1.0, 1.0), (1.0, 1.0, 1.0)),
        hyperparameters={"lr": 0.1, "augmentation": {"shift": 0.1, "cutout": 0.0}},
        parameters=ParameterCounts(total=1234, trainable=1234, frozen=0),
        forward_macs=5678,
        layers=(),
        training=TrainingSummary(epochs=5, best_epoch=4, stopped_early=False, train_images=images),
        versions={"python": "3.11"},
    )
    card.save(model / "card.json")
    workspace.best.write_text(json.dumps({"candidate": "baseline"}))
    return workspace
