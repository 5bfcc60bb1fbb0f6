"""What a training reads: the arrays of two subsets and how they were made. Never the test subset."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.images.arrays import ChannelStatistics, ImageArrays, arrays_digest
from pipeline.inference.preprocessing import PreprocessingSpec


@dataclass(frozen=True)
class TrainingData:
    """What a network is fitted on and watched with.

    `digest` identifies the contents of both subsets: two models with the same digest were fitted on the
    same data.
    """

    train: ImageArrays
    validation: ImageArrays
    statistics: ChannelStatistics
    preprocessing: PreprocessingSpec
    digest: str

    @classmethod
    def load(cls, arrays: Path) -> "TrainingData":
        """Raises PipelineError where a file is missing."""
        train, validation = arrays / "train", arrays / "validation"
        return cls(
            ImageArrays.load(train),
            ImageArrays.load(validation),
            ChannelStatistics.load(arrays / "statistics.json"),
            PreprocessingSpec.load(arrays / "preprocessing.json"),
            arrays_digest([train, validation]),
        )

    @property
    def num_classes(self) -> int:
        return len(self.preprocessing.classes)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        height, width, channels = self.train.images.shape[1:]
        return height, width, channels
