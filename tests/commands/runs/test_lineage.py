"""What `python -m pipeline lineage` prints."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from pipeline.commands.runs.lineage import show_lineage
from pipeline.repository.repository import Experiment
from pipeline.tracking.lineage.recovery import ChangedParam, Recovery
from pipeline.tracking.lineage.values import (
    Lineage,
    ModelLineage,
    RegisteredVersion,
    RelatedRun,
    RelatedVersion,
    RevisionLineage,
    RunSummary,
)

Print = Callable[..., str]
RUN = RunSummary(
    run_id="1fd64358cc43490288d7dd5c6b655ff1",
    name="baseline",
    stage="train_baseline",
    candidate="baseline",
    status="FINISHED",
    started="2026-11-20 12:37:04",
    seconds=12.3,
    model_digest="d" * 64,
    test_accuracy=0.9916,
    restored=False,
    restored_from="",
)
MODEL = ModelLineage(
    model_digest="d" * 64,
    candidate="baseline",
    network="fast_cnn",
    stage="train_baseline",
    run=RUN,
    same_model=(replace(RUN, run_id="2" * 32, restored=True),),
    parent_run=replace(RUN, run_id="3" * 32, name="muddy-ant"),
    params={"lr": "0.1", "seed": "0"},
    changed_params=(ChangedParam("lr", "0.1", "0.2"),),
    params_commit="b" * 40,
    git_commit="b" * 40,
    git_title="bbbbbbb a change (2026-11-20)",
    git_changes=("params.yaml",),
    experiment=Experiment("muddy-ant", "b" * 40, "c" * 40),
    dvc_hash="e6b1.dir",
    data_digest="6f9d",
    inputs={"data/arrays/train": "08aa.dir"},
    data_source={"dataset": "digits", "location": None, "fingerprint": "0b7e"},
    environment_digest="3184",
    versions={"python": "3.11.7", "keras": "3.15.1"},
    machine={"processor": "AMD EPYC", "threads": "2", "cpu_flags": "avx fma"},
    scores={"test_accuracy": 0.9916, "test_accuracy_low": 0.98, "test_accuracy_high": 1.0, "test_ece": 0.01},
    registered=(RegisteredVersion("digits", 3, ("champion",), RUN.run_id),),
    recovery=Recovery(("git checkout " + "b" * 10, "dvc exp run -S " + "lr=0.1 " * 20), "the reason"),
)
VERSION = RegisteredVersion("digits", 3, (), RUN.run_id)
REVISION = RevisionLineage(
    subject="commit bbbbbbb a change (2026-11-20)",
    commit="b" * 40,
    experiments=(Experiment("muddy-ant", "a" * 40, "b" * 40),),
    models={"models/baseline": "e6b1.dir"},
    runs=(RelatedRun(RUN, ("it ran in the experiment muddy-ant", "its commit is this one")),),
    trials=6,
    registered=(RelatedVersion(VERSION, "it is the model of run 1fd64358"),),
)


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Print:
    """Prints a lineage and returns the text."""

    def show(lineage: Lineage, as_json: bool = False) -> str:
        show_lineage(lineage, as_json)
        return capsys.readouterr().out

    return show


def beside(text: str, label: str) -> list[str]:
    """The lines beside a label."""
    lines = text.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"{label:<14}"))
    found = [lines[start][14:]]
    for line in lines[start + 1 :]:
        if line.strip() == "" or not line.startswith(" "):
            break
        found.append(line.strip())
    return found


def test_the_whole_chain_behind_a_model(printed: Print) -> None:
    text = printed(MODEL)
    assert beside(text, "model") == ["d" * 64]
    assert beside(text, "candidate") == ["baseline, network fast_cnn, made by the stage train_baseline"]
    assert beside(text, "run") == [
        f"{RUN.run_id} baseline, FINISHED (2026-11-20 12:37:04 UTC, 12 s)",
        f"same bytes restored by run {'2' * 32} (2026-11-20 12:37:04)",
    ]
    assert beside(text, "parent run") == [f"{'3' * 32} muddy-ant"]
    assert beside(text, "params")[0] == "lr=0.1 (0.2)"
    assert beside(text, "code") == [
        "commit bbbbbbb a change (2026-11-20)",
        "with uncommitted changes in params.yaml",
    ]
    assert beside(text, "experiment") == ["muddy-ant, commit ccccccc, on top of bbbbbbb"]
    assert beside(text, "DVC's hash") == ["e6b1.dir (of the folder, in dvc.lock)"]
    assert beside(text, "data") == [
        "6f9d (arrays)",
        "digits from the data set's own source",
        "fingerprint 0b7e",
        "data/arrays/train  08aa.dir",
    ]
    assert beside(text, "environment") == ["3184 (requirements.lock)", "python 3.11.7, keras 3.15.1"]
    assert beside(text, "machine") == ["AMD EPYC, 2 threads (avx fma)"]
    assert beside(text, "scores") == ["test accuracy 0.9916 [0.9800, 1.0000], ECE 0.0100"]
    assert beside(text, "registered") == ["digits version 3 (champion)"]


def test_commands_are_whole_lines_to_copy_and_all_else_fits(printed: Print) -> None:
    lines = printed(MODEL).splitlines()
    assert [line.strip() for line in lines[-2:]] == [command.strip() for command in MODEL.recovery.commands]
    assert lines[-3] == "To bring it back (the reason):"
    assert all(len(line) <= 100 for line in lines[:-1])


def test_what_is_not_known_is_said(printed: Print) -> None:
    text = printed(
        replace(
            MODEL,
            run=None,
            same_model=(),
            changed_params=None,
            params={},
            git_changes=None,
            scores={},
            registered=(),
            recovery=Recovery((), "nothing has it"),
        )
    )
    assert beside(text, "run") == ["MLflow no longer has it; this is what the model version repeats of it"]
    assert beside(text, "params") == ["not recorded in full: the run of the whole experiment is missing"]
    assert beside(text, "code")[1] == "whether there were uncommitted changes, or which, is not known"
    assert beside(text, "scores") == ["not evaluated"]
    assert beside(text, "registered") == ["no"]
    assert text.splitlines()[-1] == "No command brings it back: nothing has it."


def test_a_restored_run_names_the_one_that_executed(printed: Print) -> None:
    text = printed(replace(MODEL, run=replace(RUN, restored=True, restored_from="9" * 32), same_model=()))
    assert beside(text, "run")[1] == f"nothing was executed: DVC restored what run {'9' * 32} had made"


def test_of_many_runs_with_the_same_bytes_a_few_are_named(printed: Print) -> None:
    many = tuple(replace(RUN, run_id=str(number) * 32) for number in range(5))
    lines = beside(printed(replace(MODEL, same_model=many)), "run")
    assert [line.split()[-3][0] for line in lines[1:4]] == ["0", "1", "2"]
    assert lines[4:] == ["and by 2 more runs: see --json"]


def test_what_a_revision_has_made_and_why(printed: Print) -> None:
    text = printed(REVISION)
    assert beside(text, "what") == ["commit bbbbbbb a change (2026-11-20)"]
    assert beside(text, "models") == ["models/baseline  e6b1.dir"]
    assert beside(text, "registered") == ["digits version 3: it is the model of run 1fd64358"]
    (row,) = [line for line in text.splitlines() if line.strip().startswith("1fd64358")]
    assert row.split()[:6] == ["1fd64358", "baseline", "FINISHED", "2026-11-20", "12:37", "99.16"]
    assert "it ran in the experiment muddy-ant" in row
    assert "and 6 trials of searches" in text
    assert all(len(line) <= 100 for line in text.splitlines())


def test_a_revision_without_runs(printed: Print) -> None:
    assert "MLflow has no runs of it." in printed(replace(REVISION, runs=(), trials=0))


@pytest.mark.parametrize("lineage", [MODEL, REVISION])
def test_json_has_everything(printed: Print, lineage: Lineage) -> None:
    values = json.loads(printed(lineage, as_json=True))
    assert values.keys() == lineage.__dataclass_fields__.keys()
    if lineage is MODEL:
        assert values["recovery"]["commands"] == list(MODEL.recovery.commands)
        assert values["params"] == MODEL.params
        assert values["experiment"]["commit"] == "c" * 40
