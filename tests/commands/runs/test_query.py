"""Which trainings are shown, and in which order."""

from collections.abc import Callable

import pytest

from pipeline.commands.runs.query import Query, select
from pipeline.foundation.errors import PipelineError
from pipeline.tracking.runs.trainings import TrainingRun
from tests.tracking.made_runs import training_run

Find = Callable[..., list[str]]


@pytest.fixture
def runs() -> dict[str, TrainingRun]:
    """Three finished trainings and one that was killed."""
    return {
        "slow": training_run(
            lr=0.05,
            network="dense",
            metrics={"test_accuracy": 0.9, "duration_seconds": 100.0, "test_ece": 0.03},
        ),
        "fast": training_run(lr="5e-1", experiment="ruddy-gybe", metrics={"test_accuracy": 0.95}),
        "transfer": training_run(
            lr=0.1,
            candidate="transfer",
            network="bundled",
            params={"seed": "0", "lr": "0.1", "train_transfer.widths": "[8, 8]", "train_transfer.a.b": "1"},
            metrics={"validation_accuracy": 0.5},
        ),
        "killed": training_run(lr=0.1, status="KILLED", metrics={}),
    }


@pytest.fixture
def found(runs: dict[str, TrainingRun]) -> Find:
    """The names of the runs that a query finds."""
    names = {run.run_id: name for name, run in runs.items()}
    return lambda **query: [names[run.run_id] for run in select(list(runs.values()), Query(**query))]


def test_finished_ones_the_latest_first(found: Find) -> None:
    assert found() == ["transfer", "fast", "slow"]
    assert found(unfinished=True) == ["killed", "transfer", "fast", "slow"]


def test_of_a_candidate_or_experiment(found: Find) -> None:
    assert found(candidate="baseline") == ["fast", "slow"]
    assert found(experiment="ruddy-gybe") == ["fast"]
    assert found(experiment="workspace") == ["transfer", "slow"]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("test_accuracy>0.9", ["fast"]),
        ("test_accuracy >= 0.9", ["fast", "slow"]),
        ("lr=0.5", ["fast"]),  # written 5e-1 in params.yaml
        ("lr==.5", ["fast"]),
        ("lr<0.1", ["slow"]),
        ("lr<=1e-1", ["transfer", "slow"]),
        ("lr!=0.1", ["fast", "slow"]),
        ("network=dense", ["slow"]),
        ("network!=dense", ["transfer", "fast"]),
        ("train_baseline.network=fast_cnn", ["fast", "slow"]),
        ("widths=[8, 8]", ["transfer"]),
        ("duration>1", ["slow"]),  # the others have none
        ("test_ece<0.1", ["slow"]),
        ("status=killed", []),
        ("commit=aaaaaaa", ["transfer", "fast", "slow"]),
        ("experiment>0", []),
        ("network=1", []),
        ("network!=1", ["transfer", "fast", "slow"]),
    ],
)
def test_for_which_a_condition_holds(found: Find, condition: str, expected: list[str]) -> None:
    assert found(conditions=(condition,)) == expected


def test_all_conditions_must_hold(found: Find) -> None:
    assert found(conditions=("lr<1", "test_accuracy>0.5", "network!=dense")) == ["fast"]


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("test_accuracy", ["slow", "fast", "transfer"]),
        ("-test_accuracy", ["fast", "slow", "transfer"]),  # a run without one comes last in both directions
        ("lr", ["slow", "transfer", "fast"]),
        ("-lr", ["fast", "transfer", "slow"]),
        ("network", ["transfer", "slow", "fast"]),
        ("-duration", ["slow", "fast", "transfer"]),
        ("started", ["slow", "fast", "transfer"]),
    ],
)
def test_in_the_order_of_a_column(found: Find, sort: str, expected: list[str]) -> None:
    order = found(sort=sort)
    if sort == "-duration":
        assert order[0] == "slow"
    else:
        assert order == expected


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"sort": "-test_acuracy"}, "did you mean 'test_accuracy'?"),
        ({"conditions": ("netwrok=dense",)}, "did you mean 'network'?"),
        ({"conditions": ("widht=1",)}, "No run has 'widht'"),
        ({"conditions": ("zzz>1",)}, "runs --json"),
        ({"conditions": ("test_accuracy>high",)}, "expected: a number"),
        ({"conditions": ("test_accuracy",)}, "is not a condition"),
        ({"conditions": ("lr=",)}, "is not a condition"),
        ({"conditions": ("=0.1",)}, "is not a condition"),
        ({"conditions": ("lr=<0.1",)}, "is not a condition"),
        ({"experiment": "rudy-gybe"}, "did you mean 'ruddy-gybe'?"),
    ],
)
def test_what_does_not_fit_is_explained(found: Find, query: dict[str, object], message: str) -> None:
    with pytest.raises(PipelineError) as caught:
        found(**query)
    assert message in str(caught.value)


def test_a_name_that_fits_several_params_is_refused() -> None:
    run = training_run(params={"tune.lr.min": "1", "tune.dropout.min": "2"})
    with pytest.raises(PipelineError, match=r"one of tune\.lr\.min, tune\.dropout\.min"):
        select([run], Query(sort="min"))


def test_without_any_run_every_name_will_do() -> None:
    assert select([], Query(sort="anything", conditions=("a=1",), experiment="b")) == []
