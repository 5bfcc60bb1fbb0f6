"""A study of digits with real DVC and MLflow: killed in the middle, gone on with, and not run again."""

import csv
import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.end_to_end.clones import Clone, copied
from tests.end_to_end.processes import kill_processes_below

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

STUDY = [sys.executable, "-m", "pipeline", "study", "studies/digits_study.yaml"]
STARTED = "train_baseline: started"


@pytest.fixture
def clone(pristine: Clone, tmp_path: Path) -> Clone:
    """A project in which nothing was run: a study needs nothing of the workspace."""
    return copied(pristine, tmp_path)


def results(clone: Clone) -> list[dict[str, str]]:
    text = (clone.folder / "studies" / "digits_study" / "results.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def files(clone: Clone) -> str:
    """What git sees of the workspace but for studies/."""
    return clone.run("git", "status", "--porcelain", "--", ":!studies")


def test_a_study_is_killed_goes_on_and_is_not_run_again(clone: Clone) -> None:
    shutil.copy(Path(__file__).with_name("digits_study.yaml"), clone.folder / "studies")
    before = files(clone)
    process = clone.start(*STUDY)
    assert process.stdout is not None
    output = []
    for line in process.stdout:
        output.append(line)
        if "".join(output).count(STARTED) == 3:
            kill_processes_below(clone.folder)
            break
    process.stdout.close()
    process.wait()
    assert "".join(output).count(STARTED) == 3, "".join(output)[-5000:]
    assert [row["status"] for row in results(clone)] == ["done", "open", "done", "open"]

    resumed = clone.run(*STUDY)
    assert "4 trainings of baseline, 2 of them known already" in resumed
    assert resumed.count(STARTED) == 2
    assert files(clone) == before
    rows = results(clone)
    assert [(row["setting"], row["seed"]) for row in rows] == [
        ("usual", "0"),
        ("usual", "1"),
        ("small", "0"),
        ("small", "1"),
    ]
    assert {row["status"] for row in rows} == {"done"}
    assert all(float(row["seconds"]) > 0 for row in rows)
    assert len({row["experiment"] for row in rows}) == 4
    named = clone.run("git", "for-each-ref", "--format=%(refname:lstrip=4)", "refs/exps").split()
    assert {row["experiment"] for row in rows} == {name for name in named if name.startswith("baseline-")}
    page = (clone.folder / "studies" / "digits_study" / "page.html").read_text(encoding="utf-8")
    assert "Batch size on digits" in page
    for row in rows:
        assert f"{100 * float(row['validation_accuracy']):.2f}" in page
    assert str(clone.folder) not in page

    # The accuracies are those that the trainings themselves have told, and no test image was looked at.
    told = [float(value) for value in re.findall(r"baseline: .* validation accuracy ([0-9.]+)", resumed)]
    assert told == [
        pytest.approx(float(row["validation_accuracy"]), abs=1e-4) for row in rows if row["seed"] == "1"
    ]
    assert "evaluate: started" not in "".join(output) + resumed

    again = clone.run(*STUDY)
    assert "4 trainings of baseline, 4 of them known already" in again
    assert "$ dvc" not in again
    assert results(clone) == rows


def test_a_training_that_diverges_is_a_result(clone: Clone) -> None:
    text = Path(__file__).with_name("digits_study.yaml").read_text(encoding="utf-8")
    # Far beyond any sensible rate, without the normalization's rescue: the loss overflows in the first epoch.
    text = text.replace("    batch_size: 8\n", "    lr: 1.0e+30\n")
    (clone.folder / "studies" / "digits_study.yaml").write_text(text, encoding="utf-8")
    output = clone.run(*STUDY)
    rows = {(row["setting"], row["seed"]): row for row in results(clone)}
    assert [rows["usual", seed]["status"] for seed in "01"] == ["done", "done"]
    assert [rows["small", seed]["status"] for seed in "01"] == ["failed", "failed"]
    assert "is no longer finite" in rows["small", "0"]["reason"]
    assert output.count("which is a result: ") == 2
    again = clone.run(*STUDY)
    assert "4 of them known already" in again
    assert "$ dvc" not in again
