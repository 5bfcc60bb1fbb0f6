"""Which candidate is best, on the validation subset alone.

Nothing here sees a test score: a choice made on the test subset would make its figures too good.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.scoring.scores import rounded


@dataclass(frozen=True)
class ScoredCandidate:
    """What the choice looks at; `parameters` is the number of the network's weights."""

    candidate: str
    model_digest: str
    parameters: int
    validation_accuracy: float
    validation_log_loss: float

    def to_json(self) -> dict[str, str | float]:
        """The choice of this candidate, as models/best.json holds it."""
        return {
            "candidate": self.candidate,
            "chosen_by": "validation accuracy",
            "validation_accuracy": rounded(self.validation_accuracy),
            "model_digest": self.model_digest,
        }


def choose_best(candidates: Sequence[ScoredCandidate]) -> ScoredCandidate:
    """Highest validation accuracy; of equal ones the lower log loss, then the fewer parameters."""
    return min(candidates, key=lambda c: (-c.validation_accuracy, c.validation_log_loss, c.parameters))
