"""What a reproduction has written against what dvc.lock says."""

import hashlib
import json
from pathlib import Path

from pipeline.commands.reproducing.locked_outputs import OutputCheck, compare_accuracies, compare_stage
from pipeline.repository.repository import Lock, StageLock
from pipeline.scoring.intervals import Interval
from tests.scoring.made_scores import made_scores


def lock(**stages: StageLock) -> Lock:
    return Lock("", stages)


def stage(
    inputs: dict[str, str] | None = None,
    params: dict[str, object] | None = None,
    outputs: dict[str, str] | None = None,
) -> StageLock:
    outputs = outputs or {"out": "1"}
    return StageLock(inputs or {}, params or {}, outputs, dict.fromkeys(outputs, 10))


def nothing_listed(path: str) -> None:
    return None


def test_equal_hashes_agree() -> None:
    same = lock(a=stage())
    check = compare_stage("a", same, same, Path(), nothing_listed, cached=False)
    assert check.outputs == (OutputCheck("out", 10, "agrees"),)
    assert check.agrees
    assert not check.unexplained


def test_what_dvc_took_from_the_cache_is_not_called_reproduced() -> None:
    same = lock(a=stage(params={"x": 1}))
    check = compare_stage("a", same, same, Path(), nothing_listed, cached=True)
    assert check.outputs == (OutputCheck("out", 10, "from cache"),)
    assert check.agrees
    # With other params or code, DVC has run it all the same.
    rerun = lock(a=stage(params={"x": 2}))
    check = compare_stage("a", same, rerun, Path(), nothing_listed, cached=True)
    assert check.outputs[0].verdict == "agrees"
    assert check.stale


def test_other_bytes_from_the_same_params_code_and_inputs_are_unexplained() -> None:
    old, new = lock(a=stage()), lock(a=stage(outputs={"out": "2"}))
    check = compare_stage("a", old, new, Path(), nothing_listed, cached=False)
    assert check.outputs[0].verdict == "differs"
    assert not check.agrees
    assert check.unexplained


def test_causes_are_told_apart() -> None:
    old = lock(
        a=stage(outputs={"data": "1", "gone": "1"}),
        b=stage(
            {"data/x.csv": "1", "pipeline/b.py": "1", "same": "1"}, {"lr": 1, "fit": {"epochs": 1, "seed": 0}}
        ),
    )
    new = lock(
        a=stage(outputs={"data": "2", "new": "1"}),
        b=stage(
            {"data/x.csv": "2", "pipeline/b.py": "2", "same": "1"},
            {"lr": 2, "fit": {"epochs": 3, "seed": 0}},
            {"out": "2"},
        ),
    )
    first = compare_stage("a", old, new, Path(), nothing_listed, cached=False)
    assert {output.path: output.verdict for output in first.outputs} == {
        "data": "differs",
        "gone": "not written",
        "new": "differs",
    }
    second = compare_stage("b", old, new, Path(), nothing_listed, cached=False)
    assert (second.params, second.code, second.inputs) == (
        ("fit.epochs", "lr"),
        ("pipeline/b.py",),
        ("data/x.csv",),
    )
    assert second.stale
    assert not second.unexplained


def test_differing_files_of_a_folder_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "out" / "sub"
    folder.mkdir(parents=True)
    for name in ("same", "changed", "new"):
        (folder / name).write_text(name)
    listed = {"sub/same": hashlib.md5(b"same").hexdigest(), "sub/changed": "0", "sub/gone": "0"}
    old, new = lock(a=stage()), lock(a=stage(outputs={"out": "2"}))
    check = compare_stage("a", old, new, tmp_path, lambda path: listed, cached=False)
    assert check.outputs[0].files == ("sub/changed", "sub/gone", "sub/new")
    # Where the old list is lost, which files differ cannot be told.
    assert compare_stage("a", old, new, tmp_path, nothing_listed, cached=False).outputs[0].files == ()


def test_accuracies_are_held_against_the_recorded_interval() -> None:
    def scores(accuracy: float) -> dict[str, float | int]:
        interval = Interval(accuracy - 0.05, accuracy + 0.05)
        return made_scores(100, accuracy=accuracy, accuracy_interval=interval).to_json()

    old = {"baseline": {"validation": scores(0.9), "test": scores(0.8)}, "tuned": {"test": scores(0.7)}}
    old["transfer"] = {"test": scores(0.9), "train": scores(0.9)}
    new = {"baseline": {"validation": scores(0.94), "test": scores(0.86)}, "transfer": {"test": scores(0.84)}}
    checks = compare_accuracies(json.dumps(old), json.dumps(new))
    assert [(check.candidate, check.subset, check.agrees) for check in checks] == [
        ("baseline", "validation", True),
        ("baseline", "test", False),
        ("transfer", "test", False),
    ]
    assert (checks[0].recorded, checks[0].reproduced) == (0.9, 0.94)
    assert compare_accuracies("", json.dumps(new)) == compare_accuracies("{", "") == []
    assert compare_accuracies(json.dumps({"baseline": {"test": {"accuracy": 0.9}}}), json.dumps(new)) == []
