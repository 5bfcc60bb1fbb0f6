"""What an executed run tells, and what is told of the same outputs where DVC took them from its run cache."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from pipeline import evaluate, train_baseline
from pipeline.foundation.digests import digest_file
from pipeline.foundation.files import read_json, write_json
from pipeline.foundation.workspace import CANDIDATES, Workspace
from pipeline.params.base import Section
from pipeline.recording.finished_stage import begin_run, record_stage
from pipeline.recording.restoring import restore
from pipeline.repository.dvc_hash import dvc_hash
from pipeline.repository.repository import Repository
from pipeline.repository.stage_outputs import TRAININGS, outputs_in_working_tree
from pipeline.tracking import tags
from pipeline.tracking.journal.delivery import deliver
from pipeline.tracking.journal.journal import pending_journals
from pipeline.tracking.journal.journal_tracker import JournalTracker
from pipeline.tracking.runs.matching import MissingRun
from pipeline.tracking.store import Store
from tests.evaluate_params import evaluate_params
from tests.training import tiny

EXPERIMENT = "tests"
TRAINING = train_baseline.Config(
    seed=0,
    threads=2,
    precision="float32",
    lr=0.05,
    batch_size=20,
    augmentation=tiny.augmentation(shift=0.1),
    train_baseline=tiny.baseline(network="small_cnn", epochs=2),
)
EVALUATION = evaluate.Config(
    seed=0, threads=2, evaluate=evaluate_params(batch_size=16, bootstrap_samples=100)
)
OF_AN_EXECUTION = {
    tags.PROCESSOR,
    tags.CPU_FLAGS,
    tags.NUMERIC_SETTINGS,
    tags.THREADS,
    tags.PYTHON,
    tags.TENSORFLOW,
    tags.KERAS,
    tags.NUMPY,
    "cores",
    "memory",
    tags.RUN_KEY,
    tags.START_EVENT,
    "mlflow.source.name",
}
OF_A_RESTORED_RUN = {tags.RESTORED, tags.RESTORED_FROM, tags.DVC_HASH}

# MLflow 3.17 uses what SQLAlchemy 2.1 will drop.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")


@dataclass(frozen=True)
class Told:
    """All that MLflow knows of a run."""

    params: dict[str, str]
    tags: dict[str, str]
    curves: dict[str, list[tuple[int, float]]]
    datasets: list[tuple[str, str, dict[str, int]]]
    files: dict[str, bytes]
    models: list[tuple[dict[str, str], dict[str, str], dict[str, float]]]


@dataclass(frozen=True)
class Project:
    workspace: Workspace
    store: Store

    def execute(self, stage: ModuleType, config: Section) -> str:
        """Run a stage as its process does; returns the id of its run."""
        name = stage.__name__.rpartition(".")[2]
        declared = config.model_dump(mode="json")
        with JournalTracker(self.workspace, name, EXPERIMENT, declared) as tracker:
            begin_run(tracker)
            stage.run(self.workspace, config, tracker)
            record_stage(tracker)
        return self._delivered(name)

    def restore(self, stage: str, original: str) -> str:
        """Record a run of what lies in the working tree; returns its id."""
        repository = Repository(self.workspace.root)
        outputs = outputs_in_working_tree(self.workspace, repository)
        done = restore(outputs, [MissingRun(stage, original)], EXPERIMENT, repository)
        assert done.failed == ()
        return self._delivered(stage)

    def _delivered(self, stage: str) -> str:
        for journal in pending_journals(self.workspace.journal):
            assert deliver(journal, self.store)
        run = self.store.find_run(EXPERIMENT, {tags.STAGE: stage})
        assert run is not None
        assert run.info.status == "FINISHED"
        return str(run.info.run_id)

    def told(self, run_id: str) -> Told:
        client = self.store.client
        run: Any = client.get_run(run_id)
        folder = Path(client.download_artifacts(run_id, ""))
        models: list[Any] = [client.get_logged_model(output.model_id) for output in run.outputs.model_outputs]
        return Told(
            params=run.data.params,
            tags=run.data.tags,
            curves={
                name: [(point.step, point.value) for point in client.get_metric_history(run_id, name)]
                for name in run.data.metrics
            },
            datasets=[
                (each.dataset.name, each.dataset.digest, json.loads(each.dataset.profile))
                for each in run.inputs.dataset_inputs
            ],
            files=tiny.files(folder),
            models=[
                (
                    {name: value for name, value in model.tags.items() if not name.startswith("mlflow.")},
                    model.params,
                    {metric.key: metric.value for metric in model.metrics},
                )
                for model in models
            ],
        )

    def lock(self, *stages: tuple[str, Section, list[Path]]) -> None:
        """Write a dvc.lock of what lies there, with params as people write them: 0 for 0.0."""
        root = self.workspace.root
        declared = YAML(typ="safe").load((root / "dvc.yaml").read_text())["stages"]
        entries = {
            name: {
                "cmd": f"python -m pipeline.{name}",
                "deps": [
                    {"path": path, "md5": dvc_hash(root / path)}
                    for path in declared[name]["deps"]
                    if not path.startswith("pipeline") and (root / path).exists()
                ],
                "params": {"params.yaml": _as_written(config.model_dump(mode="json"))},
                "outs": [
                    {"path": path.relative_to(root).as_posix(), "md5": dvc_hash(path)} for path in outputs
                ],
            }
            for name, config, outputs in stages
        }
        YAML().dump({"schema": "2.0", "stages": entries}, self.workspace.lock)


def _below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _as_written(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _as_written(each) for name, each in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() else value


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, project: Path) -> Iterator[Project]:
    """A project with tiny arrays, in git, and an empty store."""
    root = tmp_path_factory.mktemp("project")
    workspace = tiny.workspace_with_arrays(root)
    test = tiny.subset(18, 3)
    (workspace.subset("test")).mkdir()
    for name in ("images", "labels", "ids"):
        np.save(workspace.subset("test") / f"{name}.npy", getattr(test, name))
    write_json(workspace.split_metrics, {"train": 40, "validation": 15, "test": 18})
    write_json(
        workspace.source,
        {"dataset": "digits", "location": None, "fingerprint": "f", "images": 73},
    )
    shutil.copy(project / "dvc.yaml", root)
    params = YAML(typ="safe").load((project / "params.yaml").read_text(encoding="utf-8"))
    params |= TRAINING.model_dump(mode="json") | EVALUATION.model_dump(mode="json")
    YAML().dump(params, workspace.params)
    git = ["git", "-C", str(root), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "add", "dvc.yaml", "params.yaml"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--message", "a start"], check=True)
    with pytest.MonkeyPatch.context() as patched, Store(workspace) as store:
        patched.setattr(JournalTracker, "_start_delivery", lambda self, writer: None)
        yield Project(workspace, store)


@pytest.fixture(scope="module")
def told(made: Project) -> dict[str, Told]:
    """What was told of a training and of an evaluation, by stage, and by `restored <stage>`."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    workspace, found = made.workspace, {}
    data = ("preprocess", TRAINING, [workspace.source, workspace.split_metrics, *_below(workspace.arrays)])
    made.lock(data)
    training = made.execute(train_baseline, TRAINING)
    for candidate in set(CANDIDATES) - {"baseline"}:
        shutil.copytree(workspace.model("baseline"), workspace.model(candidate))
        card = workspace.card(candidate)
        network = workspace.network(candidate)
        network.write_bytes(network.read_bytes() + candidate.encode())  # a zip file ends where it says
        write_json(card, {**read_json(card), "candidate": candidate, "model_digest": digest_file(network)})
    trainings = [
        (stage, TRAINING, _below(workspace.model(candidate))) for stage, candidate in TRAININGS.items()
    ]
    made.lock(data, *trainings)
    evaluation = made.execute(evaluate, EVALUATION)
    tf.config.run_functions_eagerly(False)
    written = [
        workspace.best,
        *(path for path in _below(workspace.scores.parent) if path != workspace.split_metrics),
    ]
    made.lock(data, *trainings, ("evaluate", EVALUATION, written))
    found = {"train_baseline": made.told(training), "evaluate": made.told(evaluation)}
    for stage, original in (("train_baseline", training), ("evaluate", evaluation)):
        found[f"restored {stage}"] = made.told(made.restore(stage, original))
    return found


def test_an_executed_training_tells_all_of_it(told: dict[str, Told], made: Project) -> None:
    run, folder = told["train_baseline"], made.workspace.model("baseline")
    card = read_json(folder / "card.json")
    scores = read_json(made.workspace.scores)["baseline"]
    assert run.params["train_baseline.network"] == "small_cnn"
    assert [step for step, _ in run.curves["val_accuracy"]] == [1, 2]
    assert run.curves["parameters"] == [(0, card["parameters"]["total"])]
    assert run.curves["test_accuracy"] == [(0, scores["test"]["accuracy"])]
    assert (run.tags[tags.NETWORK], run.tags[tags.CANDIDATE]) == ("small_cnn", "baseline")
    assert run.tags[tags.MODEL_DIGEST] == card["model_digest"]
    assert [sizes for _, _, sizes in run.datasets] == [{"train": 40, "validation": 15}]
    assert set(run.files) == {
        "system.json",
        "card.json",
        "history.csv",
        "evaluation/classification_report.txt",
        "evaluation/confusion_matrix.csv",
        "evaluation/confusion_matrix_baseline.png",
        "evaluation/heatmaps_baseline.png",
    }
    assert run.files["evaluation/confusion_matrix.csv"].startswith(
        b"actual \\ predicted,dark,bright,striped\n"
    )
    ((model_tags, params, metrics),) = run.models
    assert model_tags[tags.MODEL_DIGEST] == card["model_digest"]
    assert (params, metrics["test_accuracy"]) == (run.params, scores["test"]["accuracy"])


def test_an_executed_evaluation_tells_all_of_it(told: dict[str, Told], made: Project) -> None:
    run, scores = told["evaluate"], read_json(made.workspace.scores)
    assert run.params["evaluate.bootstrap_samples"] == "100"
    assert run.tags[tags.BEST_CANDIDATE] == read_json(made.workspace.best)["candidate"]
    assert run.tags[f"{tags.MODEL_DIGEST}.tuned"] == digest_file(made.workspace.network("tuned"))
    for candidate in CANDIDATES:
        assert run.curves[f"{candidate}/test_ece"] == [(0, scores[candidate]["test"]["ece"])]
    assert [sizes for _, _, sizes in run.datasets] == [{"validation": 15, "test": 18}]
    tables = {"evaluate.json", "per_class.csv", "comparisons.json", "references.json"}
    pictures = {
        f"evaluation/{what}_{name}.png" for what in ("confusion_matrix", "heatmaps") for name in CANDIDATES
    }
    assert set(run.files) == {"system.json"} | tables | pictures
    assert run.files["comparisons.json"] == made.workspace.comparisons.read_bytes()
    of_training = told["train_baseline"].files["evaluation/heatmaps_baseline.png"]
    assert run.files["evaluation/heatmaps_baseline.png"] == of_training


@pytest.mark.parametrize("stage", ["train_baseline", "evaluate"])
def test_a_restored_run_tells_the_same(stage: str, told: dict[str, Told]) -> None:
    executed, restored = told[stage], told[f"restored {stage}"]
    assert restored.params == executed.params
    assert restored.datasets == executed.datasets
    assert set(executed.curves) - set(restored.curves) <= {"duration_seconds", "images_per_second"}
    for name, points in restored.curves.items():
        assert points == [pytest.approx(point) for point in executed.curves[name]], name
    assert restored.files == {path: text for path, text in executed.files.items() if path != "system.json"}
    assert set(executed.tags) - set(restored.tags) <= OF_AN_EXECUTION
    assert set(restored.tags) - set(executed.tags) == OF_A_RESTORED_RUN
    for name in set(restored.tags) & set(executed.tags) - OF_AN_EXECUTION:
        assert restored.tags[name] == executed.tags[name], name
    assert len(restored.models) == len(executed.models)
    for model, original in zip(restored.models, executed.models, strict=True):
        assert {name: model[0][name] for name in original[0]} == original[0]
        assert model[1] == original[1]
        assert model[2]["test_accuracy"] == original[2]["test_accuracy"]
