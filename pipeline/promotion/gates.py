"""Whether a challenger becomes champion: gates on its test predictions, its size and its speed.

All gates that apply must pass. What the paired gates promise, for one decision on a test subset that
had no part in the challenger's making:

- A challenger that is as good as the champion (each image on which the two differ could have gone
  either way) passes by luck with a probability of at most alpha / 2: the exact McNemar test is
  two-sided at alpha, and only one side is "better". The other gates can only lower that.
- A first model that is as good as the majority class becomes champion with a probability of at most
  alpha / 2. One that is as good as the logistic regression is turned away by that gate with a
  probability of at most alpha / 2.

Several decisions on one test subset add up: see `chance_of_luck`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline.params.evaluate import EvaluateParams
from pipeline.params.registry import RegistryParams
from pipeline.scoring.calibration import calibrate
from pipeline.scoring.intervals import Bootstrap
from pipeline.scoring.paired import Comparison, compare
from pipeline.scoring.predictions import Predictions
from pipeline.scoring.scores import class_scores, confusion_matrix, rounded

GateOutcome = Literal["passed", "failed", "not applicable"]

REFERENCES = ("majority_class", "logistic_regression")
"""What a first model is compared with, by the names under which evaluate keeps their predictions."""

_BETTER = "better than the champion"
_GAIN = "gain in accuracy"
_RECALL = "recall of every class"
_BEATS_MAJORITY = "better than the majority class"
_HOLDS_REGRESSION = "not worse than logistic regression"
_MEGABYTE = 1e6


@dataclass(frozen=True)
class Gate:
    """One condition of a promotion.

    Attributes:
      name: what it is about.
      outcome: passed, failed or not applicable.
      required, found: for people.
      figures: what was found, as numbers and names.
    """

    name: str
    outcome: GateOutcome
    required: str
    found: str
    figures: Mapping[str, float | int | str]


@dataclass(frozen=True)
class Verdict:
    """All gates of one decision."""

    gates: tuple[Gate, ...]

    @property
    def accepted(self) -> bool:
        return not self.failed

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the gates that refuse."""
        return tuple(gate.name for gate in self.gates if gate.outcome == "failed")


@dataclass(frozen=True)
class Challenger:
    """What a decision looks at.

    Attributes:
      predictions: of the test subset.
      classes: names; the index is the label.
      size_bytes: of model.keras.
      latency_ms: median for one image.
    """

    predictions: Predictions
    classes: tuple[str, ...]
    size_bytes: int
    latency_ms: float


@dataclass(frozen=True)
class Incomparable:
    """A champion whose predictions of the challenger's test subset cannot be had; `reason` is a clause."""

    reason: str


def decide(
    challenger: Challenger,
    champion: Predictions | Incomparable | None,
    references: Mapping[str, Predictions],
    params: RegistryParams,
    evaluate: EvaluateParams,
    seed: int,
) -> Verdict:
    """Compare a challenger with the champion, or with the references where there is none yet.

    Args:
      challenger: the model that wants to become champion.
      champion: its predictions of the same images in the same order, labels as the challenger's.
      references: predictions of the same images by each of REFERENCES.
      params: section registry.
      evaluate: section evaluate.
      seed: of the bootstrap's generator.
    """
    bootstrap = Bootstrap(evaluate.bootstrap_samples, 1.0 - params.alpha, seed)
    return Verdict(
        (
            *_champion_gates(challenger, champion, params, bootstrap),
            *_reference_gates(challenger, champion is None, references, params, bootstrap),
            _calibration_gate(challenger, params, evaluate.calibration_bins),
            _limit_gate("size", challenger.size_bytes / _MEGABYTE, params.max_size_mb, "MB"),
            _limit_gate("latency of one image", challenger.latency_ms, params.max_latency_ms, "ms"),
        )
    )


def chance_of_luck(decisions: int, alpha: float) -> float:
    """Probability that of so many challengers, all as good as the champion, at least one had passed.

    At most 1 - (1 - alpha / 2)^decisions, taking the decisions as independent (Šidák, 1967).
    """
    return 1.0 - (1.0 - alpha / 2.0) ** decisions


def _champion_gates(
    challenger: Challenger,
    champion: Predictions | Incomparable | None,
    params: RegistryParams,
    bootstrap: Bootstrap,
) -> list[Gate]:
    required = {
        _BETTER: f"more right, p < {params.alpha:g}",
        _GAIN: _required_gain(params),
        _RECALL: f"no class loses more than {100 * params.max_recall_loss:g} points",
    }
    if champion is None:
        return [_not_applicable(name, text, "no champion yet") for name, text in required.items()]
    if isinstance(champion, Incomparable):
        return [Gate(name, "failed", text, champion.reason, {}) for name, text in required.items()]
    comparison = compare(challenger.predictions, champion, bootstrap)
    return [
        Gate(
            _BETTER,
            _outcome(_is_better(comparison, params.alpha)),
            required[_BETTER],
            _counts(comparison, "champion"),
            _test_figures(comparison),
        ),
        Gate(
            _GAIN,
            # A lower end of exactly 0 is not a gain, also where none is asked for.
            _outcome(comparison.interval.low > 0 and comparison.interval.low >= params.min_improvement),
            required[_GAIN],
            f"{_gain(comparison.accuracy_difference)} "
            f"[{_gain(comparison.interval.low)}, {_gain(comparison.interval.high)}] points",
            {
                "difference": rounded(comparison.accuracy_difference),
                "low": rounded(comparison.interval.low),
                "high": rounded(comparison.interval.high),
            },
        ),
        _recall_gate(challenger, champion, params.max_recall_loss, required[_RECALL]),
    ]


def _required_gain(params: RegistryParams) -> str:
    level = f"{100 * (1 - params.alpha):g} % interval"
    if params.min_improvement == 0:
        return f"{level} above 0"
    return f"{level} from {_gain(params.min_improvement)} points on"


def _recall_gate(challenger: Challenger, champion: Predictions, margin: float, required: str) -> Gate:
    """The class that loses most; classes without test images have no recall."""
    after, before = (
        class_scores(np.diagonal(confusion), confusion.sum(axis=1), confusion.sum(axis=0))
        for confusion in map(confusion_matrix, (challenger.predictions, champion))
    )
    losses = np.where(after.support > 0, before.recall - after.recall, -np.inf)
    worst = int(losses.argmax())
    name, images = challenger.classes[worst], int(after.support[worst])
    recalls = float(before.recall[worst]), float(after.recall[worst])
    found = (
        f"class {name}: {_gain(recalls[1] - recalls[0])} points "
        f"({_points(recalls[0])} to {_points(recalls[1])} of {images} images)"
    )
    figures: dict[str, float | int | str] = {
        "class": name,
        "before": rounded(recalls[0]),
        "after": rounded(recalls[1]),
        "images": images,
    }
    # Rounded, so that a loss of exactly the margin is not refused for the sake of its last bit.
    return Gate(_RECALL, _outcome(rounded(losses[worst]) <= margin), required, found, figures)


def _reference_gates(
    challenger: Challenger,
    is_first: bool,
    references: Mapping[str, Predictions],
    params: RegistryParams,
    bootstrap: Bootstrap,
) -> list[Gate]:
    required = {
        _BEATS_MAJORITY: f"more right, p < {params.alpha:g}",
        _HOLDS_REGRESSION: f"not fewer right with p < {params.alpha:g}",
    }
    if not is_first:
        return [_not_applicable(name, text, "for a first model") for name, text in required.items()]
    majority, regression = (
        compare(challenger.predictions, references[name], bootstrap) for name in REFERENCES
    )
    is_worse = regression.p_value < params.alpha and regression.accuracy_difference < 0
    passed = {_BEATS_MAJORITY: _is_better(majority, params.alpha), _HOLDS_REGRESSION: not is_worse}
    comparisons = {_BEATS_MAJORITY: majority, _HOLDS_REGRESSION: regression}
    return [
        Gate(
            name,
            _outcome(passed[name]),
            text,
            _counts(comparisons[name], "reference"),
            _test_figures(comparisons[name]),
        )
        for name, text in required.items()
    ]


def _calibration_gate(challenger: Challenger, params: RegistryParams, bins: int) -> Gate:
    error = calibrate(challenger.predictions, bins).expected_error
    return Gate(
        "calibration",
        _outcome(error <= params.max_ece),
        f"ECE at most {params.max_ece:g}",
        f"ECE {error:.4f}",
        {"ece": rounded(error)},
    )


def _limit_gate(name: str, found: float, limit: float, unit: str) -> Gate:
    return Gate(
        name,
        _outcome(found <= limit),
        f"at most {limit:g} {unit}",
        f"{found:.4g} {unit}",
        {unit.lower(): rounded(found)},
    )


def _is_better(comparison: Comparison, alpha: float) -> bool:
    return comparison.p_value < alpha and comparison.accuracy_difference > 0


def _outcome(passed: bool) -> GateOutcome:
    return "passed" if passed else "failed"


def _not_applicable(name: str, required: str, why: str) -> Gate:
    return Gate(name, "not applicable", required, why, {})


def _counts(comparison: Comparison, other: str) -> str:
    return (
        f"only challenger right: {comparison.only_first_right}, only {other}: "
        f"{comparison.only_second_right}; p = {comparison.p_value:.3g}"
    )


def _test_figures(comparison: Comparison) -> dict[str, float | int | str]:
    return {
        "only_challenger_right": comparison.only_first_right,
        "only_other_right": comparison.only_second_right,
        "p_value": float(f"{comparison.p_value:.4g}"),
    }


def _points(share: float) -> str:
    """A share in percent."""
    return f"{100 * share:.2f} %"


def _gain(share: float) -> str:
    """A difference between shares, in percentage points."""
    return f"{100 * share:+.2f}"
