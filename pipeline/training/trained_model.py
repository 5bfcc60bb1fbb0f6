"""A trained model, read from its folder: model.keras, history.csv, card.json."""

from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from pipeline.foundation.array_types import Float32, UInt8
from pipeline.foundation.digests import digest_file
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.files import require
from pipeline.foundation.workspace import CARD_FILE, NETWORK_FILE
from pipeline.inference.model_card import ModelCard


@dataclass(frozen=True)
class TrainedModel:
    """A network in float32 that takes uint8 images and returns class probabilities, with its card."""

    network: keras.Model
    card: ModelCard

    @classmethod
    def load(cls, folder: Path) -> "TrainedModel":
        """Raises PipelineError where a file is missing, or the network is not the one of the card."""
        card, network = ModelCard.load(folder / CARD_FILE), require(folder / NETWORK_FILE)
        if (found := digest_file(network)) != card.model_digest:
            raise PipelineError(
                f"{network} is not the network that {CARD_FILE} beside it describes.",
                expected=f"SHA-256 {card.model_digest}",
                found=found,
                remedy="'dvc checkout' brings back what was trained, 'dvc repro' trains it again",
            )
        return cls(keras.models.load_model(network, compile=False), card)

    def predict(self, images: UInt8[np.ndarray, "n h w c"], batch_size: int) -> Float32[np.ndarray, "n k"]:
        """Class probabilities."""
        return predict(self.network, images, batch_size)


def predict(
    network: keras.Model, images: UInt8[np.ndarray, "n h w c"], batch_size: int
) -> Float32[np.ndarray, "n outputs"]:
    """What `network` returns for `images`, computed batch by batch."""
    parts = [
        np.asarray(network.predict_on_batch(images[start : start + batch_size]))
        for start in range(0, len(images), batch_size)
    ]
    return np.concatenate(parts).astype(np.float32)
