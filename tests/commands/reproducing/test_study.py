"""Which trainings of a study are run, under which names, which are not, and what is printed and written."""

import csv
import io
import itertools
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from ruamel.yaml import YAML

from pipeline.commands.reproducing import study as studies
from pipeline.commands.reproducing.named_experiments import NamedExperiments
from pipeline.commands.reproducing.seeds import run_seeds
from pipeline.commands.reproducing.study import run_study
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.workspace import Workspace
from pipeline.studies.study import load_study
from pipeline.tracking.runs.kept_epochs import KeptEpoch
from pipeline.tracking.runs.trainings import TrainingRun
from pipeline.tracking.store import Store
from tests.commands.reproducing.outside import Outside, change, git, trained
from tests.studies.valid import VALID

SHIPPED = sorted((Path(__file__).parents[3] / "studies").glob("*.yaml"))

PICTURE = io.BytesIO()
Image.new("RGB", (2, 1)).save(PICTURE, format="PNG")

Run = Callable[..., int]


@pytest.fixture(autouse=True)
def _mlflow(outside: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow is up to date; every experiment that is run has its training there, with 90 % and a bit more."""
    numbers = itertools.count()

    def finish(name: str) -> None:
        metrics = {"duration_seconds": 61.0, "images_per_second": 1000.0}
        outside.trainings += trained(name, ["baseline"], metrics=metrics, processor="AMD EPYC")

    outside.on_run = finish
    monkeypatch.setattr(studies, "bring_up_to_date", lambda *arguments: "")
    # The chart is drawn where the page is tested; here it would be drawn hundreds of times.
    monkeypatch.setattr(studies, "figure_png", lambda figure: PICTURE.getvalue())
    monkeypatch.setattr(
        studies,
        "read_kept_epoch",
        lambda store, run_id, scratch: KeptEpoch(
            0.9 + 0.001 * next(numbers), 0.5, 15, 1234, {"keras": "3.15"}
        ),
    )


@pytest.fixture
def file(project_folder: Workspace) -> Path:
    return project_folder.root / "studies" / "batch_size.yaml"


@pytest.fixture
def run(project_folder: Workspace, outside: Outside, file: Path) -> Run:
    """Writes the study with some changes and runs it."""

    def run_with(location: str | None = None, retry_failed: bool = False, **changes: Any) -> int:
        file.parent.mkdir(exist_ok=True)
        with file.open("w", encoding="utf-8") as stream:
            YAML().dump(VALID | changes, stream)
        with Store(project_folder) as store:
            return run_study(project_folder, store, file, location, retry_failed, outside.said.append)

    return run_with


def results(file: Path) -> list[dict[str, str]]:
    text = (file.with_suffix("") / "results.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def page(file: Path) -> str:
    return (file.with_suffix("") / "page.html").read_text(encoding="utf-8")


# --- what is run -------------------------------------------------------------------------------------


def test_every_setting_and_seed_is_an_experiment(run: Run, outside: Outside) -> None:
    assert run() == 0
    assert [re.sub(r"-[0-9a-f]{7} ", "-D ", command) for command in outside.commands] == [
        # One seed after the other, so that a study that ends early has comparable trainings.
        "exp run --temp --name baseline-seed-0-D -S lr=0.1 -S seed=0 train_baseline",
        "exp run --temp --name baseline-seed-0-D -S lr=0.1 -S batch_size=8 -S seed=0 train_baseline",
        "exp run --temp --name baseline-seed-1-D -S lr=0.1 -S seed=1 train_baseline",
        "exp run --temp --name baseline-seed-1-D -S lr=0.1 -S batch_size=8 -S seed=1 train_baseline",
    ]
    assert len(set(outside.names)) == 4
    assert "training 2 of 4: small, seed=0" in outside.said


def test_the_stage_of_the_candidate_is_run(run: Run, outside: Outside) -> None:
    outside.on_run = lambda name: None
    run(candidate="transfer")
    assert all(command.endswith(" train_transfer") for command in outside.commands)


def test_what_was_run_is_not_run_again(run: Run, outside: Outside, file: Path) -> None:
    run()
    written = results(file)
    outside.commands.clear()
    assert run() == 0
    assert outside.commands == []
    assert "4 trainings of baseline, 4 of them known already" in outside.said
    assert [row["experiment"] for row in results(file)] == [row["experiment"] for row in written]


def test_a_study_that_was_stopped_goes_on(run: Run, outside: Outside, file: Path) -> None:
    finish = outside.on_run

    def stop_in_the_third(name: str) -> None:
        if len(outside.commands) == 3:
            raise KeyboardInterrupt
        finish(name)

    outside.on_run = stop_in_the_third
    with pytest.raises(KeyboardInterrupt):
        run()
    assert [row["status"] for row in results(file)] == ["done", "open", "done", "open"]
    stopped = outside.names[2]
    outside.commands.clear()
    outside.on_run = finish
    run()
    assert outside.names[0] == stopped
    assert len(outside.commands) == 2
    assert {row["status"] for row in results(file)} == {"done"}


def test_seeds_that_were_run_are_those_of_a_study(
    run: Run, outside: Outside, project_folder: Workspace, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names come from what decides, not from the file: another study finds the same setting as well."""
    monkeypatch.setattr("pipeline.commands.reproducing.seeds.bring_up_to_date", lambda *arguments: "")
    change(project_folder, project / "params.yaml", "lr", 0.1)
    with Store(project_folder) as store:
        run_seeds(project_folder, store, 2, "baseline", print)
    outside.commands.clear()
    run(title="Another")
    assert len(outside.commands) == 2
    assert all("batch_size=8" in command for command in outside.commands)


def test_other_params_code_or_data_are_other_experiments(
    run: Run, outside: Outside, project_folder: Workspace
) -> None:
    run()
    usual = set(outside.names)
    run(base={"lr": 0.2})
    run(base={"lr": 0.1, "split.train_limit": 100})
    (project_folder.root / "pipeline" / "training" / "fitting.py").write_text("2")
    run()
    assert len(outside.names) == len(set(outside.names)) == 16
    assert usual < set(outside.names)


def test_a_copy_of_the_data(run: Run, outside: Outside, project_folder: Workspace, file: Path) -> None:
    copy = project_folder.root / "my copy" / "cifar10.tar.gz"
    copy.parent.mkdir()
    copy.touch()
    base = {"fetch.dataset": "cifar10"}
    run(location=str(copy), base=base)
    assert all(f"-S fetch.location='{copy}'" in command for command in outside.commands)
    assert all("-S fetch.dataset=folder" in command for command in outside.commands)
    # The page is shown to others: no path of this machine.
    assert str(project_folder.root) not in page(file)
    assert "study batch_size.yaml --location PATH/cifar10.tar.gz" in page(file)
    official = copy.with_name("cifar-10-binary.tar.gz")
    official.touch()
    outside.commands.clear()
    run(location=str(official), base=base)
    assert all("-S fetch.dataset=cifar10" in command for command in outside.commands)


def test_a_key_that_params_yaml_leaves_to_people(run: Run, outside: Outside) -> None:
    run(base={"fetch.class_names.cane": "dog"})
    assert all("-S +fetch.class_names.cane=dog" in command for command in outside.commands)


# --- what is refused before anything is run ----------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"settings": {"usual": {}, "small": {"batch_sise": 8}}},
            "base with setting small does not fit:\n  - batch_sise: unknown key; did you mean 'batch_size'?",
        ),
        (
            {"settings": {"usual": {}, "small": {"batch_size": 0.5}}},
            "the base with setting small does not fit:\n  - batch_size: expected a whole number, found 0.5",
        ),
        (
            {"base": {"lr": "high"}},
            "the base with setting usual does not fit:\n  - lr: expected a number, found 'high'",
        ),
        (
            {"base": {"train_baseline.x.y": 1}},
            "the base with setting usual does not fit:\n  - train_baseline.x.y: unknown key\n",
        ),
        ({"seeds": [0, 2**31]}, "does not fit:\n  - seeds.1: input should be less than 2147483648"),
        (
            {"settings": {"usual": {}, "same": {"batch_size": 128}}},
            "the settings usual and same are the same.",
        ),
        (
            {"settings": {"usual": {}, "idle": {"train_transfer.dropout": 0.9}}},
            "the settings usual and idle are the same.\n"
            "  expected: params that decide train_baseline, with other values\n"
            "  found:    train_transfer.dropout",
        ),
    ],
)
def test_what_does_not_fit_is_refused_at_once(
    run: Run, outside: Outside, file: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(PipelineError) as caught:
        run(**changes)
    assert message in str(caught.value)
    assert str(file) in str(caught.value)
    assert outside.commands == []
    assert not file.with_suffix("").exists()


def test_without_a_commit_there_are_no_experiments(
    run: Run, outside: Outside, project_folder: Workspace
) -> None:
    shutil.rmtree(project_folder.root / ".git")
    with pytest.raises(PipelineError, match="git init"):
        run()
    assert outside.commands == []


# --- what fails, and what costs ----------------------------------------------------------------------


def test_a_training_that_fails_is_a_result(run: Run, outside: Outside, file: Path) -> None:
    finish = outside.on_run

    def diverge_in_the_second(name: str) -> None:
        if len(outside.commands) == 2:
            outside.trainings += trained(name, ["baseline"], status="FAILED", failure="It diverged.")
        else:
            finish(name)

    outside.on_run = diverge_in_the_second
    outside.codes = iter([0, 255, 0, 0])
    assert run() == 0
    assert len(outside.commands) == 4
    assert "small, seed=0 has failed, which is a result: It diverged." in outside.said
    failed = next(row for row in results(file) if row["status"] == "failed")
    assert (failed["setting"], failed["seed"], failed["reason"]) == ("small", "0", "It diverged.")
    assert "failed: It diverged." in page(file)

    name = outside.names[1]
    outside.commands.clear()
    assert run() == 0
    assert outside.commands == []
    outside.on_run, outside.codes = finish, itertools.repeat(0)
    assert run(retry_failed=True) == 0
    assert outside.names == [name]
    assert {row["status"] for row in results(file)} == {"done"}


def test_what_fails_before_any_training_would_fail_with_all(run: Run, outside: Outside, file: Path) -> None:
    outside.on_run = lambda name: None
    outside.codes = itertools.repeat(255)
    assert run() == 255
    assert len(outside.commands) == 1
    assert "usual, seed=0 did not finish; run the same command to continue from there" in outside.said
    assert {row["status"] for row in results(file)} == {"open"}


def test_a_result_that_mlflow_gets_late_is_waited_for(
    run: Run, outside: Outside, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a busy machine; without it a training that has failed would end the study."""
    on_its_way: list[TrainingRun] = []
    calls = itertools.count(1)

    def bring_up_to_date(*arguments: object) -> str:
        if next(calls) % 3:
            return "another process is still delivering"
        outside.trainings += on_its_way
        on_its_way.clear()
        return ""

    monkeypatch.setattr(studies, "bring_up_to_date", bring_up_to_date)
    outside.on_run = lambda name: on_its_way.extend(trained(name, ["baseline"], status="FAILED"))
    outside.codes = itertools.repeat(255)
    assert run() == 0
    assert {row["status"] for row in results(file)} == {"failed"}


def test_a_training_that_was_killed_is_run_again(run: Run, outside: Outside) -> None:
    outside.on_run = lambda name: outside.trainings.extend(trained(name, ["baseline"], status="KILLED"))
    outside.codes = itertools.repeat(255)
    assert run() == 255
    run()
    assert outside.names[0] == outside.names[1]


def test_no_training_begins_after_the_budget(
    run: Run, outside: Outside, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    finish = outside.on_run

    def train_for_a_minute(name: str) -> None:
        clock[0] += 60
        finish(name)

    monkeypatch.setattr(studies, "monotonic", lambda: clock[0])
    outside.on_run = train_for_a_minute
    assert run(budget_minutes=1.5) == 0
    assert len(outside.commands) == 2
    assert "the budget of 1.5 minutes is spent; left for the next call: 2" in outside.said
    assert "not run yet" in page(file)
    assert run(budget_minutes=1.5) == 0
    assert len(outside.commands) == 4
    assert {row["status"] for row in results(file)} == {"done"}


def test_an_experiment_whose_run_mlflow_has_lost(
    run: Run, outside: Outside, project_folder: Workspace, file: Path
) -> None:
    run()
    name = outside.names[0]
    git(project_folder, "update-ref", f"refs/exps/{'a' * 2}/{'b' * 38}/{name}", "HEAD")
    outside.trainings.clear()
    outside.commands.clear()
    run()
    assert name not in outside.names
    assert any(f"'dvc exp remove {name}'" in line for line in outside.said)
    assert [row["status"] for row in results(file)] == ["open", "done", "done", "done"]


def test_what_was_restored_has_no_times(run: Run, outside: Outside, file: Path) -> None:
    metrics = {"duration_seconds": 0.1}
    outside.on_run = lambda name: outside.trainings.extend(
        trained(name, ["baseline"], restored=True, metrics=metrics)
    )
    run()
    assert {row["status"] for row in results(file)} == {"done"}
    assert {row["seconds"] for row in results(file)} == {""}


# --- what is printed and written ---------------------------------------------------------------------


def test_the_table_fits_into_80_columns(
    run: Run, outside: Outside, capsys: pytest.CaptureFixture[str]
) -> None:
    outside.codes = itertools.repeat(0)
    longest = "n" * 24
    run(settings={"usual": {}, longest: {"batch_size": 8}}, seeds=[0, 1, 2])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    (row,) = [line for line in lines if longest in line]
    assert "3/3" in row
    assert "61.0" in row
    assert "…" not in row


def test_results_stand_beside_the_file(run: Run, outside: Outside, file: Path) -> None:
    run()
    rows = results(file)
    assert [(row["setting"], row["seed"]) for row in rows] == [
        ("usual", "0"),
        ("usual", "1"),
        ("small", "0"),
        ("small", "1"),
    ]
    assert rows[0]["seconds"] == "61.0"
    assert rows[0]["parameters"] == "1234"
    assert {row["experiment"] for row in rows} == set(outside.names)
    assert "Which batch size?" in page(file)
    assert "AMD EPYC" in page(file)
    assert "keras 3.15" in page(file)
    assert sorted(path.name for path in file.with_suffix("").iterdir()) == ["page.html", "results.csv"]


# --- the studies of the project ----------------------------------------------------------------------


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_study_fits_params_yaml(project: Path, path: Path) -> None:
    """As it would have to before anything is run."""
    study = load_study(path)
    workspace = Workspace(root=project, home=project)
    with Store(workspace) as store:
        planned = studies._planned(study, path, NamedExperiments(workspace, store, study.candidate), {})
    assert len(planned) == len(study.settings) * len(study.seeds)
