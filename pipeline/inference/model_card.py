"""What there is to know of a trained model without loading it: models/<candidate>/card.json."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.foundation.files import read_json, write_json
from pipeline.images.arrays import ChannelStatistics
from pipeline.inference.preprocessing import PreprocessingSpec


@dataclass(frozen=True)
class LayerSummary:
    """One layer of a network; `output_shape` is without the batch, `macs` for one image."""

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int
    macs: int
    trainable: bool


@dataclass(frozen=True)
class ParameterCounts:
    """How many parameters a network has; `trainable` in the last phase, `frozen` all others."""

    total: int
    trainable: int
    frozen: int


@dataclass(frozen=True)
class TrainingSummary:
    """How a training went; `best_epoch` is the one whose weights were kept, counted from 1."""

    epochs: int
    best_epoch: int
    stopped_early: bool
    train_images: int


@dataclass(frozen=True)
class ModelCard:
    """The description that travels with a trained model.

    Attributes:
      candidate: baseline, transfer or tuned.
      stage: the stage that trained it.
      network: name of the network or of the backbone.
      model_digest: SHA-256 of model.keras.
      data_digest: SHA-256 over the training and validation arrays.
      preprocessing: how an image becomes an input, and the classes of the outputs.
      statistics: channel statistics that the network scales its inputs with.
      hyperparameters: the params that the training used.
      forward_macs: multiply-accumulate operations for one image.
      layers: from input to output.
      versions: of Python and of the libraries that decide the result.
    """

    candidate: str
    stage: str
    network: str
    model_digest: str
    data_digest: str
    preprocessing: PreprocessingSpec
    statistics: ChannelStatistics
    hyperparameters: dict[str, Any]
    parameters: ParameterCounts
    forward_macs: int
    layers: tuple[LayerSummary, ...]
    training: TrainingSummary
    versions: dict[str, str]

    def save(self, path: Path) -> None:
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        values["preprocessing"] = self.preprocessing.to_json()
        values["statistics"] = self.statistics.to_json()
        values["parameters"] = asdict(self.parameters)
        values["layers"] = [asdict(layer) for layer in self.layers]
        values["training"] = asdict(self.training)
        write_json(path, values)

    @classmethod
    def load(cls, path: Path) -> "ModelCard":
        """Raises PipelineError where the file is missing."""
        values = read_json(path)
        values["preprocessing"] = PreprocessingSpec.from_json(values["preprocessing"])
        values["statistics"] = ChannelStatistics.from_json(values["statistics"])
        values["parameters"] = ParameterCounts(**values["parameters"])
        values["training"] = TrainingSummary(**values["training"])
        values["layers"] = tuple(
            LayerSummary(**{**layer, "output_shape": tuple(layer["output_shape"])})
            for layer in values["layers"]
        )
        return cls(**values)
