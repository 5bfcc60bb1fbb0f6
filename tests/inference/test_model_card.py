"""A model card as a file."""

from pathlib import Path

import pytest

from pipeline.foundation.errors import PipelineError
from pipeline.foundation.files import read_json
from pipeline.images.arrays import ChannelStatistics
from pipeline.inference.model_card import LayerSummary, ModelCard, ParameterCounts, TrainingSummary
from pipeline.inference.preprocessing import PreprocessingSpec


def card() -> ModelCard:
    return ModelCard(
        candidate="baseline",
        stage="train_baseline",
        network="small_cnn",
        model_digest="0a" * 32,
        data_digest="1b" * 32,
        preprocessing=PreprocessingSpec(32, "pad", "rgb", ("Katze", "Hündin")),
        statistics=ChannelStatistics((1.5, 2.0, 3.25), (10.0, 20.0, 30.0)),
        hyperparameters={"lr": 0.1, "train_baseline": {"widths": [8, 16], "early_stopping_patience": None}},
        parameters=ParameterCounts(total=10, trainable=8, frozen=2),
        forward_macs=1_000_000_007,
        layers=(
            LayerSummary("image", "InputLayer", (32, 32, 3), 0, 0, False),
            LayerSummary("classifier", "Dense", (2,), 10, 8, True),
        ),
        training=TrainingSummary(epochs=3, best_epoch=2, stopped_early=True, train_images=40),
        versions={"python": "3.11", "keras": "3.15.1"},
    )


def test_saved_and_loaded(tmp_path: Path) -> None:
    card().save(tmp_path / "card.json")
    assert ModelCard.load(tmp_path / "card.json") == card()


def test_same_bytes_in_the_agreed_form(tmp_path: Path) -> None:
    for name in ("first.json", "second.json"):
        card().save(tmp_path / name)
    assert (tmp_path / "first.json").read_bytes() == (tmp_path / "second.json").read_bytes()
    values = read_json(tmp_path / "first.json")
    assert values["preprocessing"] == {
        "image_size": 32,
        "resize": "pad",
        "color": "rgb",
        "classes": ["Katze", "Hündin"],
    }
    assert values["parameters"] == {"total": 10, "trainable": 8, "frozen": 2}
    assert values["training"] == {"epochs": 3, "best_epoch": 2, "stopped_early": True, "train_images": 40}
    assert values["statistics"] == {"mean": [1.5, 2.0, 3.25], "std": [10.0, 20.0, 30.0]}
    assert values["layers"][1] == {
        "name": "classifier",
        "kind": "Dense",
        "output_shape": [2],
        "parameters": 10,
        "macs": 8,
        "trainable": True,
    }


def test_a_missing_card(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"card\.json is missing"):
        ModelCard.load(tmp_path / "card.json")
