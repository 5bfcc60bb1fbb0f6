"""The gates of a promotion, one by one, and the error rates that they promise."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from pipeline.foundation.array_types import Bool
from pipeline.params.registry import RegistryParams
from pipeline.promotion.gates import (
    Challenger,
    Gate,
    GateOutcome,
    Incomparable,
    Verdict,
    chance_of_luck,
    decide,
)
from pipeline.scoring.predictions import Predictions
from tests.evaluate_params import evaluate_params
from tests.scoring.made_predictions import predictions_of

ALPHA = 0.05
REGISTRY = RegistryParams(
    model="m",
    alpha=ALPHA,
    min_improvement=0.0,
    max_recall_loss=0.1,
    max_ece=0.2,
    max_size_mb=1.0,
    max_latency_ms=100.0,
    weak_after=10,
)
EVALUATE = evaluate_params(
    batch_size=1, top_k=1, calibration_bins=10, bootstrap_samples=1000, confidence=0.95
)

CLASSES = ("cat", "dog")


Pair = tuple[Bool[np.ndarray, " n"], Bool[np.ndarray, " n"]]
"""Which images two models get right."""


def answers(right: Bool[np.ndarray, " n"]) -> Predictions:
    """Predictions of two classes in turn, 90 % sure; `right` says which images they get right."""
    labels = np.arange(len(right)) % 2
    predicted = np.where(right, labels, 1 - labels)
    return predictions_of(np.where(np.eye(2)[predicted] == 1, 0.9, 0.1), labels)


def right(images: int, wrong: range | list[int]) -> Bool[np.ndarray, " {images}"]:
    mask = np.ones(images, dtype=bool)
    mask[list(wrong)] = False
    return mask


def verdict(
    challenger: Predictions,
    champion: Predictions | Incomparable | None,
    references: Mapping[str, Predictions] | None = None,
    size_bytes: int = 1000,
    latency_ms: float = 5.0,
    **params: Any,
) -> Verdict:
    return decide(
        Challenger(challenger, CLASSES, size_bytes, latency_ms),
        champion,
        references or {},
        REGISTRY.model_copy(update=params),
        EVALUATE,
        seed=0,
    )


def gates(found: Verdict) -> dict[str, Gate]:
    return {gate.name: gate for gate in found.gates}


def outcomes(found: Verdict) -> dict[str, GateOutcome]:
    return {gate.name: gate.outcome for gate in found.gates}


def test_a_challenger_that_is_surely_better_passes_every_gate_that_applies() -> None:
    champion, challenger = answers(right(400, range(40))), answers(right(400, range(10)))
    found = verdict(challenger, champion)
    assert found.accepted
    assert outcomes(found) == {
        "better than the champion": "passed",
        "gain in accuracy": "passed",
        "recall of every class": "passed",
        "better than the majority class": "not applicable",
        "not worse than logistic regression": "not applicable",
        "calibration": "passed",
        "size": "passed",
        "latency of one image": "passed",
    }
    test = gates(found)["better than the champion"]
    # 30 images that only the challenger gets right, none the other way round: 2 / 2^30.
    assert test.figures == {
        "only_challenger_right": 30,
        "only_other_right": 0,
        "p_value": pytest.approx(2 / 2**30, rel=1e-3),
    }
    assert gates(found)["gain in accuracy"].figures["difference"] == pytest.approx(0.075)


def test_a_challenger_that_is_surely_worse_is_refused_for_all_that_it_lacks() -> None:
    champion, challenger = answers(right(400, range(10))), answers(right(400, range(0, 200, 2)))
    found = verdict(challenger, champion)
    assert found.failed == ("better than the champion", "gain in accuracy", "recall of every class")
    recall = gates(found)["recall of every class"]
    # Class cat has the even images: 5 of 200 wrong before, 100 now.
    assert recall.figures == {"class": "cat", "before": 0.975, "after": 0.5, "images": 200}
    assert "class cat" in recall.found


def test_the_champion_itself_is_no_better_than_the_champion() -> None:
    predictions = answers(right(400, range(10)))
    assert verdict(predictions, predictions).failed == ("better than the champion", "gain in accuracy")


@pytest.mark.parametrize(("only_challenger", "outcome"), [(5, "failed"), (6, "passed")])
def test_mcnemar_decides_as_the_binomial_distribution_does(
    only_challenger: int, outcome: GateOutcome
) -> None:
    # 5 to 0: p = 2 / 2^5 = 0.0625; 6 to 0: p = 0.03125.
    expected = binomtest(only_challenger, only_challenger).pvalue
    assert (expected < ALPHA) == (outcome == "passed")
    found = verdict(answers(right(300, [])), answers(right(300, range(only_challenger))))
    assert outcomes(found)["better than the champion"] == outcome
    assert gates(found)["better than the champion"].figures["p_value"] == pytest.approx(expected, rel=1e-3)


def test_a_gain_must_surely_reach_what_is_asked_for() -> None:
    champion, challenger = answers(right(1000, range(100))), answers(right(1000, range(40)))
    # 60 of 1,000 images gained: the interval reaches from 6 % - 1.96 · 0.75 % = 4.5 % on.
    assert outcomes(verdict(challenger, champion, min_improvement=0.04))["gain in accuracy"] == "passed"
    assert outcomes(verdict(challenger, champion, min_improvement=0.05))["gain in accuracy"] == "failed"


def test_a_smaller_alpha_asks_for_more() -> None:
    champion, challenger = answers(right(1000, range(50))), answers(right(1000, range(42)))
    # 8 images to none: p = 2 / 2^8 = 0.0078
    assert verdict(challenger, champion).accepted
    assert not verdict(challenger, champion, alpha=0.005).accepted


def test_a_loss_of_exactly_the_margin_is_allowed() -> None:
    # All the champion's errors are dogs; the challenger's are cats: 30 of 300, or one more.
    champion = answers(right(600, range(1, 200, 2)))
    at_margin, beyond = answers(right(600, range(0, 60, 2))), answers(right(600, range(0, 62, 2)))
    assert outcomes(verdict(at_margin, champion))["recall of every class"] == "passed"
    assert outcomes(verdict(beyond, champion))["recall of every class"] == "failed"
    assert verdict(beyond, champion).failed == ("recall of every class",)


def test_a_class_without_test_images_has_no_recall_to_lose() -> None:
    labels = np.zeros(100, dtype=int)
    champion = predictions_of(np.tile([0.2, 0.8], (100, 1)), labels)
    challenger = predictions_of(np.tile([0.8, 0.2], (100, 1)), labels)
    recall = gates(verdict(challenger, champion))["recall of every class"]
    assert (recall.outcome, recall.figures["class"]) == ("passed", "cat")


def test_limits_of_calibration_size_and_latency() -> None:
    sure = answers(right(100, range(50)))  # 90 % sure and half right: an ECE of 0.4
    found = verdict(sure, sure, size_bytes=1_000_001, latency_ms=100.5)
    assert found.failed[-3:] == ("calibration", "size", "latency of one image")
    assert gates(found)["calibration"].figures["ece"] == pytest.approx(0.4)
    within = verdict(sure, sure, size_bytes=1_000_000, latency_ms=100.0, max_ece=0.41)
    assert not {"calibration", "size", "latency of one image"} & set(within.failed)


def test_a_first_model_is_compared_with_the_references() -> None:
    majority, regression = answers(right(400, range(200))), answers(right(400, range(40)))
    references = {"majority_class": majority, "logistic_regression": regression}
    good = verdict(answers(right(400, range(36, 80))), None, references)
    assert good.accepted
    assert outcomes(good)["better than the champion"] == "not applicable"

    worse = verdict(answers(right(400, range(80))), None, references)
    assert worse.failed == ("not worse than logistic regression",)

    assert verdict(majority, None, references).failed == (
        "better than the majority class",
        "not worse than logistic regression",
        "calibration",
    )


def test_a_champion_that_cannot_be_compared_refuses_with_the_reason() -> None:
    found = verdict(answers(right(400, [])), Incomparable("it knows other classes"))
    assert found.failed == ("better than the champion", "gain in accuracy", "recall of every class")
    assert {gates(found)[name].found for name in found.failed} == {"it knows other classes"}


def test_predictions_of_other_images_are_never_paired() -> None:
    with pytest.raises(AssertionError):
        verdict(answers(right(400, [])), answers(right(399, [])))


def test_luck_adds_up_over_decisions() -> None:
    assert chance_of_luck(1, 0.05) == pytest.approx(0.025)
    assert chance_of_luck(10, 0.05) == pytest.approx(1 - 0.975**10)


ROUNDS = 2000
SURELY = 1e-5
"""How rarely a right implementation may fail one of the simulations (the seeds are fixed anyway)."""


def promoted(
    draw: Callable[[np.random.Generator], Pair],
    seed: int,
) -> int:
    """How many of ROUNDS simulated challengers, drawn with their champions, become champion."""
    generator = np.random.default_rng(seed)
    pairs = (draw(generator) for _ in range(ROUNDS))
    return sum(verdict(answers(first), answers(second)).accepted for first, second in pairs)


@pytest.mark.parametrize("images", [100, 1000])
@pytest.mark.usefixtures("arrays_unchecked")
def test_of_equally_good_challengers_at_most_half_of_alpha_are_promoted(images: int) -> None:
    def draw(generator: np.random.Generator) -> Pair:
        easy = generator.random(images) < 0.7  # right for both: what makes the pairs dependent
        first, second = generator.random((2, images)) < 0.7
        return easy | first, easy | second

    lucky = promoted(draw, seed=images)
    assert lucky <= binom.ppf(1 - SURELY, ROUNDS, ALPHA / 2)
    assert lucky >= binom.ppf(SURELY, ROUNDS, ALPHA / 10), "stricter than stated: nothing would ever pass"


@pytest.mark.usefixtures("arrays_unchecked")
def test_a_truly_better_challenger_passes_with_the_power_of_the_test() -> None:
    images, challenger, champion = 2000, 0.92, 0.88

    def draw(generator: np.random.Generator) -> Pair:
        return generator.random(images) < challenger, generator.random(images) < champion

    power = mcnemar_power(images, challenger * (1 - champion), champion * (1 - challenger))
    assert power > 0.98
    assert promoted(draw, seed=5) >= binom.ppf(SURELY, ROUNDS, power)


def mcnemar_power(images: int, only_first: float, only_second: float) -> float:
    """Probability that the exact test at ALPHA finds the first better, from two binomial distributions.

    Args:
      images: of the test subset.
      only_first: probability that of an image only the first model is right.
      only_second: probability that of an image only the second model is right.
    """
    differ = only_first + only_second
    power = 0.0
    for total in range(images + 1):
        weight = binom.pmf(total, images, differ)
        if weight < 1e-12:
            continue
        # The smallest number of images for the first with 2 · P(X >= number) < ALPHA, X ~ B(total, 1/2).
        needed = int(binom.isf(ALPHA / 2, total, 0.5)) + 1
        while 2 * binom.sf(needed - 1, total, 0.5) >= ALPHA:
            needed += 1
        power += weight * binom.sf(needed - 1, total, only_first / differ)
    return power


@pytest.mark.usefixtures("arrays_unchecked")
def test_a_model_as_good_as_guessing_rarely_becomes_the_first_champion() -> None:
    generator = np.random.default_rng(7)
    first = 0
    for _ in range(ROUNDS):
        guesses, majority, regression = (answers(generator.random(200) < 0.5) for _ in range(3))
        references = {"majority_class": majority, "logistic_regression": regression}
        first += verdict(guesses, None, references, max_ece=1.0).accepted
    assert first <= binom.ppf(1 - SURELY, ROUNDS, ALPHA / 2)
    assert first > 0
