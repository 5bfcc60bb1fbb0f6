"""An evaluated candidate, read from the files of the workspace."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.foundation.files import read_json, write_json
from pipeline.foundation.workspace import SUBSETS, Workspace
from pipeline.images.arrays import ImageArrays, arrays_digest
from pipeline.images.catalogue import Provenance
from pipeline.inference.model_card import ModelCard
from pipeline.promotion.gates import REFERENCES
from pipeline.scoring.predictions import Predictions, load_predictions
from pipeline.tracking.registry.registry import Evidence

Scores = Mapping[str, Mapping[str, float]]
"""{subset: {score: value}}, as metrics/evaluate.json and metrics/references.json hold them."""


@dataclass(frozen=True)
class Evaluated:
    """A candidate with its data and what evaluate has found out about it.

    Attributes:
      card: of the trained model.
      network: model.keras.
      source: of the images.
      labels: int64, (N,), by subset.
      test_images: uint8, (N, height, width, channels).
      test_digest: of the arrays of the test subset.
      evidence: predictions of the candidate and of the references.
      scores: of the candidate.
      references: scores by reference.
    """

    card: ModelCard
    network: Path
    source: Provenance
    labels: Mapping[str, np.ndarray]
    test_images: np.ndarray
    test_digest: str
    evidence: Evidence
    scores: Scores
    references: Mapping[str, Scores]

    @classmethod
    def load(cls, workspace: Workspace, candidate: str) -> "Evaluated":
        """Raises PipelineError where a file is missing."""
        folder, predictions = workspace.model(candidate), workspace.predictions
        subsets = {subset: ImageArrays.load(workspace.arrays / subset) for subset in SUBSETS}
        references = {name: load_predictions(predictions / f"{name}.npz")["test"] for name in REFERENCES}
        return cls(
            card=ModelCard.load(folder / "card.json"),
            network=folder / "model.keras",
            source=Provenance.load(workspace.raw / "source.json"),
            labels={name: subset.labels for name, subset in subsets.items()},
            test_images=subsets["test"].images,
            test_digest=arrays_digest([workspace.arrays / "test"]),
            evidence=Evidence(load_predictions(predictions / f"{candidate}.npz"), references),
            scores=read_json(workspace.scores)[candidate],
            references=read_json(workspace.references),
        )

    @property
    def test(self) -> Predictions:
        """The candidate's predictions of the test subset."""
        return self.evidence.predictions["test"]

    @property
    def size_bytes(self) -> int:
        """Of model.keras."""
        return self.network.stat().st_size

    def save(self, folder: Path) -> None:
        """Write what a later decision needs, also on a machine that has neither data nor model."""
        self.evidence.save(folder)
        self.card.save(folder / "card.json")
        evaluation = {
            "candidate": self.card.candidate,
            "model_digest": self.card.model_digest,
            "test_digest": self.test_digest,
            "scores": self.scores,
            "references": self.references,
        }
        write_json(folder / "evaluation.json", evaluation)
