"""Magnitude pruning: the smallest weights become zero, the others are fitted a little more.

After Han et al., "Learning both Weights and Connections for Efficient Neural Networks", 2015. Zeros
take no space in a compressed file; LiteRT computes with them as with any other number, so that a
pruned network is smaller to send and not faster.
"""

import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from pipeline.backbones.transfer import unfreeze
from pipeline.foundation.array_types import Float32
from pipeline.inference.model_card import ModelCard
from pipeline.params.augmentation import AugmentationParams
from pipeline.params.export import ExportParams
from pipeline.params.fitting import FittingParams
from pipeline.training.data import TrainingData
from pipeline.training.fitting import FitPlan, fit

_PROBABILITIES_LAYER = "probabilities"


def prune(
    network: keras.Model,
    card: ModelCard,
    data: TrainingData,
    params: ExportParams,
) -> None:
    """Prune `network` in place and fine-tune what is left of it, on the data and settings of its training.

    Args:
      network: uint8 images to probabilities, as a training has saved it.
      card: of that training: batch size, augmentation, label smoothing and class weights are its.
      data: training and validation images.
      params: sparsity, and epochs and learning rate (SGD with momentum) of the fine-tuning.

    Raises:
      DivergedError: the loss is no longer finite.
    """
    if "train_transfer" in card.hyperparameters:
        # Its backbone was saved as it came, frozen, and must be able to make up for what it loses.
        unfreeze(network, "all", card.hyperparameters["train_transfer"]["frozen_batch_norm"])
    for kernel in kernels(network):
        mask = kept(np.asarray(kernel), params.sparsity)
        kernel.assign(np.asarray(kernel) * mask)
        kernel.constraint = _Held(mask)
    logits = keras.Model(network.input, network.get_layer(_PROBABILITIES_LAYER).input)
    with tempfile.TemporaryDirectory() as checkpoints:
        fit(
            logits,
            data,
            _plan(card, params),
            Path(checkpoints),
            lambda result, images_per_second: None,
        )


def kernels(network: keras.Model) -> list[keras.Variable]:
    """The weights that multiply inputs, of every layer that learns (a whitening does not learn)."""
    return [weight for weight in network.trainable_weights if len(weight.shape) >= 2]


def kept(kernel: Float32[np.ndarray, "*shape"], sparsity: float) -> Float32[np.ndarray, "*shape"]:
    """1 where a weight stays and 0 for the `sparsity` share of smallest magnitude.

    Of equal magnitudes the first ones go, so that the number of zeros is exact.
    """
    mask = np.ones(kernel.size, dtype=np.float32)
    mask[np.argsort(np.abs(kernel), axis=None, kind="stable")[: round(sparsity * kernel.size)]] = 0.0
    return mask.reshape(kernel.shape)


class _Held(keras.constraints.Constraint):
    """Puts zero, after every step of the optimizer, wherever the mask has it."""

    def __init__(self, mask: Float32[np.ndarray, "..."]) -> None:
        self._mask = ops.convert_to_tensor(mask)

    def __call__(self, kernel: Any) -> Any:
        return kernel * self._mask


def _plan(card: ModelCard, params: ExportParams) -> FitPlan:
    settings = card.hyperparameters
    fitting = settings["train_transfer"] if "train_transfer" in settings else settings["train_baseline"]
    return FitPlan(
        phase="pruning",
        epochs_before=0,
        epochs=params.pruning_epochs,
        batch_size=settings["batch_size"],
        learning_rate=params.pruning_lr,
        params=FittingParams(
            optimizer="sgd",
            schedule="constant",
            warmup_share=0.0,
            weight_decay=0.0,
            label_smoothing=fitting["label_smoothing"],
            early_stopping_patience=None,
            class_weights=fitting["class_weights"],
        ),
        augmentation=AugmentationParams(**settings["augmentation"]),
        seed=settings["seed"],
    )
