"""Which export `predict` and `serve` run for a model, and what is said where there is none."""

import json
from pathlib import Path

import pytest

from pipeline.commands.addresses.address import parse_address
from pipeline.commands.addresses.exported import exported_folder
from pipeline.foundation.digests import digest_bytes
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.files import write_json
from pipeline.foundation.workspace import Workspace
from pipeline.tracking.store import Store
from tests.commands.addresses.conftest import COMMITTED, Made
from tests.serving.tiny_model import export, published

# MLflow 3.17 uses what SQLAlchemy 2.1 will drop.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")


def export_of(workspace: Workspace, name: str, version: int, digest: str) -> Path:
    """An export of the model with that digest."""
    folder = export(workspace.exports, name=name, version=version)
    values = json.loads((folder / "export.json").read_text(encoding="utf-8"))
    write_json(folder / "export.json", {**values, "model_digest": digest})
    return folder


def folder_of(workspace: Workspace, text: str | None) -> Path:
    with Store(workspace) as store:
        return exported_folder(workspace, store, None if text is None else parse_address(text))


@pytest.fixture
def trained(workspace: Workspace) -> Workspace:
    """Two models, the best of which has been exported, after an earlier one of its name."""
    for candidate, digest in (("tuned", "d" * 64), ("baseline", "b" * 64)):
        write_json(workspace.card(candidate), {"model_digest": digest})
    write_json(workspace.best, {"candidate": "tuned"})
    export_of(workspace, "tuned", 1, "e" * 64)
    export_of(workspace, "tuned", 2, "d" * 64)
    return workspace


def test_a_candidate_means_the_export_of_its_present_model(trained: Workspace) -> None:
    latest = trained.exports / "tuned" / "2"
    assert folder_of(trained, "tuned") == folder_of(trained, "best") == latest
    write_json(trained.model("tuned") / "card.json", {"model_digest": "e" * 64})
    assert folder_of(trained, "tuned") == trained.exports / "tuned" / "1"


def test_it_may_have_been_exported_under_another_name(trained: Workspace) -> None:
    registered = export_of(trained, "image-classifier", 7, "b" * 64)
    assert folder_of(trained, "baseline") == registered
    assert folder_of(trained, "models:/image-classifier/7") == registered


def test_a_model_that_was_not_exported_is_an_error_with_the_command_that_does_it(trained: Workspace) -> None:
    with pytest.raises(PipelineError, match="The model baseline in the working tree has not been") as caught:
        folder_of(trained, "baseline")
    assert caught.value.remedy == "python -m pipeline export baseline"


def test_where_there_are_only_exports_a_candidate_means_its_latest(workspace: Workspace) -> None:
    export(workspace.exports, name="tuned", version=9)
    latest = export(workspace.exports, name="tuned", version=10)
    assert folder_of(workspace, "tuned") == latest


def test_without_an_address_it_is_the_one_published_last(workspace: Workspace) -> None:
    with pytest.raises(PipelineError, match="No model has been published"):
        folder_of(workspace, None)
    folder = published(workspace.exports, export(workspace.exports))
    assert folder_of(workspace, None) == folder_of(workspace, "published") == folder


def test_runs_and_versions_are_known_by_their_model(made: Made) -> None:
    with made.finder() as finder:
        workspace = finder.workspace
        with pytest.raises(PipelineError, match="has not been exported") as caught:
            exported_folder(workspace, made.store, parse_address("models:/digits@champion"))
        assert caught.value.remedy == "python -m pipeline export models:/digits@champion"
        folder = export_of(workspace, "baseline", 1, digest_bytes(COMMITTED))
        assert exported_folder(workspace, made.store, parse_address("models:/digits@champion")) == folder
