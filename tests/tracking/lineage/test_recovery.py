"""The commands that bring a model back, in each of the cases that a person may be in."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.repository.repository import Repository
from pipeline.tracking.lineage.recovery import ChangedParam, Recipe, changed_params, find_recovery
from tests.repository.test_repository import commit, git, make_experiment

HASH = "0123456789abcdef0123456789abcdef.dir"
LOCK = (
    "schema: '2.0'\nstages:\n  train_baseline:\n    cmd: x\n    outs:\n    - path: models/baseline\n"
    f"      hash: md5\n      md5: {HASH}\n      size: 1\n"
)
PARAMS = "lr: 0.2\ntrain: {widths: [32, 64], patience: null, flip: false}\nnames: {}\ntitle: 'a: b'\n"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    (tmp_path / "params.yaml").write_text(PARAMS)
    commit(tmp_path, "first")
    return Repository(tmp_path)


@pytest.fixture
def recipe(repository: Repository) -> Recipe:
    """Of a clean run on HEAD, whose model is neither in a commit nor in an experiment."""
    head = repository.head() or ""
    return Recipe("train_baseline", "models/baseline", HASH, "", head, head, (), ())


def having(monkeypatch: pytest.MonkeyPatch, cached: bool, remote: str | None = None) -> None:
    monkeypatch.setattr(Repository, "cached", lambda self, revision, path: cached)
    monkeypatch.setattr(Repository, "remote", lambda self: remote)


# params


def test_params_that_mean_the_same_have_not_changed() -> None:
    recorded = {"lr": "2e-1", "train.widths": "[32, 64]", "train.patience": "null", "train.flip": "False"}
    assert changed_params({**recorded, "names": "{}", "title": "a: b"}, PARAMS, complete=True) == []


def test_changed_new_and_missing_params() -> None:
    recorded = {
        "lr": "0.1",
        "train.widths": "[8]",
        "train.patience": "3",
        "names.cane": "dog",
        "title": "a: b",
    }
    changed = changed_params(recorded, PARAMS, complete=True)
    assert changed == [
        ChangedParam("lr", "0.1", "0.2"),
        ChangedParam("train.widths", "[8]", "[32, 64]"),
        ChangedParam("train.patience", "3", "null"),
        ChangedParam("names.cane", "dog", None),
        ChangedParam("train.flip", None, "False"),
    ]
    assert [str(each) for each in changed] == [
        "lr=0.1 (0.2)",
        "train.widths=[8] ([32, 64])",
        "train.patience=3 (null)",
        "names.cane=dog (new)",
        "train.flip absent (false)",
    ]
    assert [each.override for each in changed] == [
        "lr=0.1",
        "train.widths=[8]",
        "train.patience=3",
        "+names.cane=dog",
        "~train.flip",
    ]


def test_params_of_one_stage_do_not_miss_those_of_others() -> None:
    assert changed_params({"lr": "0.1"}, PARAMS, complete=False) == [ChangedParam("lr", "0.1", "0.2")]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("True", "true"),
        ("null", "null"),
        ("1e-05", "1e-05"),
        ("fast_cnn", "fast_cnn"),
        ("../images", "../images"),
        ("Signs: a, b", "'Signs: a, b'"),
    ],
)
def test_values_are_written_as_dvc_takes_them(value: str, written: str) -> None:
    assert ChangedParam("key", value, "old").override == f"key={written}"


# the way back


def test_an_experiment_that_is_there_is_applied(
    repository: Repository, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    having(monkeypatch, cached=True)
    make_experiment(repository, "muddy-ant", LOCK)
    recovery = find_recovery(repository, replace(recipe, experiment="muddy-ant"))
    assert recovery.commands == ("dvc exp apply muddy-ant",)


def test_of_two_experiments_with_one_name_the_commit_is_named(
    repository: Repository, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    having(monkeypatch, cached=True)
    first = make_experiment(repository, "muddy-ant", LOCK)
    commit(repository.folder, "second")
    second = make_experiment(repository, "muddy-ant", LOCK)
    for own in (first, second):
        recovery = find_recovery(repository, replace(recipe, experiment="muddy-ant", baseline=own.baseline))
        assert recovery.commands == (f"dvc exp apply {own.commit[:7]}",)


def test_an_experiment_whose_bytes_are_elsewhere_is_checked_out(
    repository: Repository, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = make_experiment(repository, "muddy-ant", LOCK)
    checkout = f"git checkout {experiment.commit[:10]}"
    having(monkeypatch, cached=False, remote="store")
    recovery = find_recovery(repository, replace(recipe, experiment="muddy-ant"))
    assert recovery.commands == (checkout, "dvc pull train_baseline")
    having(monkeypatch, cached=False)
    recovery = find_recovery(repository, replace(recipe, experiment="muddy-ant"))
    assert recovery.commands == (checkout, "dvc repro train_baseline")


def test_an_experiment_that_was_run_anew_under_its_name_is_another(
    repository: Repository, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    having(monkeypatch, cached=True)
    make_experiment(repository, "muddy-ant", LOCK.replace(HASH, "another.dir"))
    recovery = find_recovery(repository, replace(recipe, experiment="muddy-ant"))
    assert not any("apply" in command for command in recovery.commands)


def test_a_commit_that_has_the_model_is_checked_out(
    repository: Repository, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repository.folder / "dvc.lock").write_text(LOCK)
    made = commit(repository.folder, "results")
    # Whatever the code was: the commit has the bytes.
    unclean = replace(recipe, changes=("pipeline/tune.py",))
    having(monkeypatch, cached=True)
    assert find_recovery(repository, unclean).commands == (f"git checkout {made[:10]}", "dvc checkout")
    having(monkeypatch, cached=False, remote="store")
    pulled = find_recovery(repository, unclean)
    assert pulled.commands == (f"git checkout {made[:10]}", "dvc pull train_baseline")
    assert "remote store" in pulled.reason


def test_else_it_is_trained_again_from_a_clean_commit(repository: Repository, recipe: Recipe) -> None:
    recovery = find_recovery(repository, recipe)
    head = f"git checkout {recipe.commit[:10]}"
    assert recovery.commands == (head, "dvc repro train_baseline")
    changed = (ChangedParam("lr", "0.1", "0.2"), ChangedParam("train.widths", "[8, 8]", "[32, 64]"))
    recovery = find_recovery(repository, replace(recipe, changes=("params.yaml",), changed_params=changed))
    command = "dvc exp run -S lr=0.1 -S 'train.widths=[8,8]' train_baseline"
    assert recovery.commands == (head, command)
    # Where params.yaml was the commit's own, nothing else has to be known of it.
    recovery = find_recovery(repository, replace(recipe, changed_params=None))
    assert recovery.commands == (head, "dvc repro train_baseline")


@pytest.mark.parametrize(
    ("unknown", "why"),
    [
        ({"commit": ""}, "outside of a git repository"),
        ({"commit": "f" * 40}, "nor commit ffffffffff"),
        ({"changes": None}, "is not known"),
        ({"changes": ("params.yaml", "pipeline/tune.py")}, "uncommitted changes .*: pipeline/tune.py"),
        ({"changes": ("params.yaml",), "changed_params": None}, "not recorded in full"),
    ],
)
def test_else_it_says_why_it_cannot_be_brought_back(
    repository: Repository, recipe: Recipe, unknown: dict[str, Any], why: str
) -> None:
    recovery = find_recovery(repository, replace(recipe, **unknown))
    assert recovery.commands == ()
    assert re.search(why, recovery.reason)
