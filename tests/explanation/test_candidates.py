"""All explanations of candidates together."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from pipeline.explanation.candidates import explain_candidates
from pipeline.foundation.errors import PipelineError
from pipeline.scoring.explanations import Explanations
from pipeline.scoring.predictions import Predictions
from tests.evaluate_params import evaluate_params
from tests.explanation.made_networks import from_scratch

Networks = dict[str, keras.Model]
IMAGES = np.random.default_rng(0).integers(0, 256, (30, 16, 16, 1), dtype=np.uint8)


@pytest.fixture(scope="module")
def networks() -> Networks:
    return {"baseline": from_scratch("dense", 16, 1), "tuned": from_scratch("fast_cnn", 16, 1)}


def explain(networks: Networks, **changes: Any) -> dict[str, Explanations]:
    labels = np.arange(30) % 3
    predictions = {
        name: Predictions(network.predict_on_batch(IMAGES), labels, np.arange(30))
        for name, network in networks.items()
    }
    return explain_candidates(networks, predictions, IMAGES, evaluate_params(**changes), seed=0)


def test_both_kinds_of_network_and_the_same_bytes_again(
    networks: Networks, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = explain(networks)
    assert found["baseline"].heatmap_layer == "input"
    assert found["baseline"].heatmaps.shape[1:] == (16, 16)
    assert found["baseline"].filters is None
    assert found["tuned"].heatmaps.shape[1:] == (7, 7)
    assert found["tuned"].heatmap_layer == "block1_add"
    assert list(found["tuned"].feature_maps) == ["whitening_relu", "block1_add", "block2_add"]
    assert len(found["tuned"].map_rows) == 20
    assert set(found["tuned"].feature_rows) <= set(found["tuned"].rows)
    assert f"explaining tuned: {len(found['tuned'].rows)} heatmaps" in capsys.readouterr().out
    for name, again in explain(networks).items():
        found[name].save(tmp_path / "first.npz")
        again.save(tmp_path / "second.npz")
        assert (tmp_path / "first.npz").read_bytes() == (tmp_path / "second.npz").read_bytes()


@pytest.mark.parametrize("key", ["heatmap_layer", "feature_layers"])
def test_a_layer_that_no_candidate_has(networks: Networks, key: str) -> None:
    value = "block9" if key == "heatmap_layer" else ("block1_add", "block9")
    with pytest.raises(PipelineError, match=f"evaluate.{key}: no candidate has a layer 'block9'") as caught:
        explain(networks, **{key: value})
    assert "block1_add" in str(caught.value.expected)
