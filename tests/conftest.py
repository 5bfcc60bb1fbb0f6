"""What all tests share: a workspace of their own, and libraries that stay silent and offline."""

import os
from collections.abc import Iterator
from pathlib import Path

import jaxtyping
import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from pipeline.foundation.workspace import Workspace

PROJECT = Path(__file__).resolve().parents[1]

# Set before any test module imports the libraries that read them.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["DVC_NO_ANALYTICS"] = "true"
# Tests never write to the runs, or read the workspace, of the person who starts them.
for variable in ("MLFLOW_TRACKING_URI", "DVC_ROOT", "DVC_STAGE", "DVC_EXP_NAME", "DVC_EXP_BASELINE_REV"):
    os.environ.pop(variable, None)


class _ByFolder(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        _, folder, *below = nodeid.partition("::")[0].split("/")
        # Half of the time is spent there, and neither process is to wait for the other; both then make the
        # reproduction that these tests copy.
        return "/".join((folder, *below)) if folder == "end_to_end" else folder


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> _ByFolder:
    """Where several processes share the tests, a folder stays with one: its tests share costly fixtures."""
    return _ByFolder(config, log)


@pytest.fixture(scope="session")
def project() -> Path:
    """The project's folder: where params.yaml, dvc.yaml and pipeline/ are."""
    return PROJECT


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """An empty workspace."""
    return Workspace(root=tmp_path, home=tmp_path)


@pytest.fixture
def arrays_unchecked() -> Iterator[None]:
    """For simulations, which make the same calls thousands of times: to check each doubles their time."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
