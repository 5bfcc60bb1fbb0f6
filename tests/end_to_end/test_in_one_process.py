"""All stages one after the other, without DVC: the quick proof that they fit together."""

import csv
import importlib
import shutil
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from pipeline.foundation.files import read_json
from pipeline.foundation.tracker import SilentTracker
from pipeline.foundation.workspace import CANDIDATES, SUBSETS, Workspace
from pipeline.params.whole import parse_params, select

STAGES = (
    "fetch",
    "split",
    "preprocess",
    "train_baseline",
    "train_transfer",
    "tune",
    "evaluate",
    "report",
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, small_params: dict[str, Any]) -> Workspace:
    """A workspace in which every stage has run."""
    folder = tmp_path_factory.mktemp("one_process")
    workspace = Workspace(root=folder, home=folder)
    for name in STAGES:
        run_stage(name, workspace, small_params)
    return workspace


def run_stage(name: str, workspace: Workspace, values: dict[str, Any]) -> None:
    stage = importlib.import_module(f"pipeline.{name}")
    stage.run(workspace, select(parse_params(values), stage.Config), SilentTracker())


def test_every_image_is_in_one_subset(finished: Workspace) -> None:
    with finished.split.open(encoding="utf-8", newline="") as file:
        subsets = [row["subset"] for row in csv.DictReader(file)]
    # 120 images; a fifth for test, a fifth of the other 96 (rounded per class) for validation.
    assert len(subsets) == 120
    assert subsets.count("test") == 24
    counts = read_json(finished.split_metrics)
    assert {subset: subsets.count(subset) for subset in SUBSETS} == {
        subset: counts[subset] for subset in SUBSETS
    }


def test_every_candidate_is_trained_and_scored(finished: Workspace) -> None:
    scores = read_json(finished.scores)
    assert set(scores) == set(CANDIDATES)
    for candidate in CANDIDATES:
        assert set(scores[candidate]) == {"validation", "test"}
        assert scores[candidate]["test"]["images"] == 24
        assert read_json(finished.model(candidate) / "card.json")["candidate"] == candidate


def test_the_best_candidate_is_best_on_validation(finished: Workspace) -> None:
    scores = read_json(finished.scores)
    best = read_json(finished.best)["candidate"]
    assert scores[best]["validation"]["accuracy"] == max(
        scores[name]["validation"]["accuracy"] for name in CANDIDATES
    )


def test_the_report_is_one_page_that_names_every_candidate(finished: Workspace) -> None:
    page = (finished.report / "index.html").read_text(encoding="utf-8")
    assert all(candidate in page for candidate in CANDIDATES)
    assert str(finished.root) not in page


# train_transfer and tune read the same arrays as train_baseline, in the same way.
@pytest.mark.parametrize("name", ["split", "preprocess", "train_baseline", "evaluate", "report"])
def test_a_stage_needs_no_file_that_dvc_does_not_watch(
    finished: Workspace, name: str, project: Path, small_params: dict[str, Any], tmp_path: Path
) -> None:
    stage = YAML(typ="safe").load((project / "dvc.yaml").read_text(encoding="utf-8"))["stages"][name]
    bare = Workspace(root=tmp_path, home=tmp_path)
    for dependency in (path for path in stage["deps"] if not path.startswith("pipeline")):
        source, target = finished.root / dependency, bare.root / dependency
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy(source, target)

    run_stage(name, bare, small_params)

    entries = [*stage["outs"], *stage.get("metrics", [])]
    for out in (next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries):
        assert (bare.root / out).exists(), out
