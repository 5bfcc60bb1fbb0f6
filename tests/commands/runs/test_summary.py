"""The table of models in the terminal."""

import json

import pytest

from pipeline.commands.runs.summary import print_summary
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.workspace import Workspace
from pipeline.inference.model_card import ModelCard, ParameterCounts
from pipeline.scoring.intervals import Interval
from pipeline.scoring.scores import Scores, save_scores
from tests.scoring.made_scores import made_scores


@pytest.fixture
def evaluated(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace after evaluate; model cards are cut down to what is read of them."""

    def scores(accuracy: float) -> Scores:
        interval = Interval(accuracy - 0.01, accuracy + 0.01)
        return made_scores(
            100, accuracy=accuracy, accuracy_interval=interval, f1_macro=0.5, log_loss=0.25, ece=0.0123
        )

    workspace.scores.parent.mkdir()
    workspace.best.parent.mkdir()
    candidates = {name: {"validation": scores(0.9), "test": scores(0.8)} for name in ("baseline", "tuned")}
    save_scores(workspace.scores, candidates)
    majority = {"majority_class": {subset: scores(0.1) for subset in ("validation", "test")}}
    save_scores(workspace.references, majority)
    workspace.best.write_text(json.dumps({"candidate": "tuned"}))
    card = type("Card", (), {"parameters": ParameterCounts(1234567, 1234567, 0)})
    monkeypatch.setattr(ModelCard, "load", lambda path: card)
    return workspace


def test_every_model_has_a_line_and_the_best_a_star(
    evaluated: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    print_summary(evaluated)
    lines = capsys.readouterr().out.splitlines()
    by_name = {line.split()[0]: line for line in lines if line.strip()}
    assert by_name["baseline"].split() == [
        *("baseline", "90.00", "[89.00,", "91.00]", "80.00", "[79.00,", "81.00]"),
        *("0.5000", "0.2500", "0.0123", "1,234,567"),
    ]
    assert by_name["tuned"].split()[1] == "*"
    assert by_name["majority"].split()[2] == "10.00"
    assert all(len(line) <= 120 for line in lines)
    assert "make ui" in lines[-1]


def test_the_report_is_named_when_it_is_there(
    evaluated: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    print_summary(evaluated)
    assert "index.html" not in capsys.readouterr().out
    evaluated.report.mkdir()
    (evaluated.report / "index.html").touch()
    print_summary(evaluated)
    assert "metrics/report/index.html" in capsys.readouterr().out


def test_before_the_pipeline_has_run_it_says_so(workspace: Workspace) -> None:
    with pytest.raises(PipelineError, match="dvc repro"):
        print_summary(workspace)
