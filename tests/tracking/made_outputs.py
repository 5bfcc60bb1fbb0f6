"""Outputs of stages, as an experiment's commit or the working tree holds them, made by hand."""

import json
import tempfile
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML

from pipeline.foundation.declarations import is_within
from pipeline.foundation.digests import digest_bytes
from pipeline.foundation.workspace import CANDIDATES, Workspace
from pipeline.repository.dvc_hash import dvc_hash
from pipeline.repository.repository import Lock, StageLock
from pipeline.repository.stage_outputs import TRAININGS, StageOutputs
from pipeline.scoring.explanations import Explanations
from pipeline.scoring.predictions import Predictions, save_predictions
from tests.scoring.made_scores import made_scores

BASELINE, COMMIT = "b" * 40, "c" * 40
CLASSES = ["cat", "dog"]
PARAMS: dict[str, Any] = {"seed": 0, "lr": 0.1, "evaluate": {"top_k": 1}, "tracking": {"experiment": "tests"}}
HISTORY = """phase,epoch,loss,accuracy,val_loss,val_accuracy,learning_rate
train,1,1.5,0.25,1.25,0.5,0.01
train,2,0.75,0.5,0.625,0.75,0.02
"""
SCORES = {
    "validation": made_scores(4, accuracy=0.75).to_json(),
    "test": made_scores(4, accuracy=0.5, ece=0.125).to_json(),
}
TEST_PROBABILITIES = [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]]
TEST_LABELS = [0, 1, 1, 0]
"""Right, right, a dog taken for a cat, a cat taken for a dog."""
ROWS = np.arange(4)


def model_digest(candidate: str, generation: int = 0) -> str:
    """Of the network that `files_of` makes for a candidate."""
    return digest_bytes(network_of(candidate, generation))


def network_of(candidate: str, generation: int) -> bytes:
    return f"weights of {candidate}, {generation}".encode()


def hyperparameters_of(candidate: str, params: Mapping[str, Any] = PARAMS) -> dict[str, Any]:
    """What a candidate's card and run say it was trained with."""
    return {"seed": params["seed"], "lr": params["lr"], "network": {"of": candidate}}


def files_of(generation: int = 0, params: Mapping[str, Any] = PARAMS) -> dict[str, bytes]:
    """All that the recorded stages have written, by path; another generation has other models."""
    files = {
        "metrics/split.json": b'{"train": 8, "validation": 4, "test": 4}',
        "metrics/evaluate.json": json.dumps(dict.fromkeys(CANDIDATES, SCORES)).encode(),
        "metrics/per_class.csv": b"candidate,subset\n",
        "metrics/comparisons.json": b"[]",
        "metrics/references.json": json.dumps({"generation": generation}).encode(),
        "models/best.json": b'{"candidate": "transfer"}',
        "data/fetched/source.json": b'{"dataset": "digits", "location": null, "fingerprint": "f1"}',
    }
    for candidate in CANDIDATES:
        card = {
            "candidate": candidate,
            "network": "fast_cnn",
            "model_digest": model_digest(candidate, generation),
            "data_digest": "d" * 64,
            "preprocessing": {"image_size": 8, "resize": "pad", "color": "rgb", "classes": CLASSES},
            "hyperparameters": hyperparameters_of(candidate, params),
            "parameters": {"total": 1000, "trainable": 1000, "frozen": 0},
            "forward_macs": 5000,
        }
        files[f"models/{candidate}/model.keras"] = network_of(candidate, generation)
        files[f"models/{candidate}/history.csv"] = HISTORY.encode()
        files[f"models/{candidate}/card.json"] = json.dumps(card).encode()
        files[f"metrics/predictions/{candidate}.npz"] = _predictions()
        files[f"metrics/explanations/{candidate}.npz"] = _explanations()
    files["models/tuned/trials.csv"] = b"trial,status\n0,completed\n"
    for subset in ("validation", "test"):
        arrays = {"images": np.zeros((4, 8, 8, 3), np.uint8), "labels": np.array(TEST_LABELS), "ids": ROWS}
        for name, array in arrays.items():
            files[f"data/arrays/{subset}/{name}.npy"] = _saved(partial(np.save, arr=array))
    return files


def _predictions() -> bytes:
    probabilities = np.array(TEST_PROBABILITIES, dtype=np.float32)
    subset = Predictions(probabilities, np.array(TEST_LABELS), ROWS)
    return _saved(lambda path: save_predictions(path, {"validation": subset, "test": subset}))


def _explanations() -> bytes:
    nothing = np.zeros((0, 2), np.float32)
    explanations = Explanations(
        rows=ROWS,
        heatmaps=np.ones((4, 2, 2), np.float32),
        heatmap_method="hires_cam",
        heatmap_layer="conv",
        feature_rows=ROWS[:0],
        feature_maps={},
        feature_channels={},
        filters=None,
        map_rows=ROWS[:0],
        pca=nothing,
        tsne=nothing,
        explained_variance=np.zeros(2, np.float32),
    )
    return _saved(explanations.save)


def _saved(save: Callable[[Path], object]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "array.npy"
        save(path)
        return path.read_bytes()


def lock_of(generation: int = 0, params: Mapping[str, Any] = PARAMS) -> Lock:
    """A dvc.lock in which every recorded stage has made the outputs of a generation."""
    models = {f"models/{candidate}": f"{candidate}-{generation}.dir" for candidate in CANDIDATES}
    stages = {
        stage: StageLock(
            inputs={"data/arrays/train": "arrays.dir"},
            params={"seed": params["seed"], "lr": params["lr"]},
            outputs={f"models/{candidate}": models[f"models/{candidate}"]},
            sizes={},
        )
        for stage, candidate in TRAININGS.items()
    }
    stages["evaluate"] = StageLock(
        inputs=models,
        params={"seed": params["seed"], "evaluate": params["evaluate"]},
        outputs={"metrics/predictions": f"predictions-{generation}.dir"},
        sizes={},
    )
    return Lock("", stages)


def write_project(folder: Path, params: Mapping[str, Any], generation: int) -> None:
    """Write what the stages have made of params, with a params.yaml and a dvc.lock that fit.

    Predictions and arrays are left out, so that nobody draws pictures of them.
    """
    YAML().dump(dict(params), folder / "params.yaml")
    for path, content in files_of(generation, params).items():
        if path.endswith((".npz", ".npy")):
            continue
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    stages: dict[str, Any] = {
        stage: {
            "cmd": f"python -m pipeline.{stage}",
            "deps": [{"path": path, "md5": _hash_in(folder, path)} for path in entry.inputs],
            "params": {"params.yaml": dict(entry.params)},
            "outs": [{"path": path, "md5": _hash_in(folder, path)} for path in entry.outputs],
        }
        for stage, entry in lock_of(generation, params).stages.items()
    }
    stages["evaluate"]["outs"] += [
        {"path": path, "md5": _hash_in(folder, path)}
        for path in ("metrics/evaluate.json", "metrics/references.json", "models/best.json")
    ]
    YAML().dump({"schema": "2.0", "stages": stages}, folder / "dvc.lock")


def _hash_in(folder: Path, path: str) -> str:
    return dvc_hash(folder / path) if (folder / path).exists() else "0" * 32


def outputs_of(
    workspace: Workspace,
    *,
    experiment: str = "muddy-ant",
    generation: int = 1,
    base: int = 0,
    params: Mapping[str, Any] = PARAMS,
    gone: Collection[str] = (),
) -> StageOutputs:
    """What an experiment holds; without a name, the working tree.

    `base` is the baseline's generation; of what begins with a path in `gone`, DVC has nothing any more.
    """
    files = files_of(generation, params)
    scratch = workspace.root / ".copies"
    scratch.mkdir(exist_ok=True)

    def find(path: Path) -> Path | None:
        name = path.relative_to(workspace.root).as_posix()
        found = {file: content for file, content in files.items() if is_within(file, name)}
        if not found or any(file.startswith(start) for file in found for start in gone):
            return None
        folder = Path(tempfile.mkdtemp(dir=scratch))
        for file, content in found.items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_bytes(content)
        return folder / name

    return StageOutputs(
        workspace=workspace,
        experiment=experiment,
        baseline=BASELINE,
        commit=COMMIT if experiment else BASELINE,
        time=1_700_000_000_000,
        params=params,
        lock=lock_of(generation, params),
        base=lock_of(base),
        find=find,
    )
