"""The table of trainings in the terminal."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.commands.runs import runs as run_table
from pipeline.commands.runs.query import Query
from pipeline.commands.runs.runs import show_runs
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.workspace import Workspace
from pipeline.tracking.runs.trainings import TrainingRun
from pipeline.tracking.store import Store
from tests.tracking.made_runs import training_run

Show = Callable[..., str]


@pytest.fixture
def show(
    workspace: Workspace, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Show:
    """Shows runs as if MLflow had them; returns what is printed."""
    workspace.params.write_bytes((project / "params.yaml").read_bytes())
    workspace.stages.write_bytes((project / "dvc.yaml").read_bytes())

    def shown(*runs: TrainingRun, as_json: bool = False, **query: Any) -> str:
        latest_first = sorted(runs, key=lambda run: run.started, reverse=True)
        monkeypatch.setattr(run_table, "read_trainings", lambda *arguments: latest_first)
        show_runs(workspace, Store(workspace), Query(**query), as_json)
        return capsys.readouterr().out

    return shown


def lines_of(output: str, candidate: str) -> list[str]:
    return [line for line in output.splitlines() if line.split()[:1] == [candidate]]


SCORES = {
    **{f"validation_accuracy{end}": value for end, value in (("", 0.98765), ("_low", 0.975), ("_high", 1.0))},
    **{f"test_accuracy{end}": value for end, value in (("", 0.9), ("_low", 0.875), ("_high", 0.92))},
    "duration_seconds": 63.2,
    "images_per_second": 1234.5,
}


def test_a_training_is_a_line_with_scores_in_percent(show: Show) -> None:
    output = show(training_run(metrics=SCORES, experiment="ruddy-gybe", dvc_commit="0123456789abcdef"))
    (line,) = lines_of(output, "baseline")
    assert line.split() == [
        *("baseline", "ruddy-gybe", "0123456", "network=fast_cnn", "lr=0.1"),
        *("98.77", "[97.5,", "100]", "90.00", "[87.5,", "92.0]", "1m", "03s", "1234"),
    ]
    assert "over seeds" not in output


def test_params_that_were_varied_are_shown_and_no_others(show: Show) -> None:
    """Between trainings of one candidate; a transfer's params are not compared with a baseline's."""
    dense = {"seed": "0", "lr": "0.05", "batch_size": "128", "train_baseline.network": "dense"}
    other = {"seed": "0", "lr": "0.1", "batch_size": "64", "train_transfer.backbone": "bundled"}
    output = show(
        training_run(lr=0.2, metrics={}),
        training_run(params=dense, declared=dense, metrics={}),
        training_run(candidate="transfer", params=other, declared=other, metrics={}),
    )
    assert [line.split()[3:] for line in lines_of(output, "baseline")] == [
        ["network=dense", "lr=0.05"],
        ["network=fast_cnn", "lr=0.2"],
    ]
    (transfer,) = lines_of(output, "transfer")
    assert transfer.split()[3:] == ["backbone=bundled", "lr=0.1", "batch_size=64"]


def test_what_people_varied_comes_before_what_a_search_found(show: Show) -> None:
    told = training_run(candidate="tuned", seed=0, metrics={})
    found = [
        replace(run, params={**run.params, "lr": lr})
        for run, lr in ((told, "0.0448676338"), (training_run(candidate="tuned", seed=1, metrics={}), "0.3"))
    ]
    first = lines_of(show(*found), "tuned")[1]
    assert first.split()[3:5] == ["seed=0", "lr=0.04487"]


def test_a_name_is_shortened_only_where_no_other_ends_alike(show: Show) -> None:
    params = {"seed": "0", "split.seed": "1", "train_baseline.dropout": "0.1"}
    more = {"seed": "0", "split.seed": "2", "train_baseline.dropout": "0.2"}
    output = show(*(training_run(params=each, declared=each, metrics={}) for each in (params, more)))
    assert "split.seed=2" in output
    assert " dropout=0.2" in output


def test_marks(show: Show) -> None:
    output = show(
        training_run(changes=("params.yaml",), experiment="a", metrics={"duration_seconds": 7.25}),
        training_run(restored=True, experiment="b", metrics={"duration_seconds": 7.25}),
        training_run(status="RUNNING", experiment="c", metrics={"duration_seconds": 7.25}),
        training_run(git_commit="", experiment="d", metrics={"duration_seconds": 3725.0}),
        unfinished=True,
    )
    by_experiment = {line.split()[1]: line for line in lines_of(output, "baseline")}
    assert "aaaaaaa*" in by_experiment["a"]
    assert "7.2s" in by_experiment["a"]
    assert by_experiment["b"].rstrip().endswith("restored")
    assert by_experiment["c"].rstrip().endswith("running")
    assert by_experiment["d"].rstrip().endswith("1h 02m")
    assert "*: with uncommitted changes" in " ".join(output.split())
    assert "restored: from DVC's run cache" in " ".join(output.split())


def test_the_table_stays_within_120_columns_however_long_its_texts_are(show: Show) -> None:
    params = [
        {
            "lr": "0.12345678901",
            "seed": str(seed),
            "train_baseline.widths": "[64, 256, 256, 1024]",
            **{f"train_baseline.a_param_with_a_long_name_{n}": str(n + seed) for n in range(8)},
        }
        for seed in (1000, 2000)
    ]
    runs = [
        training_run(
            params=each,
            declared=each,
            experiment=f"an-experiment-with-a-long-name-{number}",
            metrics={**SCORES, "test_accuracy": 1.0, "test_accuracy_high": 1.0, "test_accuracy_low": 1.0},
            changes=("params.yaml",),
        )
        for number, each in enumerate(params)
    ]
    output = show(*runs)
    assert max(map(len, output.splitlines())) <= 120
    lines = lines_of(output, "baseline")
    assert len(lines) == 2
    # Shortened in the middle, so that two names that differ at the end stay different.
    assert [line.split()[1] for line in lines] == ["an-experim…ame-1", "an-experim…ame-0"]
    assert all("1234" in line for line in lines)
    assert all("+8" in line for line in lines)


def test_seeds_of_one_setting_are_summed_up(show: Show) -> None:
    runs = [
        training_run(seed=seed, metrics={"validation_accuracy": 0.9, "test_accuracy": accuracy})
        for seed, accuracy in enumerate((0.86, 0.92, 0.92))
    ]
    output = show(*runs)
    (line,) = [line for line in lines_of(output, "baseline") if "±" in line]
    # Mean 90 %, deviation sqrt(12) = 3.46 points (see tests/tracking/test_seeds.py).
    assert line.split() == [
        *("baseline", "3", "90.00", "±", "0.00", "90.00", "to", "90.00"),
        *("90.00", "±", "3.46", "86.00", "to", "92.00"),
        *("network=fast_cnn", "lr=0.1", "batch_size=128"),
    ]
    # Two draws are apart by the root of 2 times the deviation: 4.90 points; twice that is 9.80.
    text = " ".join(output.split())
    assert "typically 4.90 points of test accuracy apart (√2 x 3.46, pooled, 2 degrees of freedom" in text
    assert "a rough figure" in text
    assert "9.80 points" in text


def test_limit_shortens_the_table_and_not_the_seeds(show: Show) -> None:
    output = show(*(training_run(seed=seed) for seed in range(4)), limit=1)
    lines = lines_of(output, "baseline")
    assert len(lines) == 2
    assert lines[1].split()[1] == "4"
    assert "1 of 4 trainings" in output


@pytest.mark.parametrize(
    ("runs", "query", "message"),
    [
        ([], {}, "MLflow knows no training yet: 'make repro' or 'dvc exp run' makes the first ones.\n"),
        (
            [{"status": "KILLED"}],
            {},
            "No training has finished yet; --all shows the 1 training that did not.\n",
        ),
        ([{}, {}], {"conditions": ("lr>5",)}, "None of the 2 trainings fits.\n"),
    ],
)
def test_nothing_to_show(
    show: Show, runs: list[dict[str, object]], query: dict[str, object], message: str
) -> None:
    assert show(*(training_run(**run) for run in runs), **query) == message
    assert json.loads(show(*(training_run(**run) for run in runs), **query, as_json=True)) == {
        "runs": [],
        "seeds": [],
    }


def test_json_has_everything(show: Show) -> None:
    earlier = training_run(seed=0, metrics={"test_accuracy": 0.7})
    run = training_run(
        seed=1,
        metrics={"loss": math.nan, "test_accuracy": 0.5},
        model="models:/m-1",
        page="#/experiments/1/runs/2",
    )
    answer = json.loads(show(earlier, run, as_json=True))
    first = answer["runs"][0]
    assert first["run_id"] == run.run_id
    assert (first["model"], first["page"]) == ("models:/m-1", "#/experiments/1/runs/2")
    assert first["params"]["lr"] == 0.1
    assert first["params"]["train_baseline.network"] == "fast_cnn"
    assert first["metrics"] == {"loss": None, "test_accuracy": 0.5}
    assert (first["experiment"], first["git_commit"]) == (None, run.git_commit)
    (group,) = answer["seeds"]
    assert (group["seeds"], group["run_ids"][1]) == ([0, 1], run.run_id)
    assert group["test_accuracy"]["mean"] == pytest.approx(0.6)
    assert group["validation_accuracy"] is None


def test_a_limit_below_one_is_refused(show: Show) -> None:
    with pytest.raises(PipelineError, match="1 or more"):
        show(limit=0)


def test_a_server_that_is_down(show: Show, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(PipelineError, match="nothing answers"):
        show_runs(workspace, Store(workspace), Query())
