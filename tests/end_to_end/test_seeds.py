"""The pipeline under several seeds: `python -m pipeline seeds`, then `runs`."""

import json
import os
import re
import signal
import statistics
import sys
from typing import Any

import psutil
import pytest

from tests.end_to_end.clones import Clone

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

COMMAND = [sys.executable, "-m", "pipeline"]
SEEDS = [*COMMAND, "seeds", "--candidate", "baseline"]


def files(clone: Clone) -> str:
    """What git sees of the workspace, DVC's outputs included by way of dvc.lock."""
    return clone.run("git", "status", "--porcelain") + clone.lock()


def runs(clone: Clone, *arguments: str) -> dict[str, Any]:
    output = clone.run(*COMMAND, "runs", "--json", *arguments)
    shown: dict[str, Any] = json.loads(output[output.index("{") :])
    return shown


def test_seeds_are_run_once_and_summed_up(clone: Clone) -> None:
    before = files(clone)
    output = clone.run(*SEEDS, "--count", "3")
    # The workspace has seed 0, and MLflow its run.
    assert "seed 1 of 3, seed=0: not run again, it is what the workspace has" in output
    assert [f"seed={seed}" in output for seed in (1, 2)] == [True, True]
    assert output.count("Running stage 'train_baseline'") == 2
    assert "Running stage 'train_transfer'" not in output
    assert files(clone) == before
    named = clone.run("git", "for-each-ref", "--format=%(refname:lstrip=4)", "refs/exps")
    assert re.fullmatch(r"baseline-seed-1-(\w{7})\nbaseline-seed-2-\1\n", named)

    (group,) = runs(clone, "--candidate", "baseline")["seeds"]
    assert group["seeds"] == [0, 1, 2]
    accuracies = [run["validation_accuracy"] for run in runs(clone)["runs"] if run["candidate"] == "baseline"]
    assert group["validation_accuracy"]["mean"] == pytest.approx(statistics.mean(accuracies))
    assert group["validation_accuracy"]["deviation"] == pytest.approx(statistics.stdev(accuracies))
    (recorded,) = [run for run in clone.runs() if run["tags"].get("kind") == "seeds"]
    assert recorded["tags"]["seeds"] == "[0, 1, 2]"
    assert json.loads(recorded["tags"]["seed_runs"]) == group["run_ids"]

    again = clone.run(*SEEDS, "--count", "3")
    assert "Running stage" not in again
    assert "$ dvc" not in again
    assert len([run for run in clone.runs() if run["tags"].get("kind") == "seeds"]) == 1


def test_ctrl_c_ends_it_in_good_order_and_the_same_command_goes_on(clone: Clone) -> None:
    """In a training that is long enough to be met, with params that are not committed."""
    params = clone.folder / "params.yaml"
    params.write_text(params.read_text().replace("epochs: 6\n", "epochs: 60\n"))
    before = files(clone)
    process = clone.start(*SEEDS, "--count", "2")
    assert process.stdout is not None
    output = []
    for line in process.stdout:
        output.append(line)
        if "epoch 5/60" in line:
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to DVC and the stage too
    process.stdout.close()
    assert process.wait() == 130, "".join(output)
    assert output[-1] == "seeds: stopped\n"
    assert "Traceback" not in "".join(output)
    assert files(clone) == before
    left = [
        each.info["cmdline"]
        for each in psutil.process_iter(["cmdline", "cwd"])
        if (each.info["cwd"] or "").startswith(str(clone.folder))
        and "delivery" not in str(each.info["cmdline"])
    ]
    assert left == []

    resumed = clone.run(*SEEDS, "--count", "2")
    assert resumed.count("going on after epoch") == 1
    assert "epoch 1/60" in resumed.partition("seed 2 of 2")[2]
    assert "epoch 1/60" not in resumed.partition("seed 2 of 2")[0]
    assert files(clone) == before
