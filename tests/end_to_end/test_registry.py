"""From an evaluated model to a champion and back, as people type it, in a clone with a store of its own."""

import json
import subprocess
import sys
from typing import Any

import pytest
from ruamel.yaml import YAML

from pipeline.foundation.errors import EXIT_REFUSED
from pipeline.foundation.workspace import CANDIDATES
from tests.end_to_end.clones import Clone

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def lenient(clone: Clone) -> Clone:
    """A test subset of 24 images says little about calibration, and a busy machine nothing about speed."""
    path, yaml = clone.folder / "params.yaml", YAML()
    params = yaml.load(path)
    params["registry"] |= {"max_ece": 1.0, "max_latency_ms": 60000.0, "max_recall_loss": 1.0}
    yaml.dump(params, path)
    return clone


def ended(clone: Clone, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command of the pipeline that ends with a message, whatever its exit code."""
    result = subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments],
        cwd=clone.folder,
        env=clone.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert "Traceback" not in result.stderr, result.stderr
    return result


def run(clone: Clone, *arguments: str) -> str:
    result = ended(clone, *arguments)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def history(clone: Clone) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(run(clone, "history", "--json"))
    return values


def candidates_by_accuracy(clone: Clone) -> list[str]:
    """The worst on the test subset first."""
    scores = json.loads((clone.folder / "metrics" / "evaluate.json").read_text(encoding="utf-8"))
    return sorted(CANDIDATES, key=lambda name: scores[name]["test"]["accuracy"])


def test_from_evaluation_to_champion_and_back(lenient: Clone) -> None:
    worst, *_, best = candidates_by_accuracy(lenient)

    said = run(lenient, "register", best)
    assert f"the model {best} in the working tree is version 1 of 'image-classifier'" in said
    assert "it predicts 24 test images as evaluate has" in said
    assert "the champion already" not in said
    run(lenient, "promote", "--force", "--reason", "the first one")
    assert "already" in run(lenient, "register", best)

    run(lenient, "register", worst)
    refused = ended(lenient, "promote")
    assert refused.returncode == EXIT_REFUSED
    assert "refused by better than the champion, gain in accuracy; version 1 stays champion" in refused.stdout
    without_reason = ended(lenient, "promote", "--force")
    assert (without_reason.returncode, "--reason" in without_reason.stderr) == (1, True)
    run(lenient, "promote", "--force", "--reason", "to try it")
    assert history(lenient)["aliases"] == {"champion": 2}
    run(lenient, "rollback", "--reason", "it was worse")

    told = history(lenient)
    assert told["aliases"] == {"champion": 1}
    assert told["warnings"] == []
    kinds = [decision["kind"] for decision in told["decisions"]]
    assert kinds[1:] == ["refused", "forced", "rolled back"]
    commit = lenient.run("git", "rev-parse", "HEAD").strip()
    assert {decision["git_commit"] for decision in told["decisions"]} == {commit}
    assert [decision["number"] for decision in told["decisions"]] == [1, 2, 3, 0]
    assert ended(lenient, "rollback").returncode == 1


def test_what_is_not_what_was_evaluated_is_not_registered(lenient: Clone) -> None:
    network = lenient.folder / "models" / "baseline" / "model.keras"
    data = network.read_bytes()
    network.unlink()  # it may be a link into DVC's cache
    network.write_bytes(data + b" and something")
    result = ended(lenient, "register", "baseline")
    assert result.returncode == 1
    assert "register: The models or their scores are not up to date" in result.stderr
    assert "models/baseline" in result.stderr
    assert "dvc repro" in result.stderr
    assert ended(lenient, "history").returncode == 1, "nothing was registered"


def test_a_challenger_from_another_split_meets_the_champion_on_its_own_test_images(lenient: Clone) -> None:
    best = candidates_by_accuracy(lenient)[-1]
    run(lenient, "register", best)
    run(lenient, "promote", "--force", "--reason", "the first one")
    lenient.dvc("exp", "run", "--name", "resplit", "--set-param", "split.seed=1", "evaluate")
    run(lenient, "register", f"resplit:{best}")
    result = ended(lenient, "promote")
    assert result.returncode in (0, EXIT_REFUSED), result.stderr
    printed = " ".join(result.stdout.split())
    assert "evaluating it on the 24 images of the challenger's" in printed
    assert "It was trained on other data than the challenger" in printed
    first, second = history(lenient)["decisions"]
    assert first["test_digest"] != second["test_digest"]
    assert (first["number"], second["number"]) == (1, 1)

    # Where those images are not, it says how to get there.
    lenient.run("git", "checkout", "--quiet", "--", ".")
    lenient.dvc("checkout")
    if result.returncode == EXIT_REFUSED:
        elsewhere = ended(lenient, "promote")
        assert elsewhere.returncode == 1
        assert "python -m pipeline lineage models:/image-classifier/2" in elsewhere.stderr
