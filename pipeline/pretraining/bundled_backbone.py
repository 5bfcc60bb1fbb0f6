"""Make the bundled backbone: pretrain it on CIFAR-100.

    python -m pipeline.pretraining.bundled_backbone data/arrays

where data/arrays comes from `dvc repro preprocess` with fetch.dataset=cifar100 (or a folder of its
images); its train and validation subsets together are the 50,000 official training images without
those that are also in the test subset. This is not a DVC stage: the pipeline uses its result, a file
in the repository. A run that was stopped goes on from its last epoch. The test subset is only looked
at; nothing is chosen by it.
"""

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args

import keras
import numpy as np

from pipeline.backbones.bundled import WIDTHS, backbone_network, rounded_weights, save_bundled
from pipeline.foundation.array_types import UInt8
from pipeline.foundation.errors import PipelineError
from pipeline.images.arrays import ChannelStatistics, ImageArrays
from pipeline.networks.from_scratch import build_from_scratch
from pipeline.networks.normalization import with_fused_normalization
from pipeline.networks.precision import build, in_float32
from pipeline.params.augmentation import AugmentationParams
from pipeline.params.fitting import FittingParams, Precision
from pipeline.processes.resumption import code_digest, resumable_work
from pipeline.training.data import TrainingData
from pipeline.training.fitting import FitPlan, fit
from pipeline.training.trained_model import predict

_SEED = 0
_PLAN = FitPlan(
    phase="pretraining",
    epochs_before=0,
    epochs=16,
    batch_size=256,
    learning_rate=0.4,
    params=FittingParams(
        optimizer="sgd",
        schedule="one_cycle",
        warmup_share=0.2,
        weight_decay=0.005,
        label_smoothing=0.1,
        early_stopping_patience=None,
        class_weights="none",
    ),
    augmentation=AugmentationParams(
        horizontal_flip=True,
        vertical_flip=False,
        shift=0.125,
        rotation=0.0,
        zoom=0.0,
        brightness=0.0,
        contrast=0.0,
        cutout=0.25,
        random_erasing=0.0,
        mixup=0.0,
        cutmix=0.0,
    ),
    seed=_SEED,
)


def pretrain(arrays: Path, checkpoints: Path, plan: FitPlan, precision: Precision) -> None:
    """Fit the classifier on all training images, then keep its convolutional part.

    A killed run with the same data, plan, precision and code goes on from its last epoch, which it left
    below `checkpoints`.
    """
    data = _all_training_images(arrays)
    work = [data.digest, repr(plan), precision, list(WIDTHS), code_digest(["pipeline"])]
    with resumable_work(checkpoints, "pretraining", work) as place:
        _pretrain(data, place.folder, plan, precision)


def _pretrain(data: TrainingData, checkpoints: Path, plan: FitPlan, precision: Precision) -> None:
    train, test, statistics = data.train, data.validation, data.statistics
    keras.utils.set_random_seed(plan.seed)

    def builder() -> keras.Model:
        return build_from_scratch("fast_cnn", train.images, data.num_classes, statistics, WIDTHS, dropout=0.0)

    model = with_fused_normalization(build(builder, precision))
    history = fit(model, data, plan, checkpoints, on_epoch=lambda result, speed: None)

    final = in_float32(model, builder)
    backbone = backbone_network(data.image_shape, statistics)
    trained = final.get_weights()[: len(backbone.get_weights())]
    backbone.set_weights(trained)
    rounded = [weights.astype(np.float32) for weights in rounded_weights(backbone)]
    final.set_weights(rounded + final.get_weights()[len(rounded) :])
    accuracy = float((predict(final, test.images, 500).argmax(axis=1) == test.labels).mean())
    save_bundled(
        backbone,
        {
            "trained_on": "CIFAR-100 (Krizhevsky 2009): the official training images not also in its test",
            "train_images": len(train),
            "train_digest": data.digest,
            "classes": data.num_classes,
            "epochs": len(history),
            "precision": precision,
            "test_accuracy": accuracy,
            "test_accuracy_of": "the whole classifier, weights as stored, on the 10,000 official test images",
            "command": "python -m pipeline.pretraining.bundled_backbone data/arrays",
            "statistics": statistics.to_json(),
        },
    )
    print(f"CIFAR-100 test accuracy with the stored weights: {accuracy:.4f}", flush=True)


def _all_training_images(arrays: Path) -> TrainingData:
    """The training and validation subsets as one, watched with the test subset; `digest` is without that."""
    made = TrainingData.load(arrays)
    train = _together(made.train, made.validation)
    return replace(
        made,
        train=train,
        validation=ImageArrays.load(arrays / "test"),
        statistics=_statistics(train.images),
    )


def _together(first: ImageArrays, second: ImageArrays) -> ImageArrays:
    """Both subsets in catalogue order, so that the draw of the validation subset makes no difference."""
    ids = np.concatenate([first.ids, second.ids])
    order = np.argsort(ids)
    images = np.concatenate([first.images, second.images])[order]
    labels = np.concatenate([first.labels, second.labels])[order]
    return ImageArrays(images, labels, ids[order])


def _statistics(images: UInt8[np.ndarray, "n h w c"]) -> ChannelStatistics:
    pixels = images.reshape(-1, images.shape[-1])
    total = pixels.sum(axis=0, dtype=np.int64)
    squares = sum(np.square(part, dtype=np.int64).sum(axis=0) for part in np.array_split(pixels, 100))
    mean = total / len(pixels)
    std = np.sqrt(squares / len(pixels) - mean**2)
    return ChannelStatistics(mean=tuple(mean.tolist()), std=tuple(std.tolist()))


def main() -> None:
    """Read the command line, fix the number of threads (it changes the bits), pretrain."""
    parser = argparse.ArgumentParser(description="Pretrain the bundled backbone on CIFAR-100.")
    parser.add_argument("arrays", type=Path, help="data/arrays of CIFAR-100")
    parser.add_argument("--checkpoints", type=Path, default=Path(".resume"))
    parser.add_argument("--precision", choices=get_args(Precision), default="mixed_bfloat16")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    for variable in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ[variable] = str(options.threads)  # read at the first operation, which is still to come
    try:
        pretrain(options.arrays, options.checkpoints, _PLAN, options.precision)
    except PipelineError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
