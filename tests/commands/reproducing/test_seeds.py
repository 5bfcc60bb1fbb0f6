"""Which seeds are run, under which names, and which are not run again."""

import itertools
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.commands.reproducing import named_experiments, seeds
from pipeline.commands.reproducing.seeds import run_seeds
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.workspace import CANDIDATES, Workspace
from pipeline.inference.model_card import ModelCard
from pipeline.processes.child_process import Say
from pipeline.tracking.runs.trainings import read_trainings
from pipeline.tracking.store import Store
from tests.commands.reproducing.outside import Outside, change, git, trained
from tests.inference.test_model_card import card
from tests.tracking.made_runs import training_run


@pytest.fixture(autouse=True)
def _mlflow(outside: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow is up to date, and what is recorded there is kept."""
    monkeypatch.setattr(seeds, "bring_up_to_date", lambda *arguments: "")
    monkeypatch.setattr(
        seeds, "record_seeds", lambda store, experiment, groups: outside.recorded.extend(groups)
    )


def run(workspace: Workspace, count: int, candidate: str, say: Say) -> int:
    with Store(workspace) as store:
        return run_seeds(workspace, store, count, candidate, say)


def test_every_seed_is_an_experiment_in_a_temporary_copy(project_folder: Workspace, outside: Outside) -> None:
    assert run(project_folder, 3, "all", outside.said.append) == 0
    assert outside.seeds == [5, 6, 7]
    assert all(
        re.fullmatch(r"exp run --temp --name seed-\d-[0-9a-f]{7} -S seed=\d evaluate", command)
        for command in outside.commands
    )
    assert [line for line in outside.said if re.match(r"seed \d of 3", line)] == [
        "seed 1 of 3, seed=5",
        "seed 2 of 3, seed=6",
        "seed 3 of 3, seed=7",
    ]
    for name in outside.names:
        git(project_folder, "check-ref-format", f"refs/exps/aa/bb/{name}")


def test_one_candidate_is_trained_and_not_evaluated(project_folder: Workspace, outside: Outside) -> None:
    assert run(project_folder, 2, "tuned", print) == 0
    assert all(command.endswith(" tune") for command in outside.commands)
    assert all(name.startswith("tuned-seed-") for name in outside.names)


def test_what_is_there_already_is_not_run_again(project_folder: Workspace, outside: Outside) -> None:
    run(project_folder, 4, "all", print)
    first, second, third, fourth = outside.names
    outside.commands.clear()
    outside.trainings += trained(second)
    outside.trainings += trained(third, metrics={"validation_accuracy": 0.9})  # never evaluated
    outside.trainings += trained(fourth, candidates=("baseline", "tuned"))
    assert run(project_folder, 4, "all", outside.said.append) == 0
    assert outside.names == [first, third, fourth]
    assert f"seed 2 of 4, seed=6: not run again, MLflow has the runs of experiment {second}" in outside.said


def test_an_experiment_of_dvc_that_mlflow_does_not_know_is_not_run_again(
    project_folder: Workspace, outside: Outside
) -> None:
    run(project_folder, 2, "baseline", print)
    git(project_folder, "update-ref", f"refs/exps/{'a' * 2}/{'b' * 38}/{outside.names[0]}", "HEAD")
    outside.commands.clear()
    run(project_folder, 2, "baseline", print)
    assert outside.seeds == [6]


@pytest.mark.parametrize(("up_to_date", "expected"), [(True, [6]), (False, [5, 6])])
def test_what_the_workspace_has_is_not_run_again(
    project_folder: Workspace,
    outside: Outside,
    monkeypatch: pytest.MonkeyPatch,
    up_to_date: bool,
    expected: list[int],
) -> None:
    outside.up_to_date = up_to_date
    for candidate in CANDIDATES:
        outside.trainings += trained("", candidates=(candidate,), model_digest=candidate)
    cards = {project_folder.model(each) / "card.json": each for each in CANDIDATES}

    def load(path: Path) -> ModelCard:
        return replace(card(), model_digest=cards[path])

    monkeypatch.setattr(ModelCard, "load", load)
    run(project_folder, 2, "all", print)
    assert outside.seeds == expected


def test_the_first_failure_ends_it_and_another_call_goes_on(
    project_folder: Workspace, outside: Outside
) -> None:
    outside.codes = iter([0, 255])
    assert run(project_folder, 5, "all", outside.said.append) == 255
    assert outside.seeds == [5, 6]
    assert outside.recorded == []
    assert "to continue from there" in outside.said[-1]
    outside.trainings += trained(outside.names[0])
    outside.codes = itertools.repeat(0)
    outside.commands.clear()
    run(project_folder, 5, "all", print)
    assert outside.seeds == [6, 7, 8, 9]


def test_names_tell_settings_code_and_data_apart(
    project_folder: Workspace, outside: Outside, project: Path
) -> None:
    def name(key: str, value: object, candidate: str = "baseline") -> str:
        change(project_folder, project / "params.yaml", key, value)
        outside.commands.clear()
        run(project_folder, 2, candidate, print)
        return outside.names[0].replace(str(outside.seeds[0]), "N", 1)

    usual = name("lr", 0.2)
    assert name("seed", 7) == usual
    assert name("report.title", "Another") == usual
    assert name("train_transfer.dropout", 0.5) == usual
    (project_folder.root / "pipeline" / "tracking" / "runs.py").write_text("2")
    assert name("lr", 0.2) == usual
    names = [name("lr", 0.1), name("split.seed", 1), name("lr", 0.2, candidate="all")]
    (project_folder.root / "pipeline" / "training" / "fitting.py").write_text("2")
    names.append(name("lr", 0.2))
    images = project_folder.root / "images"
    images.mkdir()
    for content in ("1", "2"):
        (images / "a.png").write_text(content)
        names.append(name("fetch.location", str(images)))
    assert len({usual, *names}) == 7


def test_only_the_groups_of_these_experiments_are_recorded(
    project_folder: Workspace, outside: Outside
) -> None:
    """With the workspace's own run, which has the same setting, and not those of another setting."""
    run(project_folder, 2, "baseline", print)
    outside.trainings += [
        training_run(seed=5, experiment=outside.names[0]),
        training_run(seed=6, experiment=outside.names[1]),
        training_run(seed=4),
        training_run(seed=5, lr=0.5),
        training_run(seed=6, lr=0.5),
    ]
    run(project_folder, 2, "baseline", print)
    (group,) = outside.recorded
    assert (group.candidate, group.seeds, group.params["lr"]) == ("baseline", (4, 5, 6), "0.1")


@pytest.mark.parametrize(
    ("count", "message"), [(1, "--count 2 or more"), (0, "--count 2 or more"), (2**31, "seed: ")]
)
def test_counts_that_make_no_sense(
    project_folder: Workspace, outside: Outside, count: int, message: str
) -> None:
    with pytest.raises(PipelineError, match=message):
        run(project_folder, count, "all", print)
    assert outside.commands == []


def test_without_a_commit_there_are_no_experiments(project_folder: Workspace, outside: Outside) -> None:
    shutil.rmtree(project_folder.root / ".git")
    with pytest.raises(PipelineError, match="git init"):
        run(project_folder, 2, "all", print)


def test_images_that_have_changed_since_their_import(
    project_folder: Workspace, outside: Outside, project: Path
) -> None:
    images = project_folder.root / "images"
    images.mkdir()
    (images / "a.png").write_text("1")
    change(project_folder, project / "params.yaml", "fetch.location", "images")
    project_folder.fetched.mkdir(parents=True)
    source = {"dataset": "digits", "location": "images", "fingerprint": "of what was there"}
    (project_folder.fetched / "source.json").write_text(json.dumps(source))
    with pytest.raises(PipelineError, match="python -m pipeline repro"):
        run(project_folder, 2, "all", print)
    assert outside.commands == []


def test_a_server_that_is_down(
    project_folder: Workspace, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(named_experiments, "read_trainings", read_trainings)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(PipelineError, match="nothing answers"):
        run(project_folder, 2, "all", print)
    assert outside.commands == []
