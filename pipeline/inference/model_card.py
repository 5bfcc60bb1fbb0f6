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
      parameters: counts by "total", "trainable" (in the last phase) and "frozen".
      forward_macs: multiply-accumulate operations for one image.
      layers: from input to output.
      training: "epochs" that were run, "best_epoch", "stopped_early", "train_images".
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
    parameters: dict[str, int]
    forward_macs: int
    layers: tuple[LayerSummary, ...]
    training: dict[str, Any]
    versions: dict[str, str]

    def save(self, path: Path) -> None:
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        values["preprocessing"] = self.preprocessing.to_json()
        values["statistics"] = self.statistics.to_json()
        values["layers"] = [asdict(layer) for layer in self.layers]
        write_json(path, values)

    @classmethod
    def load(cls, path: Path) -> "ModelCard":
        """Raises PipelineError where the file is missing."""
        values = read_json(path)
        values["preprocessing"] = PreprocessingSpec.from_json(values["preprocessing"])
        values["statistics"] = ChannelStatistics.from_json(values["statistics"])
        values["layers"] = tuple(
            LayerSummary(**{**layer, "output_shape": tuple(layer["output_shape"])})
            for layer in values["layers"]
        )
        return cls(**values)
