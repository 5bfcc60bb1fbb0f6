"""From a model back to it, from an experiment to its model and back, and revisions reproduced elsewhere."""

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.foundation.digests import digest_file
from pipeline.foundation.errors import EXIT_REFUSED
from tests.end_to_end.clones import Clone

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def lineage(clone: Clone, what: object) -> dict[str, Any]:
    output = clone.run(sys.executable, "-m", "pipeline", "lineage", "--json", str(what))
    shown: dict[str, Any] = json.loads(output[output.index("{\n") :])
    return shown


def bring_back(clone: Clone, commands: list[str]) -> str:
    """Run commands as a person would copy them; the digest of the baseline's model after that."""
    for command in commands:
        clone.run("sh", "-c", command)
    return digest_file(clone.folder / "models" / "baseline" / "model.keras")


def colleague(clone: Clone, parent: Path) -> Clone:
    """A fresh clone by git alone, that shares the MLflow store and nothing else: no cache, no experiments."""
    folder = parent / "colleague"
    clone.run("git", "clone", "--quiet", str(clone.folder), str(folder))
    store = {"MLFLOW_TRACKING_URI": f"sqlite:///{clone.folder / 'mlflow.db'}"}
    return Clone(folder, clone.environment | store)


def test_from_a_copy_of_a_model_back_to_it(clone: Clone, tmp_path: Path) -> None:
    # The runs that came with the copied folder are those of another one; sync tags this folder's own.
    clone.dvc("repro", "--force", "--single-item", "train_baseline")
    clone.run(sys.executable, "-m", "pipeline", "sync")
    model = clone.folder / "models" / "baseline" / "model.keras"
    digest = digest_file(model)
    copy = shutil.copy(model, tmp_path / "model sent by a friend.keras")
    head = clone.run("git", "rev-parse", "HEAD").strip()

    # A colleague without the cache trains it again.
    other = colleague(clone, tmp_path)
    found = lineage(other, copy)
    assert (found["model_digest"], found["candidate"]) == (digest, "baseline")
    assert found["inputs"].keys() >= {"data/arrays/train/images.npy", "data/arrays/validation/images.npy"}
    assert found["data_source"]["dataset"] == "folder"
    assert f"md5: {found['dvc_hash']}\n" in clone.lock()
    assert found["recovery"]["commands"] == [f"git checkout {head[:10]}", "dvc repro train_baseline"]
    assert bring_back(other, found["recovery"]["commands"]) == digest

    # Here it comes from the cache, whatever has happened since.
    clone.run("git", "commit", "--quiet", "--allow-empty", "--message", "later work")
    shutil.rmtree(clone.folder / "models")
    commands = lineage(clone, copy)["recovery"]["commands"]
    assert commands == [f"git checkout {head[:10]}", "dvc checkout"]
    assert bring_back(clone, commands) == digest


def test_from_an_experiment_to_its_model_and_back(clone: Clone, tmp_path: Path) -> None:
    settings = ["--set-param", "lr=0.02", "--set-param", "train_baseline.widths=[4,4,8]"]
    clone.dvc("exp", "run", "--name", "narrow", *settings, "train_baseline")
    digest = digest_file(clone.folder / "models" / "baseline" / "model.keras")
    clone.run("git", "checkout", "--quiet", ".")
    baseline = clone.run("git", "rev-parse", "HEAD").strip()

    backwards = lineage(clone, "narrow")
    (training,) = [each["run"] for each in backwards["runs"] if each["run"]["candidate"] == "baseline"]
    assert training["model_digest"] == digest
    assert backwards["commit"] != baseline

    forwards = lineage(clone, training["run_id"])
    assert forwards["experiment"] == {"name": "narrow", "baseline": baseline, "commit": backwards["commit"]}
    assert forwards["recovery"]["commands"] == ["dvc exp apply narrow"]
    assert bring_back(clone, forwards["recovery"]["commands"]) == digest
    assert lineage(clone, backwards["commit"]) == backwards

    # Both ways hold for a colleague who has the MLflow store, but not the experiment.
    other = colleague(clone, tmp_path)
    assert training["run_id"] in [each["run"]["run_id"] for each in lineage(other, "narrow")["runs"]]
    found = lineage(other, training["run_id"][:10])
    assert found["experiment"]["commit"] == backwards["commit"]
    assert {each["name"]: each["value"] for each in found["changed_params"]} == {
        "lr": "0.02",
        "train_baseline.widths": "[4, 4, 8]",
    }
    assert bring_back(other, found["recovery"]["commands"]) == digest


def verify(clone: Clone, *arguments: str, exit_code: int = 0) -> str:
    """The output of verify, which ends as it should; its status is the last word of the shell's."""
    command = f'"{sys.executable}" -m pipeline verify {" ".join(arguments)}; echo "exit code $?"'
    output = clone.run("sh", "-c", command)
    assert output.splitlines()[-1] == f"exit code {exit_code}", output[-5000:]
    return output


def test_an_untouched_revision_is_reproduced_to_the_byte(clone: Clone) -> None:
    before = clone.lock()
    clone.run("git", "commit", "--quiet", "--allow-empty", "--message", "later work")
    output = verify(clone, "HEAD~1")
    assert "48 of 48 reproduced outputs agree, byte for byte; 5 taken from the cache" in output
    assert re.search(r"data/fetched/images\.tar +[\d,]+ +from cache", output)
    assert "differs" not in output
    assert clone.lock() == before
    assert list((clone.folder / ".dvc" / "tmp").glob("verify-*")) == []


def test_a_lock_that_this_revision_has_not_made_is_refused(clone: Clone) -> None:
    assert "3 of 3 reproduced outputs agree" in verify(clone, "--stage", "train_baseline")
    params = clone.folder / "params.yaml"
    text = params.read_text(encoding="utf-8")
    params.write_text(text.replace("bootstrap_samples: 100\n", "bootstrap_samples: 150\n"), encoding="utf-8")
    assert params.read_text(encoding="utf-8") != text
    clone.run("git", "commit", "--quiet", "--all", "--message", "more bootstrap samples, not reproduced")
    output = verify(clone, "--stage", "evaluate", exit_code=EXIT_REFUSED)
    assert re.search(r"metrics/evaluate\.json +[\d,]+ +differs", output)
    assert re.search(r"models/best\.json +[\d,]+ +agrees", output)
    assert "evaluate: params.yaml and dvc.lock differ in evaluate.bootstrap_samples" in output
    # More samples move the ends of the intervals, not the accuracies.
    assert "All accuracies agree within their recorded intervals." in output
