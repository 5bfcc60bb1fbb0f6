"""All explanations of the candidates on the test subset."""

import pipeline.training  # noqa: F401  (the quiet first import of Keras)

# isort: split
from collections.abc import Mapping

import keras
import numpy as np

from pipeline.explanation.chosen_images import ChosenImages, choose_images
from pipeline.explanation.feature_maps import chosen_layers, feature_maps
from pipeline.explanation.features import map_features
from pipeline.explanation.filters import first_filters
from pipeline.explanation.heatmaps import AUTO, Heatmaps, named_layer
from pipeline.explanation.opened_network import OpenedNetwork
from pipeline.foundation.array_types import UInt8
from pipeline.foundation.errors import PipelineError
from pipeline.params.evaluate import EvaluateParams
from pipeline.scoring.explanations import Explanations
from pipeline.scoring.predictions import Predictions
from pipeline.training.trained_model import predict


def explain_candidates(
    networks: Mapping[str, keras.Model],
    predictions: Mapping[str, Predictions],
    images: UInt8[np.ndarray, "n h w c"],
    params: EvaluateParams,
    seed: int,
) -> dict[str, Explanations]:
    """What each candidate looks at; says on the terminal how far it is.

    Args:
      networks: by candidate; from uint8 images to class probabilities.
      predictions: theirs, of the same images.
      images: the test subset.
      params: which layers, and how many images.
      seed: of the draw of images and of t-SNE.

    Raises:
      PipelineError: params name a layer that no candidate has.
    """
    opened = {name: OpenedNetwork(network) for name, network in networks.items()}
    _require_layers(list(opened.values()), params)
    chosen = choose_images(
        predictions,
        params.heatmap_mistakes,
        params.heatmap_examples,
        params.feature_map_images,
        params.map_images,
        seed,
    )
    return {
        name: _explain(name, network, predictions[name], images, chosen, params, seed)
        for name, network in opened.items()
    }


def _explain(
    candidate: str,
    network: OpenedNetwork,
    predictions: Predictions,
    images: UInt8[np.ndarray, "n h w c"],
    chosen: ChosenImages,
    params: EvaluateParams,
    seed: int,
) -> Explanations:
    rows = chosen.heatmaps[candidate]
    print(
        f"evaluate: explaining {candidate}: {len(rows):,} heatmaps, a map of {len(chosen.maps):,} images",
        flush=True,
    )
    heatmaps = Heatmaps(network, params.heatmap_method, params.heatmap_layer)
    maps, channels = feature_maps(
        network, chosen_layers(network, params.feature_layers), images[chosen.feature_maps]
    )
    features = predict(network.reading(network.features), images[chosen.maps], params.batch_size)
    feature_map = map_features(features, seed)
    return Explanations(
        rows=rows,
        heatmaps=heatmaps.compute(
            images[rows], predictions.predicted[rows], f"batches of {candidate}'s heatmaps"
        ),
        heatmap_method=heatmaps.method,
        heatmap_layer=heatmaps.layer,
        feature_rows=chosen.feature_maps,
        feature_maps=maps,
        feature_channels=channels,
        filters=first_filters(network),
        map_rows=chosen.maps,
        pca=feature_map.pca,
        tsne=feature_map.tsne,
        explained_variance=feature_map.explained_variance,
    )


def _require_layers(networks: list[OpenedNetwork], params: EvaluateParams) -> None:
    """Raises PipelineError where a layer of the params returns no map in any network."""
    named = [("heatmap_layer", params.heatmap_layer)] if params.heatmap_layer != AUTO else []
    named += [("feature_layers", name) for name in params.feature_layers]
    for key, name in named:
        if not any(named_layer(network, name) for network in networks):
            maps = dict.fromkeys(each.name for network in networks for each in network.maps)
            raise PipelineError(
                f"evaluate.{key}: no candidate has a layer '{name}' that returns a map.",
                expected="one of " + ", ".join(maps) if maps else "no name: there are no convolutions",
            )
