"""A small project as the earlier stages would leave it, with numbers that a person can check in the head."""

import colorsys
import csv
import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy.stats import binomtest

from pipeline.foundation.files import write_json, write_text
from pipeline.foundation.workspace import Workspace
from pipeline.images.arrays import ChannelStatistics
from pipeline.images.splitting import SplitReport
from pipeline.inference.model_card import LayerSummary, ModelCard, ParameterCounts, TrainingSummary
from pipeline.inference.preprocessing import PreprocessingSpec
from pipeline.params.augmentation import AugmentationParams
from pipeline.params.report import ReportParams
from pipeline.report import Config
from pipeline.reporting.results import ReportSettings
from pipeline.scoring.explanations import Explanations
from pipeline.scoring.predictions import Predictions, save_predictions
from tests.evaluate_params import evaluate_params

SIZE = 16
CURVES = {
    "balanced": ([0.60, 0.80, 0.90, 0.94, 0.95], [0.62, 0.80, 0.89, 0.93, 0.94]),
    "overfitting": ([0.60, 0.80, 0.95, 0.99, 1.00], [0.60, 0.70, 0.75, 0.74, 0.72]),
    "underfitting": ([0.30, 0.40, 0.45, 0.48, 0.50], [0.31, 0.41, 0.46, 0.49, 0.51]),
}
"""Training and validation accuracy per epoch; the losses are 1 minus the accuracy."""

TRIALS = """\
trial,status,epochs,val_loss,val_accuracy,lr,batch_size,dropout
0,completed,5,0.31,0.90,0.1,64,0.0
1,completed,5,0.25,0.92,0.30000000000000004,128,0.1
2,failed,,,,0.6,64,0.2
3,completed,5,0.40,0.85,0.03,128,0.3
"""
CONFIRMATION = """\
setting,seed,val_accuracy,val_loss
found,0,0.925,0.24
given,0,0.90,0.30
found,1,0.915,0.26
given,1,0.905,0.30
"""
BEST_PARAMS = {"lr": 0.30000000000000004, "batch_size": 128, "dropout": 0.1}

NO_AUGMENTATION: dict[str, Any] = {
    "horizontal_flip": False,
    "vertical_flip": False,
    "shift": 0.0,
    "rotation": 0.0,
    "zoom": 0.0,
    "brightness": 0.0,
    "contrast": 0.0,
    "cutout": 0.0,
    "random_erasing": 0.0,
    "mixup": 0.0,
    "cutmix": 0.0,
}


@dataclass(frozen=True)
class FakeProject:
    """What is to be said about a project.

    Attributes:
      wrong: rows of the test subset that each candidate gets wrong (it names the next class instead).
      validation_wrong: how many of the validation images each candidate gets wrong.
      curves: a key of CURVES for each candidate; balanced where it is not named.
    """

    classes: Sequence[str] = tuple("0123456789")
    test_per_class: int = 10
    wrong: Mapping[str, Sequence[int]] = field(
        default_factory=lambda: {
            "baseline": range(0, 40, 4),
            "transfer": range(0, 20, 4),
            "tuned": range(0, 32, 4),
        }
    )
    validation_wrong: Mapping[str, int] = field(
        default_factory=lambda: {"baseline": 4, "transfer": 2, "tuned": 3}
    )
    best: str = "transfer"
    curves: Mapping[str, str] = field(default_factory=dict)
    channels: int = 3
    duplicate_groups: int = 3
    duplicate_images: int = 7
    removed_from_train: int = 4
    conflicting_labels: int = 0
    left_out_by_limit: int = 0
    rejected: Sequence[tuple[str, str]] = (("broken.png", "truncated"),)
    ignored: Sequence[tuple[str, str]] = (("notes.txt", "not an image by its name"), ("empty", "no file"))
    with_trials: bool = True
    confirmation: str = CONFIRMATION

    @property
    def test_images(self) -> int:
        return self.test_per_class * len(self.classes)


def config(augmentation: Mapping[str, Any] = NO_AUGMENTATION) -> Config:
    return Config(
        seed=0,
        augmentation=AugmentationParams(**{**NO_AUGMENTATION, **augmentation}),
        evaluate=evaluate_params(
            batch_size=100, top_k=3, calibration_bins=10, bootstrap_samples=100, confidence=0.95
        ),
        report=ReportParams(title="Fake images", examples_per_class=3, mistakes=6),
    )


def settings() -> ReportSettings:
    values = config()
    return ReportSettings(values.seed, values.report, values.augmentation, values.evaluate)


def write_fake_project(root: Path, project: FakeProject = FakeProject()) -> Workspace:
    """Write every file that the report reads; test images are ordered by class."""
    workspace = Workspace(root=root, home=root)
    labels = _write_arrays(workspace, project)
    _write_data_files(workspace, project)
    scores, per_class = {}, []
    for name in project.wrong:
        _write_model(workspace, project, name)
        scores[name] = _write_predictions(workspace, project, name, labels)
        _explanations(project, name, labels["test"]).save(workspace.explanations / f"{name}.npz")
        per_class += _per_class_rows(project, name)
    write_json(workspace.scores, scores)
    _write_csv(
        workspace.per_class_scores,
        ("candidate", "subset", "class", "precision", "recall", "f1", "support"),
        per_class,
    )
    write_json(workspace.comparisons, _comparisons(project))
    write_json(workspace.references, _references(project))
    write_json(
        workspace.best,
        {
            "candidate": project.best,
            "chosen_by": "validation accuracy",
            "validation_accuracy": scores[project.best]["validation"]["accuracy"],
            "model_digest": "b" * 64,
        },
    )
    if project.with_trials and "tuned" in project.wrong:
        write_text(workspace.trials, TRIALS)
        write_text(workspace.confirmation, project.confirmation)
        write_json(workspace.best_hyperparameters, BEST_PARAMS)
    return workspace


def _write_arrays(workspace: Workspace, project: FakeProject) -> dict[str, np.ndarray]:
    count = len(project.classes)
    generator = np.random.default_rng(0)
    labels = {
        "train": np.repeat(np.arange(count), 8),
        "validation": np.repeat(np.arange(count), 4),
        "test": np.repeat(np.arange(count), project.test_per_class),
    }
    first = 0
    for subset, of_subset in labels.items():
        images = np.stack([_image(int(label), count, project.channels, generator) for label in of_subset])
        folder = workspace.subset(subset)
        folder.mkdir(parents=True)
        np.save(folder / "images.npy", images)
        np.save(folder / "labels.npy", of_subset)
        np.save(folder / "ids.npy", np.arange(first, first + len(of_subset)))
        first += len(of_subset)
    ChannelStatistics(mean=(100.0,) * project.channels, std=(50.0,) * project.channels).save(
        workspace.statistics
    )
    _spec(project).save(workspace.preprocessing)
    rows = [
        (number, f"folder/{number:05d}.png", project.classes[label], "", "", 40, 30, 0, 0)
        for number, label in enumerate(np.concatenate(list(labels.values())))
    ]
    header = ("id", "name", "class", "official_subset", "pixels_sha256", "width", "height", "offset", "size")
    _write_csv(workspace.catalogue, header, rows)
    return labels


def _image(label: int, count: int, channels: int, generator: np.random.Generator) -> np.ndarray:
    """A disc in the color of its class on a noisy ground: uint8, (16, 16, channels)."""
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE / 2 + 0.5
    disc = np.hypot(y + generator.uniform(-2, 2), x + generator.uniform(-2, 2)) < 5
    color = 255 * np.array(colorsys.hsv_to_rgb(label / count, 0.8, 0.9))
    image = np.where(disc[..., None], color, generator.uniform(0, 80, size=(SIZE, SIZE, 3)))
    return image.astype(np.uint8)[..., :channels]


def _spec(project: FakeProject) -> PreprocessingSpec:
    color: Literal["rgb", "grayscale"] = "rgb" if project.channels == 3 else "grayscale"
    return PreprocessingSpec(image_size=SIZE, resize="pad", color=color, classes=tuple(project.classes))


def _write_data_files(workspace: Workspace, project: FakeProject) -> None:
    count = len(project.classes)
    images = (8 + 4 + project.test_per_class) * count
    source = {
        "dataset": "folder",
        "location": "somewhere/secret",
        "origin": "discs drawn by a test",
        "classes": list(project.classes),
        "fingerprint": "f" * 64,
        "images": images,
        "rejected": len(project.rejected),
        "ignored": len(project.ignored),
    }
    write_json(workspace.source, source)
    _write_csv(workspace.rejected, ("file", "reason"), project.rejected)
    _write_csv(workspace.ignored, ("file", "reason"), project.ignored)
    images_of_class = {"train": 8, "validation": 4, "test": project.test_per_class}
    SplitReport(
        class_counts={name: dict.fromkeys(project.classes, size) for name, size in images_of_class.items()},
        duplicate_groups=project.duplicate_groups,
        duplicate_images=project.duplicate_images,
        removed_from_train=project.removed_from_train,
        removed_from_validation=0,
        conflicting_labels=project.conflicting_labels,
        left_out_by_limit=project.left_out_by_limit,
    ).save(workspace.split_metrics, {"images": images})


def _write_model(workspace: Workspace, project: FakeProject, name: str) -> None:
    count = len(project.classes)
    frozen = name == "transfer"
    # A macs count is that of the kernel times the positions it is applied to.
    layers = (
        LayerSummary("input", "InputLayer", (SIZE, SIZE, project.channels), 0, 0, False),
        LayerSummary("rescaling", "Rescaling", (SIZE, SIZE, project.channels), 0, 0, False),
        LayerSummary(
            "conv_1", "Conv2D", (SIZE, SIZE, 8), 9 * project.channels * 8, 9 * 3 * 8 * 256, not frozen
        ),
        LayerSummary("norm_1", "BatchNormalization", (SIZE, SIZE, 8), 32, 0, not frozen),
        LayerSummary("relu_1", "ReLU", (SIZE, SIZE, 8), 0, 0, False),
        LayerSummary("pool_1", "MaxPooling2D", (SIZE // 2, SIZE // 2, 8), 0, 0, False),
        LayerSummary("conv_2", "Conv2D", (SIZE // 2, SIZE // 2, 16), 9 * 8 * 16, 9 * 8 * 16 * 64, True),
        LayerSummary("pool_2", "GlobalMaxPooling2D", (16,), 0, 0, False),
        LayerSummary("dense", "Dense", (count,), 17 * count, 16 * count, True),
    )
    total = sum(layer.parameters for layer in layers)
    trainable = sum(layer.parameters for layer in layers if layer.trainable)
    card = ModelCard(
        candidate=name,
        stage="tune" if name == "tuned" else f"train_{name}",
        network="bundled" if name == "transfer" else "small_cnn",
        model_digest={"baseline": "b", "transfer": "f", "tuned": "d"}[name] * 64,
        data_digest="d" * 64,
        preprocessing=_spec(project),
        statistics=ChannelStatistics(mean=(100.0,) * project.channels, std=(50.0,) * project.channels),
        hyperparameters={
            "lr": 0.2,
            "batch_size": 64,
            f"train_{name}": {"label_smoothing": 0.1, "dropout": 0.0},
        },
        parameters=ParameterCounts(total, trainable, total - trainable),
        forward_macs=sum(layer.macs for layer in layers),
        layers=layers,
        training=TrainingSummary(epochs=5, best_epoch=5, stopped_early=False, train_images=8 * count),
        versions={"python": "3.11.0", "keras": "3.15.1", "tensorflow": "2.21.0", "numpy": "2.4.0"},
    )
    card.save(workspace.card(name))
    train, validation = CURVES[project.curves.get(name, "balanced")]
    phases = ["head", "head", *["fine_tune"] * 3] if name == "transfer" else ["train"] * 5
    rows = [
        (phase, epoch, 1 - accuracy, accuracy, 1 - val_accuracy, val_accuracy, 0.2 / epoch)
        for epoch, (phase, accuracy, val_accuracy) in enumerate(
            zip(phases, train, validation, strict=True), start=1
        )
    ]
    header = ("phase", "epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate")
    _write_csv(workspace.history(name), header, rows)


def _write_predictions(
    workspace: Workspace, project: FakeProject, name: str, labels: Mapping[str, np.ndarray]
) -> dict[str, dict[str, float]]:
    first_test = len(labels["train"]) + len(labels["validation"])
    predictions = {
        "validation": _predictions(
            labels["validation"], range(project.validation_wrong[name]), len(labels["train"])
        ),
        "test": _predictions(labels["test"], project.wrong[name], first_test),
    }
    save_predictions(workspace.predictions / f"{name}.npz", predictions)
    return {
        "validation": _scores(len(labels["validation"]), project.validation_wrong[name]),
        "test": _scores(project.test_images, len(project.wrong[name])),
    }


def _predictions(labels: np.ndarray, wrong: Sequence[int], first_id: int) -> Predictions:
    """Right ones with a confidence of 0.9, wrong ones with 0.7 and more for every next one."""
    count = int(labels.max()) + 1
    predicted, confidence = labels.copy(), np.full(len(labels), 0.9)
    for place, row in enumerate(wrong):
        predicted[row] = (labels[row] + 1) % count
        confidence[row] = 0.7 + 0.2 * place / len(wrong)
    probabilities = np.repeat(((1 - confidence) / (count - 1))[:, None], count, axis=1)
    probabilities[np.arange(len(labels)), predicted] = confidence
    return Predictions(probabilities.astype(np.float32), labels, np.arange(first_id, first_id + len(labels)))


def _explanations(project: FakeProject, name: str, labels: np.ndarray) -> Explanations:
    """Heatmaps of the first mistakes and of one image per class: hot in their upper left quarter.

    The maps put class c at (c, 0) and (0, c), each image a little to the right of the one before.
    """
    count, side = len(project.classes), SIZE // 4
    firsts = [int(row) for row in range(0, len(labels), project.test_per_class)][:20]
    rows = np.union1d(list(project.wrong[name])[:20], firsts).astype(np.int64)
    heatmaps = np.zeros((len(rows), side, side), np.float32)
    heatmaps[:, : side // 2, : side // 2] = 1.0
    places = np.arange(len(labels)) / len(labels)
    maps = {"conv_1": (SIZE, 8), "conv_2": (SIZE // 2, 12)}
    generator = np.random.default_rng(0)
    return Explanations(
        rows=rows,
        heatmaps=heatmaps,
        heatmap_method="hires_cam",
        heatmap_layer="conv_2",
        feature_rows=rows[:2],
        feature_maps={
            layer: generator.random((2, size, size, channels), np.float32)
            for layer, (size, channels) in maps.items()
        },
        feature_channels={layer: np.arange(channels) for layer, (_, channels) in maps.items()},
        filters=generator.normal(size=(3, 3, project.channels, 8)).astype(np.float32),
        map_rows=np.arange(len(labels)),
        pca=np.stack([labels + places, np.zeros(len(labels))], axis=1).astype(np.float32),
        tsne=np.stack([places, labels % count], axis=1).astype(np.float32),
        explained_variance=np.array([0.5, 0.25], np.float32),
    )


def _scores(images: int, wrong: int) -> dict[str, float]:
    """The accuracy is true; the others are made up from it so that each differs from every other."""
    accuracy = round(1 - wrong / images, 6)
    return {
        "accuracy": accuracy,
        "accuracy_low": round(max(0.0, accuracy - 0.041), 6),
        "accuracy_high": round(min(1.0, accuracy + 0.032), 6),
        "top_3_accuracy": round(min(1.0, accuracy + 0.021), 6),
        "precision_macro": round(accuracy - 0.011, 6),
        "recall_macro": round(accuracy - 0.013, 6),
        "f1_macro": round(accuracy - 0.012, 6),
        "f1_macro_low": round(accuracy - 0.053, 6),
        "f1_macro_high": round(min(1.0, accuracy + 0.034), 6),
        "precision_weighted": round(accuracy - 0.001, 6),
        "recall_weighted": accuracy,
        "f1_weighted": round(accuracy - 0.002, 6),
        "log_loss": round(1.2345 - accuracy, 6),
        "brier_score": round(1.1117 - accuracy, 6),
        "ece": round(1.0555 - accuracy, 6),
        "images": images,
    }


def _per_class_rows(project: FakeProject, name: str) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for label, class_name in enumerate(project.classes):
        of_class = range(label * project.test_per_class, (label + 1) * project.test_per_class)
        recall = 1 - len(set(of_class) & set(project.wrong[name])) / project.test_per_class
        rows.append((name, "validation", class_name, 0.5, 0.5, 0.5, 4))
        rows.append(
            (
                name,
                "test",
                class_name,
                0.9,
                recall,
                round(2 * 0.9 * recall / (0.9 + recall), 6),
                project.test_per_class,
            )
        )
    return rows


def _comparisons(project: FakeProject) -> list[dict[str, Any]]:
    names = list(project.wrong)
    rows = []
    for place, first in enumerate(names):
        for second in names[place + 1 :]:
            only_first = len(set(project.wrong[second]) - set(project.wrong[first]))
            only_second = len(set(project.wrong[first]) - set(project.wrong[second]))
            disagree = only_first + only_second
            difference = (only_first - only_second) / project.test_images
            spread = 1.96 * disagree**0.5 / project.test_images
            rows.append(
                {
                    "first": first,
                    "second": second,
                    "subset": "test",
                    "only_first_right": only_first,
                    "only_second_right": only_second,
                    "p_value": float(binomtest(only_first, disagree).pvalue) if disagree else 1.0,
                    "accuracy_difference": round(difference, 6),
                    "difference_low": round(difference - spread, 6),
                    "difference_high": round(difference + spread, 6),
                }
            )
    return rows


def _references(project: FakeProject) -> dict[str, Any]:
    images = project.test_images
    chance = round(images * (1 - 1 / len(project.classes)))
    return {
        "majority_class": {subset: _scores(images, chance) for subset in ("validation", "test")},
        "logistic_regression": {
            subset: _scores(images, images * 2 // 5) for subset in ("validation", "test")
        },
    }


def _write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_text(path, text.getvalue())


def figure_names(workspace: Workspace) -> set[str]:
    """The names of the figures beside the report."""
    with zipfile.ZipFile(workspace.report_figures) as archive:
        return {Path(name).stem for name in archive.namelist()}
