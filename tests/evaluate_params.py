"""The section `evaluate` of params.yaml, small enough for tests."""

from typing import Any

from pipeline.params.evaluate import EvaluateParams


def evaluate_params(**changes: Any) -> EvaluateParams:
    values = {
        "batch_size": 16,
        "top_k": 2,
        "calibration_bins": 10,
        "bootstrap_samples": 100,
        "confidence": 0.95,
        "heatmap_method": "hires_cam",
        "heatmap_layer": "auto",
        "heatmap_mistakes": 5,
        "heatmap_examples": 1,
        "feature_layers": (),
        "feature_map_images": 2,
        "map_images": 20,
    }
    return EvaluateParams(**{**values, **changes})
