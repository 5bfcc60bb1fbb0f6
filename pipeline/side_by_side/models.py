"""What a page about two models is made from."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.foundation.array_types import UInt8
from pipeline.inference.model_card import ModelCard
from pipeline.reporting.results import History
from pipeline.scoring.intervals import Bootstrap
from pipeline.scoring.predictions import Predictions
from pipeline.scoring.scores import Scores

FIRST, SECOND = "A", "B"


@dataclass(frozen=True, kw_only=True)
class ComparedModel:
    """One of the two models.

    Attributes:
      asked: how it was asked for.
      origin: where it was found, in a few words.
      card: of the model.
      params: what it was made with, flat names, values as text.
      scores: by subset (validation, test).
      test: its predictions of its test subset.
      history: of its training; None where that is not kept.
    """

    asked: str
    origin: str
    card: ModelCard
    params: Mapping[str, str]
    scores: Mapping[str, Scores]
    test: Predictions
    history: History | None

    @property
    def classes(self) -> tuple[str, ...]:
        return self.card.preprocessing.classes


@dataclass(frozen=True, kw_only=True)
class ModelPair:
    """Two models and what both were tested on.

    Attributes:
      first: A.
      second: B.
      same_data: whether both know their images by the numbers of the same catalogue.
      images: in the order of A's predictions; None where they are not available.
      bootstrap: of the interval of the difference.
    """

    first: ComparedModel
    second: ComparedModel
    same_data: bool
    images: UInt8[np.ndarray, "n h w c"] | None
    bootstrap: Bootstrap

    @property
    def named(self) -> dict[str, ComparedModel]:
        return {FIRST: self.first, SECOND: self.second}

    @property
    def comparable(self) -> bool:
        """Whether both have answered the same question: the same images, the same classes."""
        first, second = self.first, self.second
        return (
            self.same_data
            and first.classes == second.classes
            and np.array_equal(first.test.ids, second.test.ids)
            and np.array_equal(first.test.labels, second.test.labels)
        )
