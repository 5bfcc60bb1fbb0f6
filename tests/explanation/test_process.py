"""The explaining process: what it computes, and from outside."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from pipeline.explanation.heatmaps import Heatmaps
from pipeline.explanation.job import ExplainJob, ExplainResult
from pipeline.explanation.opened_network import OpenedNetwork
from pipeline.explanation.process import explain
from pipeline.foundation.errors import PipelineError
from pipeline.images.arrays import ImageArrays
from pipeline.training.trained_model import TrainedModel
from tests.deployment.tiny_project import make_project

IMAGES = 70  # more than the process takes at once


@pytest.fixture(scope="module")
def trained(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a trained model, and beside it images.npy. Not to be changed."""
    workspace = make_project(tmp_path_factory.mktemp("explained"), project / "params.yaml")
    images = ImageArrays.load(workspace.subset("train")).images
    np.save(workspace.root / "images.npy", images[: IMAGES + 5])
    return workspace.model("baseline")


@pytest.fixture
def job(trained: Path, tmp_path: Path) -> ExplainJob:
    return ExplainJob(
        model=trained,
        images=trained.parents[1] / "images.npy",
        count=IMAGES,
        probabilities=tmp_path / "probabilities.npy",
        heatmaps=tmp_path / "heatmaps.npy",
        method="hires_cam",
        layer="auto",
        label=None,
        batch_size=16,
        threads=1,
    )


def test_the_networks_own_answers_and_their_heatmaps(job: ExplainJob) -> None:
    network = TrainedModel.load(job.model).network
    images = np.load(job.images)[:IMAGES]
    found = explain(job)
    expected = network.predict_on_batch(images)
    np.testing.assert_allclose(found.probabilities, expected, atol=1e-6)
    heatmaps = Heatmaps(OpenedNetwork(network), "hires_cam", "auto")
    assert found.layer == heatmaps.layer
    np.testing.assert_allclose(
        found.heatmaps, heatmaps.compute(images, expected.argmax(axis=1), "batches"), atol=1e-4
    )


def test_another_class_has_other_heatmaps(job: ExplainJob) -> None:
    own = explain(job)
    for_one = explain(dataclasses.replace(job, label=1))
    ones = own.probabilities.argmax(axis=1) == 1
    np.testing.assert_array_equal(for_one.heatmaps[ones], own.heatmaps[ones])
    assert not np.allclose(for_one.heatmaps[~ones], own.heatmaps[~ones])


def test_a_layer_that_the_network_lacks_is_said(job: ExplainJob, capsys: pytest.CaptureFixture[str]) -> None:
    explain(dataclasses.replace(job, layer="mixed7", count=2))
    assert "no layer 'mixed7'" in capsys.readouterr().out


def test_what_is_saved_comes_back(job: ExplainJob, tmp_path: Path) -> None:
    job.save(tmp_path / "job.json")
    assert ExplainJob.load(tmp_path / "job.json") == job
    found = explain(job)
    found.save(job, tmp_path / "result.json")
    loaded = ExplainResult.load(job, tmp_path / "result.json")
    assert (loaded.method, loaded.layer) == (found.method, found.layer)
    np.testing.assert_array_equal(loaded.heatmaps, found.heatmaps)


@pytest.mark.slow
def test_the_real_process_and_its_errors(job: ExplainJob) -> None:
    lines: list[str] = []
    assert job.run(lines.append).heatmaps.shape[0] == IMAGES
    assert not any("WARNING" in line for line in lines)
    with pytest.raises(PipelineError, match=r"card\.json is missing"):
        dataclasses.replace(job, model=job.model / "nowhere").run(lines.append)
