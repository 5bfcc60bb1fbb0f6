"""The choice of the best candidate."""

from dataclasses import replace

from pipeline.scoring.choice import ScoredCandidate, choose_best

BASELINE = ScoredCandidate(
    "baseline", "b0", parameters=1000, validation_accuracy=0.9, validation_log_loss=0.4
)


def _chosen(*candidates: ScoredCandidate) -> set[str]:
    """The choices in both orders; the order must not matter."""
    return {choose_best(candidates).candidate, choose_best(candidates[::-1]).candidate}


def test_higher_validation_accuracy_wins_whatever_else() -> None:
    better = replace(
        BASELINE, candidate="transfer", validation_accuracy=0.91, validation_log_loss=2.0, parameters=10**9
    )
    assert _chosen(BASELINE, better) == {"transfer"}


def test_of_equal_accuracies_the_lower_log_loss_wins() -> None:
    surer = replace(BASELINE, candidate="transfer", validation_log_loss=0.3, parameters=10**9)
    assert _chosen(BASELINE, surer) == {"transfer"}


def test_of_equal_log_losses_the_smaller_network_wins() -> None:
    smaller = replace(BASELINE, candidate="tuned", parameters=999)
    assert _chosen(BASELINE, smaller) == {"tuned"}


def test_what_is_written() -> None:
    assert replace(BASELINE, validation_accuracy=1 / 3).to_json() == {
        "candidate": "baseline",
        "chosen_by": "validation accuracy",
        "validation_accuracy": 0.333333,
        "model_digest": "b0",
    }
