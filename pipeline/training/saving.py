"""A fitted network becomes a folder: model.keras, history.csv, card.json."""

import platform
from dataclasses import asdict
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from pipeline.foundation.digests import digest_file
from pipeline.foundation.files import atomic_path
from pipeline.foundation.workspace import CARD_FILE, HISTORY_FILE, NETWORK_FILE
from pipeline.inference.model_card import ModelCard, TrainingSummary
from pipeline.training.data import TrainingData
from pipeline.training.fitting import Fitted
from pipeline.training.keras_file import save_stable
from pipeline.training.layers import parameter_counts, summarize


def save_trained_model(
    folder: Path, fitted: Fitted, data: TrainingData, candidate: str, stage: str
) -> ModelCard:
    """Write models/<candidate>, what `stage` has fitted on `data`, and return its card."""
    save_stable(fitted.final_model(), folder / NETWORK_FILE)
    with atomic_path(folder / HISTORY_FILE) as temporary:
        pd.DataFrame([asdict(result) for result in fitted.history]).to_csv(temporary, index=False)
    layers = summarize(fitted.trained)
    card = ModelCard(
        candidate=candidate,
        stage=stage,
        network=fitted.network,
        model_digest=digest_file(folder / NETWORK_FILE),
        data_digest=data.digest,
        preprocessing=data.preprocessing,
        statistics=data.statistics,
        hyperparameters=fitted.config.model_dump(mode="json"),
        parameters=parameter_counts(fitted.trained),
        forward_macs=sum(layer.macs for layer in layers),
        layers=layers,
        training=TrainingSummary(
            epochs=len(fitted.history),
            best_epoch=fitted.kept.epoch,
            stopped_early=fitted.stopped_early,
            train_images=len(data.train),
        ),
        versions=_versions(),
    )
    card.save(folder / CARD_FILE)
    return card


def _versions() -> dict[str, str]:
    backend = __import__(keras.config.backend())
    return {
        "python": ".".join(platform.python_version_tuple()[:2]),
        "keras": keras.__version__,
        keras.config.backend(): backend.__version__,
        "numpy": np.__version__,
    }
