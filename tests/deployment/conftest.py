"""A project with a really trained network, made once."""

from pathlib import Path

import pytest

from pipeline.foundation.workspace import Workspace
from pipeline.training.trained_model import TrainedModel
from tests.deployment.tiny_project import make_project


@pytest.fixture(scope="session")
def trained_project(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A project with a trained network. Not to be changed."""
    return make_project(tmp_path_factory.mktemp("trained"), project / "params.yaml")


@pytest.fixture(scope="session")
def model(trained_project: Workspace) -> TrainedModel:
    """Its network and card. Not to be changed."""
    return TrainedModel.load(trained_project.model("baseline"))
