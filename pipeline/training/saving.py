"""A fitted network becomes a folder: model.keras, history.csv, card.json."""

import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from pipeline.foundation.digests import digest_file
from pipeline.foundation.files import atomic_path
from pipeline.inference.model_card import ModelCard
from pipeline.training.candidate import Fitted
from pipeline.training.keras_file import save_stable
from pipeline.training.source import TrainingSource
from pipeline.training.summary import parameter_counts, summarize
from pipeline.training.trained_model import CARD, HISTORY, MODEL


@dataclass(frozen=True, kw_only=True)
class TrainingFacts:
    """What a model card says beyond what the network itself tells."""

    candidate: str
    stage: str
    network: str
    source: TrainingSource
    hyperparameters: dict[str, Any]


def save_trained_model(folder: Path, fitted: Fitted, facts: TrainingFacts) -> ModelCard:
    """Write models/<candidate> and return its card.

    Args:
      folder: models/<candidate>.
      fitted: the network with its history.
      facts: the rest of the card.
    """
    save_stable(fitted.final_model(), folder / MODEL)
    with atomic_path(folder / HISTORY) as temporary:
        pd.DataFrame([asdict(result) for result in fitted.history]).to_csv(temporary, index=False)
    layers = summarize(fitted.trained)
    card = ModelCard(
        candidate=facts.candidate,
        stage=facts.stage,
        network=facts.network,
        model_digest=digest_file(folder / MODEL),
        data_digest=facts.source.digest,
        preprocessing=facts.source.preprocessing,
        statistics=facts.source.statistics,
        hyperparameters=facts.hyperparameters,
        parameters=parameter_counts(fitted.trained),
        forward_macs=sum(layer.macs for layer in layers),
        layers=layers,
        training={
            "epochs": len(fitted.history),
            "best_epoch": fitted.kept.epoch,
            "stopped_early": fitted.stopped_early,
            "train_images": len(facts.source.train),
        },
        versions=_versions(),
    )
    card.save(folder / CARD)
    return card


def _versions() -> dict[str, str]:
    backend = __import__(keras.config.backend())
    return {
        "python": ".".join(platform.python_version_tuple()[:2]),
        "keras": keras.__version__,
        keras.config.backend(): backend.__version__,
        "numpy": np.__version__,
    }
